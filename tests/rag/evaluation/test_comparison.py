"""Two runs compared on the same questions: figures by hand, and files that do not belong together."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import main
from rag import Prediction, Predictions, compare
from titrate import InputError

Run = Callable[..., Result]


def row(name: str, patient: str, answer: str | None, domain: str = "x") -> Prediction:
    """A question whose right answer is yes."""
    policies = {"k = 0": answer, "k = 1": "yes"}
    return Prediction(
        name, domain, None, patient, "hash", ["yes", "no"], "yes", [("r1", 0.5)], ["no", "yes"], None, policies
    )


def run_of(*answers: str | None) -> Predictions:
    """Questions q0, q1, ... of two patients, a for the first four."""
    rows = [row(f"q{number}", "a" if number < 4 else "b", said) for number, said in enumerate(answers)]
    return Predictions({"mllm": "1"}, rows)


def test_figures_by_hand() -> None:
    """Of six questions two are mended and none broken: McNemar's p is 2 * 0.5^2 = 0.5."""
    before, after = run_of("no", "no", "yes", "yes", "no", "yes"), run_of("yes", "yes", "yes", "yes", "no", "yes")
    rows = {(one.domain, one.policy): one for one in compare(after, before)}
    assert set(rows) == {(domain, policy) for domain in ("x", "all") for policy in ("k = 0", "k = 1")}
    found = rows["all", "k = 0"]
    assert (found.questions, found.patients, found.mended, found.broken) == (6, 2, 2, 0)
    assert (found.before, found.after, found.difference) == pytest.approx((3 / 6, 5 / 6, 2 / 6))
    assert found.p_value == pytest.approx(0.5)
    # Patient a gains 2 of 4, b none of 2; only a drawn: 0.5, only b: 0, each with chance 1/4.
    assert (found.low, found.high) == pytest.approx((0.0, 0.5))
    back = {(one.domain, one.policy): one for one in compare(before, after)}["all", "k = 0"]
    assert (back.mended, back.broken) == (0, 2) and back.difference == pytest.approx(-2 / 6)
    assert rows["all", "k = 1"].p_value == 1.0


def test_what_one_declines_is_not_compared() -> None:
    [zero, *_] = compare(run_of("yes", "yes"), run_of("no", None))
    assert (zero.questions, zero.mended) == (1, 1)


def test_questions_that_moved_to_another_domain_count_only_over_all() -> None:
    moved = Predictions({}, [row("q0", "a", "yes", "y"), row("q1", "a", "yes")])
    found = {(one.domain, one.policy): one.questions for one in compare(moved, run_of("no", "no"))}
    assert found["x", "k = 0"] == 1 and found["all", "k = 0"] == 2 and ("y", "k = 0") not in found


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    one = run_of("yes")
    with pytest.raises(InputError, match="share no question"):
        compare(one, Predictions({}, [row("other", "a", "yes")]))
    with pytest.raises(InputError, match="question q0 is another one"):
        compare(one, Predictions({}, [row("q0", "b", "yes")]))
    one.save(tmp_path / "one.jsonl")
    assert Predictions.load(tmp_path / "one.jsonl").rows[0].policies == one.rows[0].policies
    lines = (tmp_path / "one.jsonl").read_text().splitlines()
    for damaged in ([], lines[1:], [lines[0]], [lines[0], "{}"], [lines[0], lines[1], lines[1]]):
        (tmp_path / "damaged.jsonl").write_text("\n".join(damaged))
        with pytest.raises(InputError, match=r"predictions|no prediction"):
            Predictions.load(tmp_path / "damaged.jsonl")


def test_two_runs_at_the_command_line(
    samples: Path, index_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [json.loads(text) for text in (samples / "questions.jsonl").read_text().splitlines()]
    asked = [line for line in lines if line["options"] and (line["split"], line["domain"]) == ("test", "radiology")]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked[:6]))
    words = ["evaluate", "questions.jsonl", "--root", samples, "--index", index_folder, "--device", "cpu"]
    words += ["--mllm", samples / "models/mllm", "--max-k", 1]

    def run(*more: object) -> Result:
        return CliRunner().invoke(main, [str(word) for word in (*words, *more)], catch_exceptions=False)

    plain = run("--predictions", "one.jsonl")
    assert plain.exit_code == 0, plain.output
    first, *rows = [json.loads(line) for line in (tmp_path / "one.jsonl").read_text().splitlines()]
    assert first["predictions"] == 2 and set(first["fingerprints"]) >= {"mllm", "index", "prompt"}
    assert {line["id"] for line in rows} <= {line["id"] for line in asked[:6]} and rows
    for line in rows:
        assert line["policies"]["k = 1"] == line["answers"][1] and len(line["log_probabilities"]) == 2
        assert len(line["contexts"]) == 1 and not any(line["patient"] in str(one["patient"]) for one in asked)
    both = run("--compare", "one.jsonl")
    assert both.exit_code == 0, both.output
    assert "This run after one.jsonl before, which 0 questions are not in both of:" in both.stdout
    found = json.loads(run("--compare", "one.jsonl", "--json").stdout)["comparison"]
    assert {one["difference"] for one in found} == {0.0} and {one["p_value"] for one in found} == {1.0}
    refused = run("--compare", "one.jsonl", "--predictions", "one.jsonl")
    assert refused.exit_code == 2 and "one and the same" in refused.stderr
    refused = run("--compare", "questions.jsonl")
    assert refused.exit_code == 2 and "holds no predictions" in refused.stderr
