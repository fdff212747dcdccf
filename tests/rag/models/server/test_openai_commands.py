"""Commands do through a server what they do with the model itself, and keep the server's key to themselves."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import main
from tests.rag.openai_loopback import KEY, Script, Served, answer_token, said


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TITRATE_MLLM_API_KEY", KEY)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def few(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Closed questions of six patients each of the `calibrate` and `prefer` splits."""
    kept: dict[tuple[str, str], str] = {}
    for line in (samples / "questions.jsonl").read_text().splitlines():
        question = json.loads(line)
        if question["options"] and question["split"] in ("calibrate", "prefer"):
            kept.setdefault((question["split"], question["patient"]), line)
    file = tmp_path_factory.mktemp("few") / "questions.jsonl"
    chosen = [[line for (of, _), line in kept.items() if of == split][-6:] for split in ("calibrate", "prefer")]
    file.write_text("\n".join(chosen[0] + chosen[1]) + "\n")
    return file


def test_a_certificate_made_through_a_server(
    run: Callable[..., Result], served: Served, samples: Path, index_folder: Path, few: Path, tmp_path: Path
) -> None:
    common = ["--index", index_folder, "--device", "cpu"]
    calibrate = ["calibrate", few, "--root", samples, *common, "--alpha", 0.99, "--max-k", 2]
    outputs = []
    for name, model in (("direct", samples / "models/mllm"), ("served", f"{served.url}#small")):
        result = run(
            *calibrate, "--mllm", model, "--out", f"{name}.json", "--outcomes", name, "--report", f"{name}.html"
        )
        assert result.exit_code == 0, result.output
        outputs.append(result.output)
    direct, through = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("direct", "served"))
    assert through["domains"] == direct["domains"]
    changed = {part for part, value in direct["fingerprints"].items() if through["fingerprints"][part] != value}
    assert changed == {"mllm"}
    for one, other in zip(outcomes(tmp_path / "direct"), outcomes(tmp_path / "served"), strict=True):
        assert (one["answers"], one["losses"]) == (other["answers"], other["losses"])
        assert one["confidences"] == pytest.approx(other["confidences"], abs=1e-4)

    question = json.loads(few.read_text().splitlines()[0])
    ask = ["ask", samples / question["image"], question["question"], "--options", "yes,no", *common, "--json"]
    ask += ["--patient", question["patient"], "--mllm", f"{served.url}#small"]
    result = run(*ask, "--certificate", "served.json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["certified"]
    outputs.append(result.output)
    (tmp_path / "one.jsonl").write_text(json.dumps(question))
    judge = ["evaluate", "--split", "calibrate", "--root", samples, *common, "--max-k", 2, "--outcomes", "one"]
    judge += ["--mllm", f"{served.url}#small", "--certificate", "served.json"]
    judged = run(*judge, "one.jsonl")
    assert judged.exit_code == 0, judged.output
    assert "certified policy" in judged.stdout
    [row] = outcomes(tmp_path / "one")
    assert answer["answer"] == row["answers"][answer["k"]]
    assert max(answer["probabilities"].values()) == pytest.approx(row["confidences"][answer["k"]], abs=1e-9)

    refused = run(*ask, "--certificate", "direct.json")
    assert refused.exit_code == 2
    assert "the model" in refused.stderr and "changed since calibration; run calibrate again" in refused.stderr

    assert served.keys == {f"Bearer {KEY}"}
    outputs += [refused.output, judged.output]
    kept = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(KEY in text for text in [*outputs, *kept])


def outcomes(folder: Path) -> list[dict[str, Any]]:
    [file] = [path for path in folder.iterdir() if not path.name.startswith("look")]
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row for row in rows if "versions" not in row]


def test_mining_through_a_server(
    run: Callable[..., Result], served: Served, samples: Path, index_folder: Path, few: Path
) -> None:
    words = ["--root", samples, "--index", index_folder, "--device", "cpu", "--max-k", 1]
    made = [
        run("mine", few, *words, "--no-balance", "--mllm", model, "--out", f"{number}.jsonl", "--outcomes", str(number))
        for number, model in enumerate((samples / "models/mllm", f"{served.url}#small"))
    ]
    assert [result.exit_code for result in made] == [0, 0], made[1].output
    direct, through = (
        [line for line in result.stdout.splitlines() if line.split()[0] == "accuracy"] for result in made
    )
    assert len(direct) >= 2 and direct == through
    assert all(json.loads(line)["chosen"] in ("yes", "no") for line in Path("1.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ask", "IMAGE", "Is it?", "--k", "1", "--index", "INDEX", "--adapter", "here"], "leave out the adapter"),
        (["train", "PAIRS"], "needs the model itself: give its folder"),
    ],
)
def test_what_needs_the_model_itself(
    run: Callable[..., Result],
    served: Served,
    samples: Path,
    index_folder: Path,
    tmp_path: Path,
    words: list[str],
    message: str,
) -> None:
    image = next((samples / "images").rglob("*.jpg"))
    shutil.copyfile(image, tmp_path / "a.jpg")
    pair = {"id": "1", "kind": "under-use", "image": "a.jpg", "prompt": "?", "chosen": "yes", "rejected": "no"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    names = {"IMAGE": image, "INDEX": index_folder, "PAIRS": tmp_path / "pairs.jsonl"}
    before = len(served.asked)
    result = run(*[names.get(word, word) for word in words], "--mllm", f"{served.url}#small")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(served.asked) == before


def test_other_weights_than_those_calibrated_are_refused(
    run: Callable[..., Result],
    scripted: Served,
    script: Script,
    samples: Path,
    index_folder: Path,
    few: Path,
    tmp_path: Path,
) -> None:
    """A server is started anew between two commands: its fingerprint stays, and only an answer shows the difference."""
    common = ["--index", index_folder, "--device", "cpu", "--mllm", f"{scripted.url}#small"]
    calibrate = ["calibrate", few, "--root", samples, *common, "--alpha", 0.99, "--max-k", 1, "--outcomes", "kept"]
    assert run(*calibrate, "--out", "c.json").exit_code == 0
    held = json.loads((tmp_path / "c.json").read_text())["versions"]["server's opening answer"]
    assert json.loads(held) == {"yes": -0.1, "no": -3.0}
    question = json.loads(few.read_text().splitlines()[0])
    ask = ["ask", samples / question["image"], question["question"], "--options", "yes,no", *common]
    ask += ["--patient", question["patient"], "--certificate", "c.json"]

    script.answers = [said("yes", [answer_token(("yes", -0.12), ("no", -2.8))])]  # the same weights, rounded otherwise
    assert run(*ask).exit_code == 0
    script.answers = [said("yes", [answer_token(("yes", -0.7), ("no", -0.75))])]
    before = len(scripted.completions())
    refused = run(*ask)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "the certificate was made by other weights than the server runs now" in refused.stderr
    assert "0.050 at first and has 0.472" in refused.stderr
    kept = run(*calibrate, "--out", "d.json")
    assert (kept.exit_code, kept.stdout, (tmp_path / "d.json").exists()) == (2, "", False)
    assert "were made by other weights" in kept.stderr and "name another folder with --outcomes" in kept.stderr
    assert len(scripted.completions()) == before + 2, "nothing but the opening question was asked"
