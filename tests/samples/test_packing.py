"""A packed sequence gives each branch exactly what a prompt of its own would give."""

from typing import Any

import pytest
import torch
from transformers import FastVlmForConditionalGeneration

from samples.build import architecture, tokenizer
from samples.build.packing import IGNORED, Branch, Packed, collate, pack

OPENING = [3] + [tokenizer.IMAGE_ID] * 4 + [10, 11]
CONTEXTS = [[20, 21, 22], [30, 31], [40, 41, 42, 43]]
BRANCHES = [
    Branch(0, [50, 51, 4], [60, 1], 1.0),
    Branch(2, [50, 51, 4], [60, 1], 1.0),
    Branch(3, [52, 4], [61, 62, 1], 0.5),
    Branch(1, [53, 4], [63, 1], 1.0),
]


@pytest.fixture(scope="module")
def model() -> FastVlmForConditionalGeneration:
    torch.manual_seed(5)
    made = architecture.new_model()
    made.eval()
    return made


def logits_of(model: Any, ids: list[int], features: torch.Tensor) -> torch.Tensor:
    """Logits [t, vocabulary] of one plain sequence, positions and mask left to the model."""
    inner = model.model
    tokens = torch.tensor([ids])
    embeddings = inner.get_input_embeddings()(tokens)
    images = inner.multi_modal_projector(features)
    embeddings = embeddings.masked_scatter((tokens == tokenizer.IMAGE_ID)[..., None], images)
    logits: torch.Tensor = model.lm_head(inner.language_model(inputs_embeds=embeddings).last_hidden_state)[0]
    return logits


def answers(model: Any, batch: Packed, features: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Logits at the chosen positions of a packed batch."""
    logits: torch.Tensor = model.lm_head(architecture.hidden_states(model, batch, features)[chosen])
    return logits


def alone(branch: Branch) -> list[int]:
    return [*OPENING, *(token for context in CONTEXTS[: branch.k] for token in context), *branch.question]


@torch.inference_mode()
def test_packed_logits_equal_separate_prompts(model: FastVlmForConditionalGeneration) -> None:
    features = torch.randn(2, 4, 512)
    longer = pack(OPENING, CONTEXTS, BRANCHES, 0.1)
    batch = collate([pack(OPENING, CONTEXTS, BRANCHES[:1], 0.0), longer], tokenizer.PAD_ID)
    chosen = torch.zeros_like(batch.weights, dtype=torch.bool)
    chosen[1] = batch.weights[1] >= 0.5
    packed = answers(model, batch, features, chosen)
    expected = []
    for branch in BRANCHES:
        before = alone(branch)
        whole = logits_of(model, before + branch.answer, features[1:])
        expected.append(whole[len(before) - 1 : -1])
    assert torch.allclose(packed, torch.cat(expected), atol=1e-4)
    assert batch.targets[chosen].tolist() == [token for branch in BRANCHES for token in branch.answer]
    # The short sequence beside it is the same alone: padding is seen by nobody.
    first = torch.zeros_like(chosen)
    first[0] = batch.weights[0] >= 0.5
    before = alone(BRANCHES[0])
    short = logits_of(model, before + BRANCHES[0].answer, features[:1])[len(before) - 1 : -1]
    assert torch.allclose(answers(model, batch, features, first), short, atol=1e-4)


@torch.inference_mode()
def test_context_logits_equal_a_plain_sequence(model: FastVlmForConditionalGeneration) -> None:
    """The language-modelling loss on reports sees the opening and earlier reports, and no branch."""
    features = torch.randn(1, 4, 512)
    batch = collate([pack(OPENING, CONTEXTS, BRANCHES, 0.1)], tokenizer.PAD_ID)
    chosen = (batch.weights > 0) & (batch.weights < 0.5)
    reports = [token for context in CONTEXTS for token in context]
    whole = logits_of(model, OPENING + reports, features)[len(OPENING) - 1 : -1]
    assert torch.allclose(answers(model, batch, features, chosen), whole, atol=1e-4)
    assert batch.targets[chosen].tolist() == reports


def sees(packed: Packed, row: int) -> list[int]:
    return packed.ids[packed.sees[row]].tolist()


def test_who_sees_whom_by_hand() -> None:
    packed = pack([7, 8], [[20], [30]], [Branch(1, [50], [60, 1], 1.0), Branch(2, [51], [61, 1], 1.0)], 0.0)
    assert packed.ids.tolist() == [7, 8, 20, 30, 50, 60, 1, 51, 61, 1]
    assert packed.positions.tolist() == [0, 1, 2, 3, 3, 4, 5, 4, 5, 6]
    assert sees(packed, 5) == [7, 8, 20, 50, 60]
    assert sees(packed, 7) == [7, 8, 20, 30, 51]
    assert packed.targets.tolist() == [IGNORED, 20, 30, IGNORED, 60, 1, IGNORED, 61, 1, IGNORED]
    assert packed.weights.tolist() == [0, 0, 0, 0, 1, 1, 0, 1, 1, 0]


def test_contexts_beyond_the_branches_are_left_out() -> None:
    packed = pack([7], CONTEXTS, [Branch(1, [50], [60], 1.0)], 0.1)
    assert packed.ids.tolist() == [7, 20, 21, 22, 50, 60]


def test_more_contexts_asked_for_than_there_are() -> None:
    """A branch at k = 8 of a record with two contexts reads both."""
    packed = pack([7], [[20], [30]], [Branch(8, [50], [60], 1.0)], 0.0)
    assert sees(packed, 3) == [7, 20, 30, 50]
    assert packed.positions.tolist() == [0, 1, 2, 3, 4]


def test_padding_sees_itself_alone_and_teaches_nothing() -> None:
    short = pack([7], [], [Branch(0, [50], [60], 1.0)], 0.0)
    long = pack([7], [[20, 21]], [Branch(1, [50], [60], 1.0)], 0.0)
    batch = collate([short, long], pad_id=0)
    assert batch.ids.tolist() == [[7, 50, 60, 0, 0], [7, 20, 21, 50, 60]]
    assert batch.sees[0, 3:].tolist() == [[False] * 3 + [True, False], [False] * 4 + [True]]
    assert batch.weights[0, 3:].tolist() == [0, 0]
    assert batch.targets[0, 3:].tolist() == [IGNORED, IGNORED]
