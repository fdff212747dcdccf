"""Stored outcomes whose answer, confidence or loss does not follow from the rest are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from indexing import Encoder, Index
from rag import Outcome, OutcomeCache, PromptTemplate, Question, TransformersMLLM, retrieve, score_outcomes
from rag.outcomes.contradictions import refuse_contradictions
from rag.outcomes.losses import token_loss
from titrate import InputError

KEY = "a" * 64
Edit = Callable[[Any], object]
# exp of each: 0.8 and 0.2; 0.4 and 0.6. So the answers are yes, then no; the reference is yes.
LOGS = [[-0.2231435513142097, -1.6094379124341003], [-0.916290731874155, -0.5108256237659907]]
SOUND = Outcome([0.0, 1.0], [0.8, 0.6], ["yes", "no"], LOGS)
CLOSED = Question(id="q1", image=Path("i.png"), text="Is it?", answer="yes", options=("yes", "no"), split="calibrate")
OPEN = Question(id="q2", image=Path("i.png"), text="What?", answer="an effusion", options=None, split="calibrate")


def test_what_follows_is_taken() -> None:
    refuse_contradictions([CLOSED], [SOUND], 1, token_loss, Path("kept.jsonl"))
    # precision 1/2, recall 1: F1 2/3
    told = Outcome([0.0, 1 / 3], [1.0, 1.0], ["Effusion.", "pleural effusion"], None)
    refuse_contradictions([OPEN], [told], 1, token_loss, Path("kept.jsonl"))


@pytest.mark.parametrize(
    ("question", "outcome", "message"),
    [
        (
            CLOSED,
            Outcome([1.0, 1.0], [0.8, 0.6], ["yes", "no"], LOGS),
            "the loss with k = 0 is 1, and that of its answer 0",
        ),
        (
            CLOSED,
            Outcome([0.0, 0.0], [0.8, 0.6], ["yes", "no"], LOGS),
            "the loss with k = 1 is 0, and that of its answer 1",
        ),
        (
            CLOSED,
            Outcome([0.0, 0.0], [0.8, 0.6], ["yes", "yes"], LOGS),
            "the answer with k = 1 is not the likeliest option",
        ),
        (
            CLOSED,
            Outcome([0.0, 1.0], [1.0, 0.6], ["yes", "no"], LOGS),
            "the confidence with k = 0 is not the probability",
        ),
        (CLOSED, Outcome([0.0, 1.0], [float("nan"), 0.6], ["yes", "no"], LOGS), "the confidence with k = 0"),
        (CLOSED, Outcome([float("nan"), 1.0], [0.8, 0.6], ["yes", "no"], LOGS), "the loss with k = 0"),
        (CLOSED, Outcome([0.0, 1.0], [0.8, 0.6], ["yes", "no"], [[float("nan"), -1.0], LOGS[1]]), "do not add up to 1"),
        (CLOSED, Outcome([0.0, 1.0], [0.8, 0.6], ["yes", "no"], [[-0.1, -0.2], LOGS[1]]), "do not add up to 1"),
        (CLOSED, Outcome([0.0, 1.0], [0.8, 0.6], ["yes", "no"], [[-0.1], [-0.1]]), "not those of each option"),
        (CLOSED, Outcome([0.0, 1.0], [1.0, 1.0], ["yes", "no"], None), "probabilities of options where the question"),
        (CLOSED, Outcome([0.0], [0.8], ["yes"], LOGS[:1]), "it is not of k = 0 to 1"),
        (OPEN, Outcome([0.0, 0.0], [1.0, 1.0], ["Effusion.", "pneumonia"], None), "the loss with k = 1 is 0"),
        (OPEN, Outcome([0.0, 1.0], [1.0, 0.5], ["Effusion.", "pneumonia"], None), "the confidence with k = 1"),
    ],
)
def test_what_contradicts_itself_is_refused(question: Question, outcome: Outcome, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        refuse_contradictions([question], [outcome], 1, token_loss, Path("kept.jsonl"))
    said = str(error.value)
    assert said.startswith(f"kept.jsonl: what is stored of question {question.id} cannot be") and "\n" not in said


def test_an_edited_cache_is_refused(
    index: Index, encoder: Encoder, tiny: TransformersMLLM, judged: list[Question], tmp_path: Path
) -> None:
    retrieved = retrieve(index, encoder, judged, 1)
    with OutcomeCache(tmp_path, KEY) as cache:
        score_outcomes(tiny, PromptTemplate(), retrieved, 1, cache=cache)
    lines = [json.loads(line) for line in cache.path.read_text().splitlines()]
    lines[0]["losses"] = [1 - loss for loss in lines[0]["losses"]]
    cache.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with (
        OutcomeCache(tmp_path, KEY) as cache,
        pytest.raises(InputError, match=r"jsonl: what is stored of question .* the loss with k = 0"),
    ):
        score_outcomes(tiny, PromptTemplate(), retrieved, 1, cache=cache)
