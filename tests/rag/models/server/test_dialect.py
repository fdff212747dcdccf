"""What servers refuse or do otherwise is found out when they are opened, over real HTTP; thoughts are never scored."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rag import OpenAIMLLM
from rag.models.server.dialect import THOUGHT_TOKENS
from rag.models.server.replies import answer_text
from tests.rag.openai_loopback import YES, Answer, a_prompt, answer_token, failed, refuses, said, serving
from titrate import TitrateError, TitrateWarning

YES_NO = [["yes", "no"]]


def thought(content: str | None, **more: str) -> Answer:
    """A reply with these fields beside its content, whose first token begins thoughts."""
    status, value = said("", [answer_token(("<think>", -0.0001), ("no", -11.5), ("yes", -12.9))], finish="length")
    value["choices"][0]["message"] = {"role": "assistant", "content": content, **more}
    return status, value


def refusing(*names: str, most: int = 20) -> Callable[[Any], Answer]:
    """A server that knows none of these parameters, and lists so many alternatives at most."""

    def complete(body: Any) -> Answer:
        for name in names:
            if name in body:
                hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                return failed(400, f"Unsupported parameter: '{name}' is not supported with this model.{hint}")
        if body.get("top_logprobs", 0) > most:
            return failed(400, f"Requested sample logprobs of 20, which is greater than max allowed: {most}")
        return YES

    return complete


def test_fewer_alternatives_are_asked_for() -> None:
    with serving(refusing(most=5)) as running:
        opened = OpenAIMLLM.open(running.url)
        assert opened.score([a_prompt()], YES_NO)[0] == pytest.approx([-0.1, -3.0])
        assert [body.get("top_logprobs") for body in running.completions()] == [20, 10, 5, 5]
    with serving(refusing()) as running:
        assert OpenAIMLLM.open(running.url).fingerprint != opened.fingerprint


def test_other_names_of_parameters_are_found() -> None:
    with serving(refusing("max_tokens", "temperature")) as running:
        with pytest.warns(TitrateWarning, match=r"refuses temperature 0 .*may be others each time"):
            opened = OpenAIMLLM.open(running.url)
        opened.score([a_prompt()], YES_NO)
        [*_, body] = running.completions()
    assert body["max_completion_tokens"] == 2 and not {"max_tokens", "temperature"} & body.keys()


def test_a_model_that_can_be_told_not_to_think_is() -> None:
    def complete(body: Any) -> Answer:
        silent = body.get("chat_template_kwargs") == {"enable_thinking": False}
        return YES if silent else thought(None, reasoning_content="Let me see.")

    with serving(complete) as running, serving(refusing()) as plain:
        opened = OpenAIMLLM.open(running.url)
        assert opened.score([a_prompt()], YES_NO)[0] == pytest.approx([-0.1, -3.0])
        assert opened.fingerprint != OpenAIMLLM.open(plain.url).fingerprint
        assert all("chat_template_kwargs" not in body for body in plain.completions())


def test_thoughts_that_nothing_marks_are_seen() -> None:
    """A template that begins the thoughts itself: the first token is a thought, and the options are unlikely there."""

    def complete(body: Any) -> Answer:
        if "chat_template_kwargs" in body:
            return YES
        return said("Okay", [answer_token(("Okay", -0.01), ("no", -6.0), ("yes", -7.0))], finish="length")

    with serving(complete) as running:
        assert OpenAIMLLM.open(running.url).score([a_prompt()], YES_NO)[0] == pytest.approx([-0.1, -3.0])


def test_a_model_that_cannot_be_told_is_read_after_its_thoughts() -> None:
    def complete(body: Any) -> Answer:
        if body["max_tokens"] < 100:
            return thought("<think>")
        return said("<think>Is there? There is no sign of it, so no.</think>\n\nYes.")

    with serving(complete) as running:
        with pytest.warns(TitrateWarning, match="thinks before it answers and cannot be told not to"):
            opened = OpenAIMLLM.open(running.url)
        assert opened.score([a_prompt()], YES_NO)[0].tolist() == [0, -np.inf], "not the no of its thoughts"
        assert opened.generate([a_prompt()], 64) == ["Yes."]
        assert running.completions()[-1]["max_tokens"] == 64 + THOUGHT_TOKENS


@pytest.mark.parametrize(
    ("message", "finish"),
    [
        ({"content": None, "reasoning_content": "There is no"}, "length"),
        ({"content": "", "reasoning": "There is no"}, "length"),
        ({"content": None}, "stop"),
        ({"content": ""}, "length"),
        ({"content": "<think>There is no sign"}, "length"),
        ({"content": "[THINK]There is no sign"}, "length"),
        ({"content": "<think>All thought.</think>"}, "stop"),
    ],
)
def test_what_holds_no_answer_is_refused(message: dict[str, Any], finish: str) -> None:
    choice = {"message": message, "finish_reason": finish}
    with pytest.raises(TitrateError, match=r"^small (thought, and came to no answer|gave no answer)[^\n]*$"):
        answer_text(choice, "small")
    replies = [YES, (200, {"choices": [choice]})]
    with serving(lambda body: replies.pop(0) if len(replies) > 1 else replies[0]) as running:
        opened = OpenAIMLLM.open(running.url)
        refuses(lambda: opened.generate([a_prompt()]), "without thinking, or use another model")


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("Yes.", "Yes."),
        ("<think>no</think> Yes.", "Yes."),
        ("no, no</think>\n\nYes.", "Yes."),  # the template wrote <think>
        ("<think>no</think><think>yes</think>No.", "No."),
        ("<unused94>thought\nno<unused95>Yes.", "Yes."),
        ("A nodule < 5 mm.", "A nodule < 5 mm."),
    ],
)
def test_an_answer_is_what_follows_the_thoughts(content: str, answer: str) -> None:
    assert answer_text({"message": {"content": content}, "finish_reason": "stop"}, "small") == answer


def test_a_thought_in_the_middle_of_a_run_is_not_scored() -> None:
    """`<think>` at -0.0001 and no at -11.5 were once read as no, 0.80."""
    replies = [YES, thought("<think>"), said("<think>no</think>Yes.")]
    with serving(lambda body: replies.pop(0)) as running:
        opened = OpenAIMLLM.open(running.url)
        with pytest.warns(TitrateWarning, match="judged by their words"):
            assert opened.score([a_prompt()], YES_NO)[0].tolist() == [0, -np.inf]
