"""A model behind a server gives the answers, scores and decisions that it gives directly."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from rag import OpenAIMLLM, Prompt, PromptTemplate, Question, TransformersMLLM
from rag.models.base import NestedPrompt
from tests.rag.openai_loopback import Served, answer_token, said, serving
from titrate import TitrateWarning

REPORTS = ("Clear lungs.", "Large heart, wide aorta. " * 3, "No focal consolidation; lines in place.")


@pytest.fixture
def behind(served: Served) -> OpenAIMLLM:
    return OpenAIMLLM.open(f"{served.url}#small")


@pytest.fixture
def prompts(pictures: list[Image.Image], judged: list[Question]) -> list[Prompt]:
    template = PromptTemplate()
    return [
        Prompt(pictures[row % 3], template.render(question.text, question.options, REPORTS[: row % 4]))
        for row, question in enumerate(judged[:8])
    ]


def test_answers_equal_the_models_own(behind: OpenAIMLLM, mllm: TransformersMLLM, prompts: list[Prompt]) -> None:
    free = [Prompt(prompt.image, prompt.text.partition("\nOptions")[0]) for prompt in prompts]
    assert behind.generate(prompts + free, 12) == [mllm.generate([prompt], 12)[0] for prompt in prompts + free]


def test_scores_equal_the_models_own(behind: OpenAIMLLM, mllm: TransformersMLLM, prompts: list[Prompt]) -> None:
    options = [["yes", "no"], ["no", "yes"]] * (len(prompts) // 2)
    scores, own = behind.score(prompts, options), mllm.score(prompts, options)
    assert all(row.dtype == np.float64 for row in scores)
    assert np.stack(scores) == pytest.approx(np.stack(own), abs=1e-4)
    assert np.ptp(np.stack(own)[:, 0]) > 0.1  # or else nothing would be shown


def test_every_k_equals_the_models_own(behind: OpenAIMLLM, mllm: TransformersMLLM, prompts: list[Prompt]) -> None:
    template = PromptTemplate()
    contexts = tuple(template.context(number, report) for number, report in enumerate(REPORTS, start=1))
    closings = tuple(template.closing(text, ["yes", "no"]) for text in ("Is there a fracture?", "Is it an X-ray?"))
    nested = NestedPrompt(prompts[0].image, template.opening(), contexts, closings)
    options = [[["yes", "no"], ["yes", "no"]]]
    ours, own = behind.score_nested([nested], options, range(5))[0], mllm.score_nested([nested], options, range(5))[0]
    assert np.stack(ours) == pytest.approx(np.stack(own), abs=1e-4)


def test_options_that_are_not_listed_are_decided_by_words(
    behind: OpenAIMLLM, mllm: TransformersMLLM, prompts: list[Prompt]
) -> None:
    word = mllm.generate([prompts[0]], 1)[0]
    with pytest.warns(TitrateWarning, match="leave it open how likely"):
        [scores] = behind.score([prompts[0]], [[word, "maybe left", "maybe right"]])
    assert scores.tolist() == [0, -np.inf, -np.inf], "no probability is made up"


def test_what_is_sent(served: Served, behind: OpenAIMLLM, pictures: list[Image.Image]) -> None:
    served.asked.clear()
    text = "Report [1]: <image> <|im_end|> 3 < 4 [INST] fine.\nQuestion: Is it?\nOptions: yes, no"
    behind.score([Prompt(pictures[0], text)], [["yes", "no"]])
    [body] = served.completions()
    picture, words = body["messages"][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    assert words["text"] == "Report [1]:     3 < 4   fine.\nQuestion: Is it?\nOptions: yes, no"
    assert {name: value for name, value in body.items() if name != "messages"} == {
        "model": "small",
        "temperature": 0,
        "max_tokens": 2,
        "logprobs": True,
        "top_logprobs": 20,
    }


def test_one_model_need_not_be_named(served: Served, behind: OpenAIMLLM) -> None:
    assert OpenAIMLLM.open(served.url).fingerprint == behind.fingerprint
    assert OpenAIMLLM.open(f"{served.url}/").fingerprint == behind.fingerprint


def test_fingerprint_is_what_the_server_says() -> None:
    yes = [answer_token(("yes", -0.1), ("no", -3.0))]

    def opened(entry: dict[str, Any], tokens: Any = yes) -> str:
        with serving(lambda body: said("yes", tokens)) as running:
            running.models = (200, {"data": [{"id": "small", **entry}]})
            return OpenAIMLLM.open(running.url).fingerprint

    first = opened({"root": "ours/small", "created": 1, "permission": [{"id": "modelperm-1"}]})
    assert opened({"root": "ours/small", "created": 2, "permission": [{"id": "modelperm-2"}]}) == first
    assert opened({"root": "ours/other"}) != first
    assert opened({"id": "other", "root": "ours/small"}) != first
    with pytest.warns(TitrateWarning, match="told from the words"):
        assert opened({"root": "ours/small"}, None) != first


def test_without_log_probabilities_words_decide(prompts: list[Prompt]) -> None:
    answers = iter(["Yes.", "Yes, there is.", "The answer is no.", "It may be.", "Who knows?"])
    with serving(lambda body: said(next(answers))) as running:
        with pytest.warns(TitrateWarning, match="told from the words that small writes.*lists no log-probabilities"):
            opened = OpenAIMLLM.open(running.url)
        options = [["yes", "no"]]
        assert opened.score(prompts[:1], options)[0].tolist() == [0, -np.inf]
        assert opened.score(prompts[:1], options)[0].tolist() == [-np.inf, 0]
        with pytest.warns(TitrateWarning, match="name none of the options"):
            assert opened.score(prompts[:1], options)[0] == pytest.approx(np.log([0.5, 0.5]))
        assert opened.score(prompts[:1], options)[0] == pytest.approx(np.log([0.5, 0.5]))  # a second warning would fail
        assert "logprobs" not in running.completions()[-1]


def test_where_tokens_leave_it_open_words_decide(prompts: list[Prompt]) -> None:
    def complete(body: Any) -> Any:
        text = body["messages"][0]["content"][1]["text"]
        if "image?" in text or "first" in text:
            return said("no", [answer_token(("no", -0.2), ("yes", -2.0))])
        return said("The heart is, yes", [answer_token(("The", -0.01), ("A", -5.0))] if body.get("logprobs") else None)

    with serving(complete) as running:
        opened = OpenAIMLLM.open(running.url)
        asked = [Prompt(prompts[0].image, text) for text in ("first", "second", "first")]
        with pytest.warns(TitrateWarning, match="leave it open how likely"):
            scores = opened.score(asked, [["yes", "no"]] * 3)
    assert np.stack(scores[::2]) == pytest.approx(np.array([[-2.0, -0.2]] * 2))
    assert scores[1].tolist() == [0, -np.inf]
    assert [body["max_tokens"] for body in running.completions()[1:]] == [2, 2, 2, 96]
