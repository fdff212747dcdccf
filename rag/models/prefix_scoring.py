"""Scoring every k in one pass over the contexts (docs/methods.md, section 5).

The longest prompt about an image, with all its contexts, is the shared prefix: it is read once, and its keys and values
are kept. Every prompt about the image begins as it does: only the rest of each, its suffix, is read, packed with the
other suffixes, and sees of the shared prefix only the part that its own prompt begins with. Where a prompt departs from
the shared prefix is found by comparing the tokens of both as a whole: a tokeniser may join the end of one piece to the
beginning of the next, so that the tokens of pieces put together need not be those of the prompt.

Exact for decoders whose tokens see earlier tokens only, all of them or those in a sliding window.

Shapes: n shared prefixes in a batch, p columns of their cache, t columns of packed suffixes, r of these whose logits
are read, v tokens in the vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import DynamicCache

from rag.models.base import NestedPrompt, Prompt, readable_counts
from rag.models.chat_model import ChatModel
from rag.models.inputs import can_join, join_rows, last_logits, per_prompt_shapes, positions, takes_positions
from rag.models.option_tokens import TAIL, OptionPrefix
from rag.models.packing import Packed, SharedPrefix, Suffix, chunks, pack
from rag.models.self_check import CHECKED, FLOOR, NESTED, NESTED_KS, NESTED_OPTIONS, allowed, nudged
from titrate import InputError

BATCH_TOKENS = {"cpu": 512}
"""Tokens in a forward pass by device, 8,192 elsewhere: a CPU gains nothing from a batch, and loses by its padding."""
WIDTH = 512
"""At most so many tokens of one shared prefix's suffixes in a forward pass: attention compares each with all."""
LOOKS_BACK = {"full_attention", "sliding_attention"}


class CannotSharePrefixError(Exception):
    """Why prompts cannot share a prefix with this model."""


def layer_types(config: Any) -> set[str]:
    """The kinds of attention layers of a decoder.

    Raises
    ------
    CannotSharePrefixError
        If scoring with a shared prefix would not be exact for one of them, or its attention takes no mask of the
        caller's.
    """
    types = getattr(config, "layer_types", None)
    if types is None:
        types = ["full_attention" if getattr(config, "sliding_window", None) is None else "sliding_attention"]
    if other := sorted(set(types) - LOOKS_BACK):
        raise CannotSharePrefixError(f"it has layers of type {other[0]}")
    if getattr(config, "cross_attention_layers", None):
        raise CannotSharePrefixError("it reads the image by cross-attention")
    if config._attn_implementation not in ("sdpa", "eager"):
        raise CannotSharePrefixError(f"its attention is {config._attn_implementation}; load it with sdpa or eager")
    return set(types)


class SharedPrefixScorer:
    """Scores nested prompts with a transformers model.

    Parameters
    ----------
    mllm
        The model with its processor.

    Raises
    ------
    CannotSharePrefixError
        If it is known not to work with this architecture.
    """

    def __init__(self, mllm: ChatModel) -> None:
        self._mllm = mllm
        self._config = mllm.base.config.get_text_config()
        self._layer_types = layer_types(self._config)
        if not takes_positions(mllm.base):
            raise CannotSharePrefixError("it takes no positions")

    @torch.inference_mode()
    def score(
        self,
        prompts: Sequence[NestedPrompt],
        options: Sequence[Sequence[Sequence[str]]],
        ks: Sequence[int],
        batch_tokens: int | None = None,
    ) -> list[list[NDArray[np.float64]]]:
        """As `TransformersMLLM.score_nested`."""
        batch_tokens = batch_tokens or BATCH_TOKENS.get(self._mllm.model.device.type, 8192)
        tables = [[np.zeros((max(ks) + 1, len(choices))) for choices in sets] for sets in options]  # a row for each k
        for batch in self._batches(prompts, options, ks, batch_tokens):
            for prefix, suffix, scores in self._score_batch(batch, batch_tokens):
                table = tables[prefix.number][suffix.question]
                for option, score in scores.items():
                    table[suffix.k, option] = score
        return [
            [table[readable_counts(prompt, ks)] for table in found]  # [len(ks), number of options]
            for prompt, found in zip(prompts, tables, strict=True)
        ]

    def _batches(
        self,
        prompts: Sequence[NestedPrompt],
        options: Sequence[Sequence[Sequence[str]]],
        ks: Sequence[int],
        batch_tokens: int,
    ) -> Iterator[list[SharedPrefix]]:
        """Shared prefixes of similar length that fit into one forward pass."""
        sizes = [sum(map(len, prompt.contexts[: max(ks)])) for prompt in prompts]
        batch: list[SharedPrefix] = []
        for number in sorted(range(len(prompts)), key=sizes.__getitem__):
            if not options[number]:
                continue
            prefix = self._shared_prefix(number, prompts[number], options[number], ks)
            longest = max(prefix.length, *(other.length for other in batch), 0)
            full = longest * (len(batch) + 1) > batch_tokens
            if batch and (full or per_prompt_shapes(prefix.inputs) != per_prompt_shapes(batch[0].inputs)):
                yield batch
                batch = []
            batch.append(prefix)
        if batch:
            yield batch

    def _shared_prefix(
        self, number: int, prompt: NestedPrompt, options: Sequence[Sequence[str]], ks: Sequence[int]
    ) -> SharedPrefix:
        counts = sorted(set(readable_counts(prompt, ks)), reverse=True)  # the longest first: it is the shared prefix
        asked = [(question, k) for question in range(len(options)) for k in counts]
        texts = [self._mllm.render(prompt.at(question, k).text) for question, k in asked]
        inputs = self._mllm.inputs(texts[:1], [prompt.image])
        ids = self._ids(texts, prompt.image, inputs["input_ids"][0].cpu().numpy())
        longest = max(range(len(ids)), key=lambda row: len(ids[row]))
        self._mllm.check_length(len(ids[longest]), Prompt(prompt.image, texts[longest]))
        option_prefixes: dict[tuple[str, int], list[OptionPrefix]] = {}
        suffixes = []
        for (question, k), text, row in zip(asked, texts, ids, strict=True):
            shared = min(_common(row, ids[0]), len(row) - 1)
            key = (text[-TAIL:], question)
            if key not in option_prefixes:
                option_prefixes[key] = self._mllm.option_tokens.prefixes(text, options[question])
            suffixes.append(Suffix(shared, row[shared:].tolist(), option_prefixes[key], question, k))
        return SharedPrefix(number, texts[0], prompt.image, inputs, suffixes)

    def _ids(self, texts: list[str], image: Image.Image, first: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Token ids of whole prompts about an image, given the first one's.

        The processor puts more tokens in the image's place than one placeholder. From some token on, the first prompt's
        are the same with and without the processor; if the others part from it behind that, theirs are known as well,
        and the image need not be preprocessed again.
        """
        plain = [np.array(row) for row in self._mllm.token_ids(texts)]
        added = len(first) - len(plain[0])
        alike = len(plain[0]) - _common(first[::-1], plain[0][::-1])
        shared = [_common(row, plain[0]) for row in plain]
        if min(shared) > alike:
            return [
                np.concatenate([first[: part + added], row[part:]]) for part, row in zip(shared, plain, strict=True)
            ]
        inputs = self._mllm.inputs(texts, [image] * len(texts))
        kept = inputs["attention_mask"].bool()  # a row for each prompt, padded to the longest
        return [row[mask].cpu().numpy() for row, mask in zip(inputs["input_ids"], kept, strict=True)]

    def _score_batch(
        self, batch: list[SharedPrefix], batch_tokens: int
    ) -> Iterator[tuple[SharedPrefix, Suffix, dict[int, float]]]:
        """Log-probabilities of the options that follow each suffix, by the options' numbers."""
        mllm = self._mllm
        if len(batch) == 1 or self._joins:
            inputs = join_rows([prefix.inputs for prefix in batch], mllm.pad_id)
        else:
            inputs = mllm.inputs([prefix.text for prefix in batch], [prefix.image for prefix in batch])
        inputs |= positions(mllm.base, inputs)  # [n, p] or [3, n, p]
        cache = DynamicCache()  # without a configuration it keeps all, also where layers look back through a window
        last_logits(mllm.model, mllm.base, inputs, 1, past_key_values=cache, use_cache=True)
        starts = (inputs["attention_mask"] == 0).sum(1).cpu()  # [n]
        prefix_positions = inputs["position_ids"].cpu()  # [n, p] or [3, n, p]
        width = min(WIDTH, batch_tokens // len(batch))
        groups = [chunks(prefix.suffixes, width) for prefix in batch]
        for number in range(max(map(len, groups))):
            rows = [group[number] if number < len(group) else [] for group in groups]
            packed = pack(rows, mllm.pad_id)
            logits = self._forward(packed, cache, starts, prefix_positions)  # [n, packed.logits_to_keep, v]
            for prefix, suffixes, columns, table in zip(batch, rows, packed.columns, logits, strict=True):
                owners = [suffix for suffix in suffixes for _ in suffix.option_prefixes]
                option_prefixes = [option_prefix for suffix in suffixes for option_prefix in suffix.option_prefixes]
                read = table[[column for used in columns for column in used]]  # [r, v]
                found = mllm.option_tokens.log_probabilities(read, option_prefixes)
                for suffix, scores in zip(owners, found, strict=True):
                    yield prefix, suffix, scores

    @cached_property
    def _joins(self) -> bool:
        """Whether what is read of prompts one by one can be put together to what is read of them in one batch."""
        texts = [self._mllm.render(text) for text in (CHECKED.text, CHECKED.text * 2)]
        return can_join(self._mllm.inputs, texts, CHECKED.image, self._mllm.pad_id)

    def _forward(
        self, packed: Packed, cache: DynamicCache, starts: torch.Tensor, prefix_positions: torch.Tensor
    ) -> torch.Tensor:
        """Logits [n, packed.logits_to_keep, v] of packed suffixes; leaves the cache as it was."""
        model, width = self._mllm.model, packed.ids.shape[1]
        # Image tokens may share positions: go on from the last shared token's, which may be less than its number.
        last = (starts[:, None] + packed.shared - 1).clamp(min=0)  # its column, [n, t]
        last = last.expand(*prefix_positions.shape[:-1], width)  # [n, t] or [3, n, t]
        position_ids = prefix_positions.gather(-1, last) + 1 + packed.positions - packed.shared  # as last
        length = prefix_positions.shape[-1]  # p
        masks = {name: self._mask(packed, starts, length, name) for name in sorted(self._layer_types)}
        inputs = {
            "input_ids": packed.ids.to(model.device),
            "attention_mask": masks if len(masks) > 1 else next(iter(masks.values())),
            "position_ids": position_ids.to(model.device),
        }
        logits = last_logits(
            model, self._mllm.base, inputs, packed.logits_to_keep, past_key_values=cache, use_cache=True
        )
        cache.crop(-width)
        return logits

    def _mask(self, packed: Packed, starts: torch.Tensor, prefix_length: int, layer_type: str) -> torch.Tensor:
        window = self._config.sliding_window if layer_type == "sliding_attention" else None
        sees = packed.mask(starts, prefix_length, window).to(self._mllm.model.device)  # [n, 1, t, p + t]
        if self._config._attn_implementation == "sdpa":
            return sees
        lowest = torch.finfo(self._mllm.model.dtype).min
        return torch.zeros_like(sees, dtype=self._mllm.model.dtype).masked_fill(~sees, lowest)


def why_not_shared(mllm: ChatModel, score_alone: Callable[..., list[list[NDArray[np.float64]]]]) -> str:
    """Why contexts cannot be shared with a model; empty if they can.

    Several questions after several numbers of contexts are scored both ways. The largest difference may be twice that
    of the number format's own noise, and the mean difference as large as its mean: what is wrong with small effect
    shows there.

    Parameters
    ----------
    mllm
        The model.
    score_alone
        As `MLLM.score_nested`, but each k is scored on its own.
    """
    asked = NESTED, NESTED_OPTIONS, NESTED_KS
    try:
        shared = _flat(SharedPrefixScorer(mllm).score(*asked))
        alone = _flat(score_alone(*asked))
        with nudged(mllm):
            moved = np.abs(_flat(score_alone(NESTED[1:], NESTED_OPTIONS[1:], NESTED_KS)) - alone[len(alone) // 2 :])
    except torch.OutOfMemoryError:
        raise
    except (
        CannotSharePrefixError,
        RuntimeError,
        TypeError,
        ValueError,
        AttributeError,
        LookupError,
        InputError,
    ) as error:
        # What an architecture that was not made for masks and positions of the caller's raises.
        return (str(error).splitlines() or [type(error).__name__])[0]
    apart = np.abs(shared - alone)
    if apart.max() <= allowed(float(moved.max())) and apart.mean() <= max(FLOOR, float(moved.mean())):
        return ""
    return f"scores differ by {apart.max():.2g}, and by {apart.mean():.2g} on average; rounding by {moved.max():.2g}"


def _flat(scores: list[list[NDArray[np.float64]]]) -> NDArray[np.float64]:
    return np.concatenate([table.ravel() for tables in scores for table in tables])


def _common(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """Length of the beginning that two rows of tokens share."""
    length = min(len(one), len(other))
    parts = np.flatnonzero(one[:length] != other[:length])
    return int(parts[0]) if len(parts) else length
