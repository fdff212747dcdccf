"""Blends and gates answer a question as the outcome table says, and show what they read."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from calibration import BLENDS, Policy, PolicyGrid, answers_of
from rag import AnsweringSystem, FixedK, Pipeline, PolicyPostprocessor, closed_questions, read_questions, score_outcomes
from titrate import InputError

if TYPE_CHECKING:
    from rag import TransformersMLLM

MAX_K, MOST = 2, 6


@dataclass(frozen=True)
class Always(FixedK):
    """One policy everywhere."""

    made: Policy = field(default_factory=lambda: Policy(0))

    def policy(self, domain: str) -> Policy:
        """That one."""
        return self.made


@pytest.fixture(scope="module")
def system(samples: Path, index_folder: Path, mllm: "TransformersMLLM") -> "AnsweringSystem":
    """Give the samples' index, encoder and model."""
    from indexing import Encoder, Index

    return AnsweringSystem(
        Index.open(index_folder), Encoder.open(f"local-dir:{samples / 'models/encoder'}", "cpu"), mllm
    )


def test_ask_answers_as_the_table_says_whatever_the_policy(system: AnsweringSystem, samples: Path) -> None:
    path = samples / "questions.jsonl"
    asked = closed_questions(read_questions(path, splits=["test"]), path)[::8]
    tried = PolicyGrid(MAX_K, taus=(0.6,), blends=BLENDS, gates=(0.7,)).policies
    assert sum(policy.needs_options for policy in tried) == 12
    whole = score_outcomes(system.mllm, system.prompt, system.retrieve(asked, MAX_K), MAX_K).table
    rows = zip(*(answers_of(policy, whole) for policy in tried), strict=True)
    differ = {id: len(set(row)) for id, row in zip(whole.question_ids, rows, strict=True)}
    # Those on which the policies differ most, where a policy that was mistaken for another would show.
    asked = sorted(asked, key=lambda question: -differ.get(question.id, 0))[:MOST]
    assert differ[asked[0].id] > 1
    found = system.retrieve(asked, MAX_K)
    table = score_outcomes(system.mllm, system.prompt, found, MAX_K).table
    for policy in tried:
        with Pipeline(system, Always(MAX_K, policy)) as pipeline:
            for question, said in zip(found.questions, answers_of(policy, table), strict=True):
                answer = pipeline.ask(
                    question.image, question.text, question.options, patient=question.patient, study=question.study
                )
                assert answer.text == said, (policy, question.id)
                alone = answer.probabilities is not None and policy.gate < 1 and answer.k == 0
                assert answer.k == (0 if alone else policy.k)
    system.close()


def test_a_gate_reads_nothing_where_the_model_is_sure(system: AnsweringSystem, samples: Path) -> None:
    image = next((samples / "images/kermany-cxr").glob("*.jpg"))
    open_, shut = Policy(2, gate=0.5), Policy(2, gate=1.0)
    for policy, k in ((open_, 0), (shut, 2)):
        answer = Pipeline(system, Always(MAX_K, policy)).ask(image, "Is there pneumonia?", ["yes", "no"])
        assert (answer.k, len(answer.contexts)) == (k, k)
        assert ("Report [1]" in answer.prompt) == bool(k)
    with pytest.raises(InputError, match="the certified policy weighs options"):
        Pipeline(system, Always(MAX_K, open_)).ask(image, "What is seen?")


def test_llama_index_cannot_cut_by_a_blend() -> None:
    node = NodeWithScore(node=TextNode(text="report"), score=0.5)
    with pytest.raises(InputError, match="is no number of cases"):
        PolicyPostprocessor(policy=Policy(1, blend="pair")).postprocess_nodes([node])
