"""Options scored by all their tokens, through a server that tells the log-probability of any token."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from rag import OpenAIMLLM, Prompt, PromptTemplate, TransformersMLLM
from rag.models.server.exact import option_tree
from tests.rag.openai_loopback import Served, exact_behind, serving
from titrate import TitrateError

CHOICES = (
    ["yes", "no"],
    ["left lung", "right lung", "both lungs"],
    ["A", "B", "C", "D"],
    ["no", "no change"],
)


@pytest.fixture(scope="module")
def exact(mllm: TransformersMLLM) -> Iterator[Served]:
    with serving(*exact_behind(mllm)) as running:
        yield running


@pytest.mark.filterwarnings("ignore:.*with none of the options")
@pytest.mark.parametrize("options", CHOICES, ids=" or ".join)
def test_scores_are_the_models_own_whatever_the_options(
    exact: Served, mllm: TransformersMLLM, pictures: list[Image.Image], options: list[str]
) -> None:
    opened = OpenAIMLLM.open(exact.url)
    assert opened.versions["options read by"] == "all their tokens"
    prompts = [
        Prompt(picture, PromptTemplate().render("What is it?", options, ["Clear lungs."] * row))
        for row, picture in enumerate(pictures[:3])
    ]
    scores, own = (model.score(prompts, [options] * 3) for model in (opened, mllm))
    assert np.stack(scores) == pytest.approx(np.stack(own), abs=1e-4)


def test_a_server_that_stops_telling_is_one_line(mllm: TransformersMLLM, pictures: list[Image.Image]) -> None:
    complete, beside = exact_behind(mllm)
    told = [True]

    def until_it_stops(body: dict[str, object]) -> tuple[int, object]:
        return complete({**body, "logprob_token_ids": [0]} if not told[0] else body)

    with serving(until_it_stops, beside) as running:
        opened = OpenAIMLLM.open(running.url)
        told[0] = False
        with pytest.raises(TitrateError, match="no longer tells the log-probabilities of the tokens"):
            opened.score([Prompt(pictures[0], "Is it?")], [["yes", "no"]])


def test_the_tree_of_options_that_begin_alike() -> None:
    """By hand: a prompt of token 9; "no" is 1, "no change" 1 2; an answer ends with 0."""
    spelled = {"": (9,), "no": (9, 1), "no change": (9, 1, 2)}

    def tokens(answer: str, how: object) -> tuple[int, ...]:
        closed = isinstance(how, dict) and how.get("continue_final_message") is False
        return (*spelled[answer], 0) if closed else spelled[answer]

    words = {(): "", (1,): "no", (1, 2): "no change"}
    tree = option_tree(["no", "no change"], tokens, lambda ids: words.get(tuple(ids)))
    assert tree is not None
    assert tree.nodes == (("", (1,)), ("no", (0, 2)), ("no change", (0,)))
    found = [{1: -1.0}, {0: -0.5, 2: -2.0}, {0: -0.25}]
    assert tree.scores(found).tolist() == [-1.5, -3.25]


def test_an_end_of_several_tokens_is_read_up_to_the_special_one() -> None:
    """By hand: the template ends an answer with a line break, 5, and </s>, 0, and then breaks the line again."""
    spelled = {"": (9,), "no": (9, 1), "no change": (9, 1, 2), "no\n": (9, 1, 5), "no change\n": (9, 1, 2, 5)}

    def tokens(answer: str, how: object) -> tuple[int, ...]:
        closed = isinstance(how, dict) and how.get("continue_final_message") is False
        return (*spelled[answer], 5, 0, 5) if closed else spelled.get(answer, ())

    words = {0: "</s>", 1: "no", 2: " change", 5: "\n"}
    tree = option_tree(["no", "no change"], tokens, lambda ids: "".join(words[token] for token in ids))
    assert tree is not None
    asked = dict(tree.nodes)
    assert asked == {"": (1,), "no": (2, 5), "no\n": (0,), "no change": (5,), "no change\n": (0,)}
    assert [len(steps) for steps in tree.steps] == [3, 4]


def test_options_that_the_server_reads_otherwise_have_no_tree() -> None:
    assert option_tree(["yes", "no"], lambda answer, how: (9, 1) if answer else (9,), lambda ids: "maybe") is None


def test_capitals_that_a_vocabulary_folds_are_read_and_what_it_cannot_tell_apart_is_not() -> None:
    numbers = {"": (9,), "A": (9, 1), "B": (9, 2)}
    folded = option_tree(
        ["A", "B"], lambda answer, how: numbers[answer.upper()], lambda ids: "ab"[ids[0] - 1] if ids else ""
    )
    assert folded is not None and folded.nodes == (("", (1, 2)),)
    assert (
        option_tree(["A", "a"], lambda answer, how: (9, 1) if answer else (9,), lambda ids: "a" if ids else "") is None
    )
