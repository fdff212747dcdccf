"""An image that looks like none of the index's domains: declined, or answered from all of them without a guarantee."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexing import Encoder, Index
from rag import TransformersMLLM, answer_json, answer_page, retrieve
from rag.questions import Question
from tests.rag.small import pipeline_of, query_image
from titrate import OutOfDomainError

QUESTION, YES_NO = "Is there pneumonia?", ["yes", "no"]


@pytest.fixture
def wary(small: Index, monkeypatch: pytest.MonkeyPatch) -> Index:
    """Give an index to which every image is unfamiliar."""
    monkeypatch.setattr(small, "detector", replace(small.detector, thresholds=np.full(len(small.domains), -1.0)))
    return small


@pytest.fixture(scope="session")
def image(samples: Path) -> Path:
    return query_image(samples)


def test_declined_by_default(wary: Index, encoder: Encoder, tiny: TransformersMLLM, image: Path) -> None:
    pipeline = pipeline_of(wary, encoder, tiny, k=2)
    with pytest.raises(OutOfDomainError, match=r"none of the index's domains \(.+\): declined"):
        pipeline.ask(image, QUESTION, YES_NO)
    assert OutOfDomainError.exit_code == 2


def test_all_domains_are_searched_when_asked(
    wary: Index, encoder: Encoder, tiny: TransformersMLLM, image: Path
) -> None:
    answer = pipeline_of(wary, encoder, tiny, k=40, out_of_domain="search").ask(image, QUESTION, YES_NO)
    assert not answer.in_domain
    assert not answer.certified
    assert "none of the index's domains" in answer.statement
    assert {context.record for context in answer.contexts} == {"far", *(f"other-{number}" for number in range(5))}
    cosines = [context.similarity for context in answer.contexts]
    assert cosines == sorted(cosines, reverse=True)
    assert not answer_json(answer, with_prompt=False)["in_domain"]
    assert "Domain: none of these" in answer_page(answer, with_prompt=False)


def test_declined_questions_are_left_out_of_outcomes_and_counted(
    wary: Index, encoder: Encoder, judged: list[Question]
) -> None:
    kept = retrieve(wary, encoder, judged, 1, out_of_domain="accept")
    assert (len(kept.questions), kept.declined) == (len(judged), ())
    declined = retrieve(wary, encoder, judged, 1)
    assert declined.questions == ()
    assert sorted(question.id for question in declined.declined) == sorted(question.id for question in judged)
