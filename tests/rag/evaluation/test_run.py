"""`titrate evaluate` on a few questions, with a tiny model: what it writes must hold whatever the model answers."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rag import AnsweringSystem, Predictions, QuestionOptions, QuestionRun, SystemOptions, evaluate_run
from tests.command_line import Run
from tests.rag.small import query_image
from titrate import InputError


@pytest.fixture
def words(
    samples: Path, small_folder: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[object]:
    """Give the command line over five closed questions of four patients and an open one, and one to learn from."""
    monkeypatch.setattr("rag.answering.MAX_NEW_TOKENS", 4)  # what a random model writes is as good after four
    asked: list[tuple[str, str, list[str] | None, str, str | None]] = [
        ("Is it large?", "yes", ["yes", "no"], "p", "one"),
        ("Is it pale?", "no", ["yes", "no"], "p", "one"),
        ("Is it round?", "yes", ["yes", "no"], "q", "two"),
        ("Which stain?", "blue", ["red", "blue", "none"], "r", "two"),
        ("Are there cells?", "no", ["no", "yes"], "s", None),
        ("What is seen?", "round cells", None, "s", "one"),
        ("Is it large?", "yes", ["yes", "no"], "t", "one"),
    ]
    lines = []
    for number, (text, answer, options, patient, source) in enumerate(asked):
        shutil.copyfile(query_image(samples), tmp_path / f"{number}.png")
        row: dict[str, Any] = {"id": str(number), "image": f"{number}.png", "question": text, "answer": answer}
        row |= {"options": options, "patient": patient, "source": source, "split": "train" if number == 6 else "test"}
        lines.append(json.dumps(row) + "\n")
    (tmp_path / "q.jsonl").write_text("".join(lines))
    return ["evaluate", "q.jsonl", "--index", small_folder, "--mllm", tiny_folder, "--device", "cpu", "--max-k", 2]


def test_every_figure_of_a_run(run: Run, words: list[object], tmp_path: Path) -> None:
    files: list[object] = ["--measures", "m.json", "--markdown", "m.md", "--copy-rate", "--loss", "tokens"]
    files += ["--seconds", 2, "--plots", "plots"]
    table = json.loads(run(*words, *files, "--json").stdout)
    by_policy = {(row["domain"], row["policy"]): row["metrics"] for row in table}
    written = json.loads((tmp_path / "m.json").read_text())["rows"]
    closed = [row for row in written if row["measures"]["positive"] != "open"]
    assert {row["source"] for row in closed} == {None, "one", "two"}
    whole = {row["policy"]: row["measures"] for row in closed if row["domain"] == row["source"] is None}
    assert set(whole) == {row["policy"] for row in table}
    for row in closed:
        if row["domain"] is not None:  # the same accuracy as in the table
            found = (by_policy[row["domain"], row["policy"]] or {}).get("accuracy")
            told = row["measures"]["by_question"]["accuracy"]
            assert found == (told and pytest.approx(told["value"]))
    alone, two = whole["k = 0"]["by_question"], whole["k = 2"]["by_question"]
    assert (whole["k = 0"]["questions"], whole["k = 0"]["patients"], whole["k = 0"]["positive"]) == (5, 4, "macro")
    assert alone["copy_rate"] == alone["blind_accuracy"] == two["blind_accuracy"] is not None
    assert (alone["mean_k"]["value"], two["mean_k"]["value"]) == (0, 2)
    assert 0 < alone["prompt_tokens"]["value"] < two["prompt_tokens"]["value"]
    assert whole["majority answer"]["by_question"]["harm"] is None
    opened = [row["policy"] for row in written if row["measures"]["positive"] == "open" and row["domain"]]
    assert opened == ["k = 0", "k = 1", "k = 2"]
    page = (tmp_path / "m.md").read_text()
    assert "## All questions" in page
    assert "Medians of 2 questions, asked one by one. Retrieval: the image is decoded" in page
    seconds = json.loads((tmp_path / "m.json").read_text())["seconds"]
    assert [(each["policy"], each["answers"]) for each in seconds] == [("k = 0", 2), ("k = 1", 2), ("k = 2", 2)]
    for each in seconds:  # of two, median and mean are one
        assert 0 < each["retrieval"] < each["slowest"]
        assert each["total"] == pytest.approx(each["retrieval"] + each["answering"])
        assert each["total"] <= each["slowest"]
    drawn = sorted(path.name for path in (tmp_path / "plots").iterdir())
    kinds = ("reliability", "reliance", "risk")
    assert drawn == sorted(f"{kind}-{name}.svg" for kind in kinds for name in ("all", "domain-pathology"))


def test_predictions_of_a_run_that_was_cut_short(
    words: list[object], small_folder: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file in the end, byte for byte, without answering again what was answered; and of no other run."""
    monkeypatch.setattr("rag.outcomes.score._IMAGES_AT_ONCE", 2)
    told: list[int] = []

    @contextmanager
    def stops(label: str) -> Iterator[Callable[[int, int], None]]:
        def show(done: int, total: int) -> None:
            told.append(done)
            if len(told) == 2:
                raise KeyboardInterrupt

        yield show

    def options(folder: str, k: int = 2) -> QuestionOptions:
        return QuestionOptions(tmp_path / "q.jsonl", max_k=k, loss="tokens", outcomes=tmp_path / folder)

    def write(run: QuestionRun, name: str) -> bytes:
        evaluate_run(run, "test", predictions=tmp_path / name).predictions.save(tmp_path / name)
        return (tmp_path / name).read_bytes()

    with AnsweringSystem.open(SystemOptions(small_folder, str(tiny_folder), device="cpu")) as system:
        with pytest.raises(KeyboardInterrupt):
            write(QuestionRun(system, options("kept"), progress=stops), "cut.jsonl")
        assert not (tmp_path / "cut.jsonl").exists()
        (kept,) = (tmp_path / "kept").iterdir()
        half = kept.read_bytes()
        assert half.count(b'"question"') == 4
        cut = write(QuestionRun(system, options("kept")), "cut.jsonl")
        assert kept.read_bytes().startswith(half)
        assert write(QuestionRun(system, options("new")), "whole.jsonl") == cut
        assert write(QuestionRun(system, options("kept")), "cut.jsonl") == cut
        opened = Predictions.load(tmp_path / "cut.jsonl").rows[-1]
        assert (opened.id, opened.options, opened.policies, len(opened.answers)) == ("5", [], {}, 3)
        (tmp_path / "notes.jsonl").write_text("mine\n")
        for name, k in (("cut.jsonl", 1), ("notes.jsonl", 2)):
            with pytest.raises(InputError, match="name another file with --predictions, or remove it"):
                write(QuestionRun(system, options("other", k)), name)
        assert not (tmp_path / "other").exists()
    assert (tmp_path / "cut.jsonl").read_bytes() == cut
