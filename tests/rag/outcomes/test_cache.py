"""Outcomes kept on disk: what was whole is known again, what was torn is not, and one process writes at a time."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from indexing import Encoder, Index
from rag import Outcome, OutcomeCache, PromptTemplate, Question, TransformersMLLM, retrieve, score_outcomes
from tests.full_disk import no_file_above
from titrate import InputError, TitrateError

KEY = "a" * 64
FIRST = Outcome([0.0, 1.0], [0.75, 0.5], ["yes", "no"], [[-0.2, -1.7], [-0.7, -0.7]])
SECOND = Outcome([1.0, 1.0], [1.0, 1.0], ["ä", "b"], None)


def test_what_was_kept_is_known_again(tmp_path: Path) -> None:
    for names, rows in ((["q1", "q2"], [FIRST, SECOND]), (["q3"], [SECOND])):
        with OutcomeCache(tmp_path, KEY) as cache:
            cache.put(names, rows)
    with OutcomeCache(tmp_path, KEY) as cache:
        assert cache.get(["q3", "q1", "q2"]) == [SECOND, FIRST, SECOND]
        assert cache.get(["q1", "unknown"]) is None, "all or none"
    with OutcomeCache(tmp_path, "b" * 64) as other:
        assert other.get(["q1"]) is None


@pytest.mark.parametrize(
    "torn", [b'{"question": "q2", "los', b'{"question": "q2"}\n', b"[]\n", b"\xff\n", b"no JSON\n"]
)
def test_what_was_torn_is_dropped_and_written_anew(tmp_path: Path, torn: bytes) -> None:
    with OutcomeCache(tmp_path, KEY) as cache:
        cache.put(["q1"], [FIRST])
    with cache.path.open("ab") as file:
        file.write(torn)
    for _ in range(2):
        with OutcomeCache(tmp_path, KEY) as cache:
            assert cache.get(["q1"]) == [FIRST]
            if cache.get(["q2"]) is None:
                cache.put(["q2"], [SECOND])
    assert cache.path.read_text(encoding="utf-8").count("\n") == 2


def test_two_at_once_and_a_folder_that_cannot_be(tmp_path: Path) -> None:
    with OutcomeCache(tmp_path, KEY), pytest.raises(InputError, match="another process is scoring; wait for it"):
        OutcomeCache(tmp_path, KEY)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another folder"):
        OutcomeCache(tmp_path / "file", KEY)


def test_a_second_pass_asks_the_model_nothing(
    index: Index,
    encoder: Encoder,
    tiny: TransformersMLLM,
    judged: list[Question],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    retrieved = retrieve(index, encoder, judged, 2)
    tables = []
    for _ in range(2):
        with OutcomeCache(tmp_path, KEY) as cache:
            tables.append(score_outcomes(tiny, PromptTemplate(), retrieved, 2, cache=cache).table)
        monkeypatch.setattr(tiny, "score_nested", lambda *_: pytest.fail("the model was asked again"))
    np.testing.assert_array_equal(tables[0].losses, tables[1].losses)
    np.testing.assert_array_equal(tables[0].confidences, tables[1].confidences)


def test_a_full_disk_is_told_once_and_what_was_kept_stays(tmp_path: Path) -> None:
    with OutcomeCache(tmp_path, KEY) as cache:
        cache.put(["q1"], [FIRST])
    long = Outcome([0.0], [1.0], ["x" * 10_000], None)
    with (
        no_file_above(1_000),
        pytest.raises(TitrateError, match="File too large; free some space and run again"),
        OutcomeCache(tmp_path, KEY) as cache,
    ):
        cache.put(["q2"], [long])
    with OutcomeCache(tmp_path, KEY) as cache:
        assert cache.get(["q1"]) == [FIRST] and cache.get(["q2"]) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"losses": "01"},
        {"losses": [0.0, 1e400]},
        {"losses": [0.0]},
        {"losses": [], "confidences": [], "answers": [], "log_probabilities": None},
        {"confidences": [0.5, float("nan")]},
        {"answers": ["yes", 1]},
        {"answers": ["yes", "\ud800"]},
        {"log_probabilities": [[-0.1], [-0.1, -0.2]]},
        {"log_probabilities": [[-0.1, None], [-0.1, -0.2]]},
        {"log_probabilities": 3},
    ],
)
def test_a_line_that_makes_no_sense_is_scored_anew(tmp_path: Path, fields: dict[str, object]) -> None:
    with OutcomeCache(tmp_path, KEY) as cache:
        cache.put(["q1"], [FIRST])
    with cache.path.open("a") as file:
        file.write(json.dumps({"question": "q2", **asdict(FIRST), **fields}) + "\n")
    with OutcomeCache(tmp_path, KEY) as cache:
        assert cache.get(["q1"]) == [FIRST] and cache.get(["q2"]) is None
