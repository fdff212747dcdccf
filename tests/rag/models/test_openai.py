"""A model behind a server gives the answers, scores and decisions that it gives directly."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from transformers.utils.import_utils import is_serve_available

from cli import main
from rag import OpenAIMLLM, Prompt, PromptTemplate, Question, TransformersMLLM
from rag.models.base import NestedPrompt
from tests.rag.openai_loopback import Served, answer_token, model_behind, said, serving
from titrate import InputError, TitrateWarning

KEY = "a-secret-key-of-the-hospital"
REPORTS = ("Clear lungs.", "Large heart, wide aorta. " * 3, "No focal consolidation; lines in place.")


@pytest.fixture(scope="module")
def served(mllm: TransformersMLLM) -> Iterator[Served]:
    with serving(model_behind(mllm)) as running:
        yield running


@pytest.fixture
def behind(served: Served) -> OpenAIMLLM:
    return OpenAIMLLM.open(f"{served.url}#small")


@pytest.fixture
def prompts(pictures: list[Image.Image], judged: list[Question]) -> list[Prompt]:
    template = PromptTemplate()
    return [
        Prompt(pictures[row % 3], template.render(question.text, question.options, REPORTS[: row % 4]))
        for row, question in enumerate(judged[:8])
    ]


def test_answers_equal_the_models_own(behind: OpenAIMLLM, mllm: TransformersMLLM, prompts: list[Prompt]) -> None:
    free = [Prompt(prompt.image, prompt.text.partition("\nOptions")[0]) for prompt in prompts]
    assert behind.generate(prompts + free, 12) == [mllm.generate([prompt], 12)[0] for prompt in prompts + free]


def test_scores_equal_the_models_own(behind: OpenAIMLLM, mllm: TransformersMLLM, prompts: list[Prompt]) -> None:
    options = [["yes", "no"], ["no", "yes"]] * (len(prompts) // 2)
    scores, own = behind.score(prompts, options), mllm.score(prompts, options)
    assert all(row.dtype == np.float64 for row in scores)
    assert np.stack(scores) == pytest.approx(np.stack(own), abs=1e-4)
    assert np.ptp(np.stack(own)[:, 0]) > 0.1  # or else nothing would be shown


def test_every_k_equals_the_models_own(behind: OpenAIMLLM, mllm: TransformersMLLM, prompts: list[Prompt]) -> None:
    template = PromptTemplate()
    contexts = tuple(template.context(number, report) for number, report in enumerate(REPORTS, start=1))
    closings = tuple(template.closing(text, ["yes", "no"]) for text in ("Is there a fracture?", "Is it an X-ray?"))
    nested = NestedPrompt(prompts[0].image, template.opening(), contexts, closings)
    options = [[["yes", "no"], ["yes", "no"]]]
    ours, own = behind.score_nested([nested], options, range(5))[0], mllm.score_nested([nested], options, range(5))[0]
    assert np.stack(ours) == pytest.approx(np.stack(own), abs=1e-4)


def test_longer_options_are_decided_as_by_the_model_itself(
    behind: OpenAIMLLM, mllm: TransformersMLLM, prompts: list[Prompt]
) -> None:
    """All begin with "yes" or "no" here, so that the tokens after these count; the model writes them when asked to."""
    words = mllm.generate([prompts[0]], 1)[0]
    options = [f"{words}", "maybe left", "maybe right"]
    [scores] = behind.score([prompts[0]], [options])
    assert scores.argmax() == 0
    assert scores[0] == pytest.approx(mllm.score([prompts[0]], [[words, "x"]])[0][0], abs=1e-4)


def test_what_is_sent(served: Served, behind: OpenAIMLLM, pictures: list[Image.Image]) -> None:
    served.asked.clear()
    text = "Report [1]: <image> <|im_end|> 3 < 4 [INST] fine.\nQuestion: Is it?\nOptions: yes, no"
    behind.score([Prompt(pictures[0], text)], [["yes", "no"]])
    [body] = served.completions()
    picture, words = body["messages"][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    assert words["text"] == "Report [1]:     3 < 4   fine.\nQuestion: Is it?\nOptions: yes, no"
    assert {name: value for name, value in body.items() if name != "messages"} == {
        "model": "small",
        "temperature": 0,
        "max_tokens": 2,
        "logprobs": True,
        "top_logprobs": 20,
    }


def test_one_model_need_not_be_named(served: Served, behind: OpenAIMLLM) -> None:
    assert OpenAIMLLM.open(served.url).fingerprint == behind.fingerprint
    assert OpenAIMLLM.open(f"{served.url}/").fingerprint == behind.fingerprint


def test_fingerprint_is_what_the_server_says() -> None:
    yes = [answer_token(("yes", -0.1), ("no", -3.0))]

    def opened(entry: dict[str, Any], tokens: Any = yes) -> str:
        with serving(lambda body: said("yes", tokens)) as running:
            running.models = (200, {"data": [{"id": "small", **entry}]})
            return OpenAIMLLM.open(running.url).fingerprint

    first = opened({"root": "ours/small", "created": 1, "permission": [{"id": "modelperm-1"}]})
    assert opened({"root": "ours/small", "created": 2, "permission": [{"id": "modelperm-2"}]}) == first
    assert opened({"root": "ours/other"}) != first
    assert opened({"id": "other", "root": "ours/small"}) != first
    with pytest.warns(TitrateWarning, match="told from the words"):
        assert opened({"root": "ours/small"}, None) != first


def test_without_log_probabilities_words_decide(prompts: list[Prompt]) -> None:
    answers = iter(["Yes.", "Yes, there is.", "The answer is no.", "It may be.", "Who knows?"])
    with serving(lambda body: said(next(answers))) as running:
        with pytest.warns(TitrateWarning, match="told from the words that small writes.*lists no log-probabilities"):
            opened = OpenAIMLLM.open(running.url)
        options = [["yes", "no"]]
        assert opened.score(prompts[:1], options)[0].tolist() == [0, -np.inf]
        assert opened.score(prompts[:1], options)[0].tolist() == [-np.inf, 0]
        with pytest.warns(TitrateWarning, match="name none of the options"):
            assert opened.score(prompts[:1], options)[0] == pytest.approx(np.log([0.5, 0.5]))
        assert opened.score(prompts[:1], options)[0] == pytest.approx(np.log([0.5, 0.5]))  # a second warning would fail
        assert "logprobs" not in running.completions()[-1]


def test_where_tokens_leave_it_open_words_decide(prompts: list[Prompt]) -> None:
    def complete(body: Any) -> Any:
        text = body["messages"][0]["content"][1]["text"]
        if "image?" in text or "first" in text:
            return said("no", [answer_token(("no", -0.2), ("yes", -2.0))])
        return said("The heart is, yes", [answer_token(("The", -0.01), ("A", -5.0))] if body.get("logprobs") else None)

    with serving(complete) as running:
        opened = OpenAIMLLM.open(running.url)
        asked = [Prompt(prompts[0].image, text) for text in ("first", "second", "first")]
        with pytest.warns(TitrateWarning, match="first tokens leave it open"):
            scores = opened.score(asked, [["yes", "no"]] * 3)
    assert np.stack(scores[::2]) == pytest.approx(np.array([[-2.0, -0.2]] * 2))
    assert scores[1].tolist() == [0, -np.inf]
    assert [body["max_tokens"] for body in running.completions()[1:]] == [2, 2, 2, 96]


# --- through the command line ---


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

    assert served.keys == {None, f"Bearer {KEY}"}
    outputs += [refused.output, judged.output]
    kept = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(KEY in text for text in [*outputs, *kept])


def outcomes(folder: Path) -> list[dict[str, Any]]:
    [file] = folder.iterdir()
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_mining_through_a_server(
    run: Callable[..., Result], served: Served, samples: Path, index_folder: Path, few: Path
) -> None:
    words = ["--root", samples, "--index", index_folder, "--device", "cpu", "--max-k", 1]
    made = [
        run("mine", few, *words, "--mllm", model, "--out", f"{number}.jsonl", "--outcomes", str(number))
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


# --- the real thing ---


@pytest.mark.slow
@pytest.mark.skipif(not is_serve_available(), reason="needs pip install 'transformers[serving]'")
def test_transformers_serve(samples: Path, mllm: TransformersMLLM, prompts: list[Prompt], tmp_path: Path) -> None:
    folder = str(samples / "models/mllm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "hub").mkdir()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", folder, "--host", "127.0.0.1"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [*command, "--port", str(port), "--device", "cpu"], stdout=log, stderr=log, env=environment(tmp_path)
        ) as process,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process)
            with pytest.warns(TitrateWarning, match="told from the words"):
                opened = OpenAIMLLM.open(f"http://127.0.0.1:{port}/v1#{folder}")
            assert opened.generate(prompts, 12) == [mllm.generate([prompt], 12)[0] for prompt in prompts]
            options = [["yes", "no"]] * len(prompts)
            scores, own = opened.score(prompts, options), mllm.score(prompts, options)
            assert [row.argmax() for row in scores] == [row.argmax() for row in own]
            with pytest.raises(InputError, match=r"refuses the request.*nothing"):
                OpenAIMLLM.open(f"http://127.0.0.1:{port}/v1#nothing")
        finally:
            process.terminate()


def environment(cache: Path) -> dict[str, str]:
    import os

    return {**os.environ, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        assert process.poll() is None, "the server did not start"
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server did not start in time")
