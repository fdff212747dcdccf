"""What teaches the decoder to read: answers at every word of a question, an added mask, heads that match words."""

import math

import torch

from samples.build.architecture import attention_bias, new_model
from samples.build.packing import IGNORED, Branch, collate, pack
from samples.build.reading import probe_loss

YES, NO = Branch(1, [7, 8], [5, 1], 1.0, truth=True), Branch(0, [9], [6, 1], 1.0, truth=False)
OPEN = Branch(1, [7], [12, 13, 1], 0.3)


def test_each_word_of_a_closed_question_knows_its_answer_and_no_other_place_does() -> None:
    packed = pack([3, 4], [[20, 21]], [YES, OPEN, NO], 0.0)
    # opening 2, context 2, "7 8" yes with its answer, the open one's 4, "9" no with its answer
    expected = [IGNORED] * 4 + [1, 1] + [IGNORED] * 2 + [IGNORED] * 4 + [0] + [IGNORED] * 2
    assert packed.truths.tolist() == expected
    longer = collate([pack([3], [], [NO], 0.0), packed], pad_id=0)
    assert longer.truths.tolist() == [[IGNORED, 0] + [IGNORED] * (len(expected) - 2), expected]


def test_the_probe_is_judged_at_those_words_alone() -> None:
    probe = torch.nn.Linear(1, 1)
    with torch.no_grad():
        probe.weight.fill_(1.0), probe.bias.zero_()
    hidden = torch.tensor([[[50.0], [math.log(3)], [math.log(3)], [-50.0]]])  # log-odds; 3 to 1 is 0.75 for yes
    truths = torch.tensor([[IGNORED, 1, 0, IGNORED]])
    expected = -(math.log(0.75) + math.log(0.25)) / 2
    assert abs(probe_loss(probe, hidden, truths).item() - expected) < 1e-6


def test_what_is_not_seen_has_no_weight() -> None:
    sees = torch.ones(1, 3, 3).tril().bool()
    weights = torch.softmax(attention_bias(sees).float(), dim=-1)[0, 0]
    assert torch.allclose(weights, torch.tensor([[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]]))


def test_a_matching_head_begins_with_its_queries_as_keys_and_the_others_do_not() -> None:
    torch.manual_seed(0)
    for layer in new_model().model.language_model.layers:
        same = layer.self_attn.k_proj.weight == layer.self_attn.q_proj.weight
        assert same[:64].all() and not same[64:].any()
