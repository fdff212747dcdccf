"""A transformers model with its processor: how a message and an image become what the model reads."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig

from rag.models.base import Prompt, PromptTooLongError
from rag.models.inputs import append_tokens
from rag.models.loading.thoughts import THOUGHT_TOKENS
from rag.models.loading.turn import answer_turn, render_prompt
from rag.models.option_tokens import TAIL, OptionTokens
from rag.token_budget import TokenBudget, share_of_report
from titrate import InputError, first_line

_PLACEHOLDERS = ("image_token", "video_token", "audio_token", "boi_token", "eoi_token")


_LARGE_SIDE = 2048
"""Pixels along a side of the image whose tokens are counted; scans and radiographs are about this large."""


PROCESSOR_FAILURES = (ValueError, RuntimeError, TypeError, LookupError, ArithmeticError)
"""What processors raise of an image whose shape they cannot read."""

_WHICH_TOKENS = {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"}


def greedy_settings(own: GenerationConfig) -> dict[str, Any]:
    """What makes generation take the likeliest token at each step, whatever a model's folder says.

    A repetition penalty, beams or suppressed tokens there would choose another answer than the one that scores highest.

    Parameters
    ----------
    own
        The model's settings, of which only the tokens that begin and end a text are kept.

    >>> greedy_settings(GenerationConfig(repetition_penalty=1.3, eos_token_id=2))["repetition_penalty"] is None
    True
    """
    given = {name for name, value in own.to_dict().items() if value is not None and not name.startswith("_")}
    neutral: dict[str, Any] = dict.fromkeys(sorted(given - _WHICH_TOKENS - {"transformers_version"}))
    return neutral | {"do_sample": False, "num_beams": 1, "num_return_sequences": 1, "min_length": 0, "use_cache": True}


class ChatModel(TokenBudget):
    """An image-text-to-text model that is asked through its chat template.

    Parameters
    ----------
    model
        A transformers model, alone or inside a PEFT adapter.
    processor
        The model's own processor, with tokeniser, image processor and chat template.
    name
        The model's, for messages.

    Raises
    ------
    InputError
        If its chat template does not say where an answer stands.
    """

    def __init__(self, model: Any, processor: Any, name: str = "") -> None:
        self.model, self.processor, self.name = model, processor, name
        self.thought_tokens = THOUGHT_TOKENS
        self.base = model.get_base_model() if hasattr(model, "get_base_model") else model  # PEFT wraps it
        self._tokenizer = processor.tokenizer
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self.pad_id = int(self._tokenizer.pad_token_id)
        special = {str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special}
        special |= {str(getattr(processor, name, "")) for name in _PLACEHOLDERS} - {"", "None"}
        self._special = sorted(special, key=lambda token: (-len(token), token))
        ends = getattr(model.generation_config, "eos_token_id", None) or self._tokenizer.eos_token_id
        ends = [ends] if isinstance(ends, int) else list(ends or ())
        self.greedy = greedy_settings(model.generation_config)
        self.turn = answer_turn(processor, name, self._special, self._tokenizer.convert_ids_to_tokens(ends))
        self.end_ids: list[int] = self._tokenizer(self.turn.end, add_special_tokens=False).input_ids
        self.ends = list(dict.fromkeys([*ends, *self.end_ids[-1:]]))
        self.greedy["eos_token_id"] = self.ends
        self.option_tokens = OptionTokens(self._tokenizer, self._special, self.end_ids, self.turn.lead)

    def render(self, text: str, thoughts: str = "") -> str:
        """The chat template around the user's message, up to where the answer begins: behind thoughts, if any are.

        Special tokens that the text happens to contain, such as an image placeholder in a report, are taken out.
        """
        asked = self.render_question(text)
        return asked + self.without_special_tokens(thoughts).strip() + self.turn.close if self.turn.thinks else asked

    def render_question(self, text: str) -> str:
        """The chat template around the user's message, up to where thoughts begin, or else the answer."""
        return render_prompt(self.processor, self.without_special_tokens(text)) + self.turn.opening

    def without_special_tokens(self, text: str) -> str:
        """A text in which a space stands for each special token that it holds."""
        for token in self._special:
            text = text.replace(token, " ")
        return text

    def count_tokens(self, text: str) -> int:
        """Number of tokens of a text by itself."""
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    @cached_property
    def tokens_per_report(self) -> int:
        """How many tokens one report may take, by the model's context and what a large image takes of it."""
        text = self.render("")
        image = Image.new("RGB", (_LARGE_SIDE, _LARGE_SIDE))
        read = self.processor(
            text=[text], images=[[image]], add_special_tokens=not self._opened(text), return_tensors="pt"
        )
        room = self.context_tokens - (self.thought_tokens if self.turn.thinks else 0)
        return share_of_report(room, int(read["input_ids"].shape[1]))

    @property
    def context_tokens(self) -> int:
        """Tokens that the model reads at most."""
        return int(self.base.config.get_text_config().max_position_embeddings)

    def token_ids(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts, in which one placeholder token stands for each image."""
        ids: list[list[int]] = self._tokenizer(texts, add_special_tokens=not self._opened(texts[0])).input_ids
        return ids

    def inputs(self, texts: list[str], images: list[Image.Image]) -> dict[str, torch.Tensor]:
        """What the model reads: rendered texts [n, t] with an image each, padded on the left."""
        coloured = [image.convert("RGB") for image in images]  # several processors know no grey
        try:
            inputs = self._read(texts, coloured)
        except PROCESSOR_FAILURES as error:
            raise InputError(f"{self._culprit(texts, coloured)}: {first_line(error)}; crop or enlarge it") from error
        longest = int(inputs["attention_mask"].sum(1).argmax())
        self.check_length(inputs["input_ids"].shape[1], Prompt(images[longest], texts[longest]))
        return {
            name: value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    @contextmanager
    def one_line_failures(self, prompts: int) -> Iterator[None]:
        """Turn what a model raises of an image that its processor let through into a line."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except PROCESSOR_FAILURES as error:
            if isinstance(error, RuntimeError) and type(error) is not RuntimeError:
                raise
            raise InputError(
                f"this model fails on one of {prompts} prompts with its image: {first_line(error)}; images of one or "
                "a few pixels are too small for some models: leave them out"
            ) from error

    def _read(self, texts: list[str], images: list[Image.Image]) -> Any:
        return self.processor(
            text=texts,
            images=[[image] for image in images],  # a flat list would be one prompt's to Gemma 3
            padding=True,
            add_special_tokens=not self._opened(texts[0]),
            return_tensors="pt",
        )

    def _culprit(self, texts: list[str], images: list[Image.Image]) -> str:
        """Which image a processor cannot read; processors differ in the shapes that they refuse."""
        for text, image in zip(texts, images, strict=True):
            try:
                self._read([text], [image])
            except PROCESSOR_FAILURES:
                return f"this model cannot read an image of {image.width} x {image.height} pixels"
        return f"this model cannot read {len(images)} images in one batch"

    def answer_text(self, answer: str) -> str:
        """An answer as the chat template writes it behind the prompt, up to and with what ends it."""
        return f"{self.turn.lead}{answer}{self.turn.end}"

    def answer_ids(self, prompt: str, answer: str) -> list[int]:
        """Token ids of an answer behind a rendered prompt, up to and with what ends it: those that `score` reads.

        Raises
        ------
        InputError
            If the answer holds a special token, or cannot be told from the prompt.
        """
        return [*self.option_tokens.continuation(prompt[-TAIL:], answer), *self.end_ids]

    def append_answers(
        self, inputs: dict[str, torch.Tensor], answers: Sequence[Sequence[int]]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """What the model reads of prompts and an answer to each.

        Parameters
        ----------
        inputs
            Of n prompts, as `inputs` gives them, t tokens long.
        answers
            One for each prompt, as `answer_ids` gives them.

        Returns
        -------
        inputs, completion_mask
            The inputs of t + m tokens, where the longest answer has m and shorter ones are padded on the right; and
            which of the tokens are an answer's, int64 [n, t + m].
        """
        ids = [torch.tensor(row) for row in answers]
        read = inputs["input_ids"].shape[1]
        joined = append_tokens(inputs, pad_sequence(ids, batch_first=True, padding_value=self.pad_id))  # [n, t + m]
        said = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)  # [n, m]
        said = said.to(joined["input_ids"].device)
        joined["attention_mask"][:, read:] = said
        return joined, pad(said, (read, 0))

    def check_length(self, length: int, prompt: Prompt) -> None:
        """Refuse a prompt of more tokens than the model reads."""
        most = self.context_tokens
        if length > most:
            raise PromptTooLongError(
                f"the prompt has {length} tokens, this model reads at most {most}; lower k or --max-report-tokens",
                prompt,
            )

    def _opened(self, text: str) -> bool:
        """Whether the chat template wrote the token that begins a text, which the tokeniser must then not add again."""
        return self._tokenizer.bos_token is not None and text.startswith(self._tokenizer.bos_token)
