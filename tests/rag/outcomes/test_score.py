"""The outcome table holds what `ask` answers, at every k."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexing import Encoder, ImageView, Index, load_image
from rag import PromptTemplate, Question, Retrieved, TransformersMLLM, retrieve, score_outcomes
from tests.rag.small import pipeline_of
from titrate import InputError

MAX_K = 3


def check_against_ask(index: Index, encoder: Encoder, mllm: TransformersMLLM, questions: list[Question]) -> None:
    retrieved = retrieve(index, encoder, questions, MAX_K)
    outcomes = score_outcomes(mllm, PromptTemplate(), retrieved, MAX_K)
    table = outcomes.table
    assert table.losses.shape == (len(questions), MAX_K + 1)
    assert outcomes.prompt.report_tokens == mllm.tokens_per_report != PromptTemplate().report_tokens
    assert outcomes.questions == retrieved.questions
    for row, question in enumerate(outcomes.questions):
        for k in range(MAX_K + 1):
            answer = pipeline_of(index, encoder, mllm, k=k).ask(
                question.image, question.text, question.options, patient=question.patient, study=question.study
            )
            assert answer.domain == table.domains[row]
            assert [c.record for c in answer.contexts] == [match.record.id for match in outcomes.matches[row][:k]]
            assert answer.probabilities is not None
            assert max(answer.probabilities.values()) == pytest.approx(table.confidences[row, k], abs=1e-5)
            assert answer.text == table.answers[row][k]
            assert table.losses[row, k] == float(answer.text != question.answer)
    assert list(table.question_ids) == [question.id for question in outcomes.questions]
    assert list(table.units) == [question.patient for question in outcomes.questions]


def test_outcomes_equal_asking(index: Index, encoder: Encoder, tiny: TransformersMLLM, judged: list[Question]) -> None:
    check_against_ask(index, encoder, tiny, judged)


def test_the_shipped_model_likewise(
    index: Index, encoder: Encoder, mllm: TransformersMLLM, judged: list[Question]
) -> None:
    check_against_ask(index, encoder, mllm, judged[:3])


def test_images_are_altered_before_the_model_sees_them(
    index: Index, encoder: Encoder, tiny: TransformersMLLM, judged: list[Question]
) -> None:
    retrieved = retrieve(index, encoder, judged[:2], 1)
    told: list[tuple[int, int]] = []
    same = score_outcomes(
        tiny, PromptTemplate(), retrieved, 1, alter=lambda image: image, progress=lambda *step: told.append(step)
    )
    blank = score_outcomes(tiny, PromptTemplate(), retrieved, 1, alter=lambda image: Image.new("RGB", image.size))
    plain = score_outcomes(tiny, PromptTemplate(), retrieved, 1)
    assert np.array_equal(same.table.confidences, plain.table.confidences)
    assert not np.allclose(blank.table.confidences, plain.table.confidences, atol=1e-5)
    assert told[-1] == (2, 2)


def asked(id: str, image: Path, patient: str) -> Question:
    return Question(id=id, image=image, text="Is it?", answer="yes", options=("yes", "no"), patient=patient)


def test_many_images_in_chunks(
    index: Index, encoder: Encoder, tiny: TransformersMLLM, judged: list[Question], tmp_path: Path
) -> None:
    """More images than are scored at once: every question is answered once, beside its own row."""
    source = load_image(judged[0].image)
    questions = []
    for number in range(18):
        path = tmp_path / f"{number:02}.png"
        source.crop((number, 0, source.width, source.height)).save(path)
        questions.append(asked(f"q{17 - number}", path, f"p{number}"))
    together = score_outcomes(tiny, PromptTemplate(), retrieve(index, encoder, questions, 1), 1).table
    assert list(together.question_ids) == [f"q{17 - number}" for number in range(18)]
    for row in (0, 15, 16, 17):
        alone = score_outcomes(tiny, PromptTemplate(), retrieve(index, encoder, [questions[row]], 1), 1).table
        assert alone.confidences[0] == pytest.approx(together.confidences[row], abs=1e-5)


def test_fewer_cases_than_k(small: Index, encoder: Encoder, tiny: TransformersMLLM, judged: list[Question]) -> None:
    """Where five cases exist, k = 5 and k = 6 are the same prompt."""
    question = next(question for question in judged if question.domain == "radiology")
    retrieved = retrieve(small, encoder, [question], 3)
    table = score_outcomes(tiny, PromptTemplate(), retrieved, 3).table
    assert [len(matches) for matches in retrieved.matches] == [1]
    assert table.confidences[0, 1:] == pytest.approx(table.confidences[0, 1], abs=1e-6)


def test_no_questions_are_refused(tiny: TransformersMLLM) -> None:
    with pytest.raises(InputError):
        score_outcomes(tiny, PromptTemplate(), Retrieved((), (), (), (), ImageView(), 1.0, None, (), ()), 2)
