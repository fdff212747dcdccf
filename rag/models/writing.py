"""Free text, and the thoughts of a model that thinks before it answers: options are then scored behind them.

Thoughts are written one prompt after another: in a batch, rounding would lead to other thoughts, and calibration would
judge other answers than are given.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from rag.models.base import NO_NUMBERS, Prompt, PromptTooLongError
from rag.models.chat_model import ChatModel
from rag.models.loading.options import LoadingOptions
from rag.models.loading.thoughts import THOUGHT_TOKENS, begun_thoughts, without_thoughts
from rag.models.self_check import CHECKED
from titrate import InputError, TitrateWarning

_FIRST_TOKENS = 4
"""Of an answer, which show whether it begins with thoughts: a tag is one token, or a few."""


class WritingModel(ChatModel):
    """A model that writes answers.

    Parameters
    ----------
    model, processor, name
        As for `ChatModel`.
    loading
        How much it writes at once, and for how long it may think.
    """

    def __init__(self, model: Any, processor: Any, name: str = "", loading: LoadingOptions | None = None) -> None:
        super().__init__(model, processor, name)
        self.loading = loading or LoadingOptions()
        self.thought_tokens = self.loading.thought_tokens or THOUGHT_TOKENS
        self._told_of_cut_thoughts = False

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int = 64) -> list[str]:
        """The most likely continuation of each prompt, greedily, without the prompt and without thoughts.

        Raises
        ------
        InputError
            If a model that does not always think begins thoughts and does not come to an answer.
        """
        most = self.loading.batch_size or max(1, len(prompts))
        answers: list[str] = []
        for start in range(0, len(prompts), most):
            some = prompts[start : start + most]
            with self.one_line_failures(len(some)):
                inputs = self.inputs(self.texts(some), [prompt.image for prompt in some])
                output = self._write(inputs, max_new_tokens=max_new_tokens)
                both = self._written(inputs, output, skip=True), self._written(inputs, output)
                answers += map(self._answer, *both)
        return answers

    def texts(self, prompts: Sequence[Prompt]) -> list[str]:
        """What is read before each prompt's answer: its message, and the thoughts of a model that thinks."""
        if not self.turn.thinks:
            return [self.render(prompt.text) for prompt in prompts]
        thoughts, cut = [], 0
        for prompt in prompts:
            thought, ended = self._think(prompt)
            thoughts.append(thought)
            cut += not ended
        if cut and not self._told_of_cut_thoughts:
            self._told_of_cut_thoughts = True
            warnings.warn(
                f"model {self.name} does not end its thoughts within {self.thought_tokens} tokens, on {cut} of "
                f"{len(prompts)} prompts here: they are ended there, and it answers then; give it more with "
                "--thought-tokens",
                TitrateWarning,
                stacklevel=3,
            )
        return [self.render(prompt.text, thought) for prompt, thought in zip(prompts, thoughts, strict=True)]

    def find_thoughts(self) -> None:
        """Find out whether the model thinks before it answers; what that costs is told."""
        if not self.turn.thinks:
            inputs = self.inputs([self.render(CHECKED.text)], [CHECKED.image])
            (written,) = self._written(inputs, self._write(inputs, max_new_tokens=_FIRST_TOKENS))
            begun = begun_thoughts(written)  # of its own accord: its template says nothing of them
            if begun is None:
                return
            self.turn = self.turn.after(begun)
            self.option_tokens = self.option_tokens.without_lead()
        warnings.warn(
            f"model {self.name} thinks before it answers: up to {self.thought_tokens} tokens for every question and "
            "every k, one after another, which takes long; a variant that answers at once (often called Instruct) is "
            "much faster",
            TitrateWarning,
            stacklevel=3,
        )

    @torch.inference_mode()
    def _think(self, prompt: Prompt) -> tuple[str, bool]:
        """The thoughts before the answer to a prompt, and whether they came to an end.

        Raises
        ------
        PromptTooLongError
            If the prompt leaves too little room for thoughts.
        """
        end = self.turn.thoughts_end
        inputs = self.inputs([self.render_question(prompt.text)], [prompt.image])
        length = inputs["input_ids"].shape[1]
        if length + self.thought_tokens > self.context_tokens:
            raise PromptTooLongError(
                f"the prompt has {length} tokens and the model may think for {self.thought_tokens}, but it reads at "
                f"most {self.context_tokens}; lower k, --max-report-tokens or --thought-tokens",
                prompt,
            )
        ids = self.processor.tokenizer(end, add_special_tokens=False).input_ids
        # Looking for a text among the tokens written so far takes long to set up.
        until: dict[str, Any] = (
            {"eos_token_id": [*self.ends, *ids]}
            if len(ids) == 1
            else {"stop_strings": [end], "tokenizer": self.processor.tokenizer}
        )
        (written,) = self._written(inputs, self._write(inputs, max_new_tokens=self.thought_tokens, **until))
        thought, ended, _ = written.partition(end)
        return thought, bool(ended)

    def _write(self, inputs: dict[str, torch.Tensor], **how: Any) -> torch.Tensor:
        """The input [n, t] with the most likely continuation of each row behind it, int64 [n, t + at most so many]."""
        output: torch.Tensor = self.model.generate(
            **inputs,
            **{**self.greedy, **how},
            pad_token_id=self.pad_id,
            logits_processor=LogitsProcessorList([_FiniteLogits()]),
        )
        return output

    def _written(self, inputs: dict[str, torch.Tensor], output: torch.Tensor, skip: bool = False) -> list[str]:
        """What stands behind the input, with or without its special tokens, of which a tag may be one."""
        written = output[:, inputs["input_ids"].shape[1] :]  # [n, at most max_new_tokens]
        texts: list[str] = self.processor.tokenizer.batch_decode(written, skip_special_tokens=skip)
        return texts

    def _answer(self, shown: str, whole: str) -> str:
        """What follows the thoughts of a text, given without and with its special tokens."""
        if begun_thoughts(whole) is None:
            return shown.strip()
        answer = without_thoughts(whole)
        if answer is None:
            raise InputError(
                f"model {self.name} thinks before some answers only, and came to none; use a variant that answers at "
                "once (often called Instruct)"
            )
        for token in self._special:
            answer = answer.replace(token, "")
        return answer.strip()


class _FiniteLogits(LogitsProcessor):  # type: ignore[no-untyped-call,misc,unused-ignore]
    """Refuses to write on where a score is NaN, of which the likeliest token is some token."""

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        if bool(torch.isnan(scores).any() or torch.isposinf(scores).any()):
            raise InputError(NO_NUMBERS)
        return scores
