"""`titrate evaluate` on a few questions, with a tiny model: what it writes must hold whatever the model answers."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Run
from tests.rag.small import query_image


@pytest.fixture
def words(samples: Path, small_folder: Path, tiny_folder: Path, tmp_path: Path) -> list[object]:
    """Give the command line over five closed questions of four patients and an open one, and one to learn from."""
    shutil.copyfile(query_image(samples), tmp_path / "a.png")
    rows: list[dict[str, Any]] = [
        {"id": str(number), "question": text, "answer": answer, "options": options, "patient": patient,
         "source": source, "image": "a.png", "split": "train" if number == 6 else "test"}
        for number, (text, answer, options, patient, source) in enumerate(
            [
                ("Is it large?", "yes", ["yes", "no"], None, "one"),
                ("Is it pale?", "no", ["yes", "no"], None, "one"),
                ("Is it round?", "yes", ["yes", "no"], None, "two"),
                ("Which stain?", "blue", ["red", "blue", "none"], None, "two"),
                ("Are there cells?", "no", ["no", "yes"], None, None),
                ("What is seen?", "round cells", None, None, "one"),
                ("Is it large?", "yes", ["yes", "no"], "other", "one"),
            ]
        )
    ]  # fmt: skip
    for row, patient in zip(rows, ["p", "p", "q", "r", "s", "s", "t"], strict=True):
        shutil.copyfile(tmp_path / "a.png", tmp_path / f"{row['id']}.png")
        row |= {"patient": patient, "image": f"{row['id']}.png"}
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["evaluate", "q.jsonl", "--index", small_folder, "--mllm", tiny_folder, "--device", "cpu", "--max-k", 2]


def test_every_figure_of_a_run(run: Run, words: list[object], tmp_path: Path) -> None:
    files = ["--measures", "m.json", "--markdown", "m.md", "--copy-rate", "--loss", "tokens"]
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
