"""Any `AutoModelForImageTextToText` of transformers as an MLLM, with an optional PEFT adapter.

Shapes: n prompts in a batch, t tokens of the longest, m tokens of an option prefix, v tokens in the vocabulary.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from indexing import device_name
from rag.models.base import MLLM, NestedPrompt, Prompt, check_counts, readable_counts
from rag.models.checks import check_model_files
from rag.models.inputs import append_tokens, last_logits, positions
from rag.models.loading.load import load_model
from rag.models.loading.options import LoadingOptions
from rag.models.prefix_scoring import SharedPrefixScorer, why_not_shared
from rag.models.remembered import Checked, recall, remember
from rag.models.self_check import Ways, find_ways, score_from_scratch
from rag.models.shared_images import SharedImages
from rag.models.writing import WritingModel
from titrate import InputError, TitrateWarning, fetch_model, hash_files, hash_json, is_address

# Weights are read from safetensors only: other formats hold pickles, and are not in the fingerprint.
_CONTENT = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")

READING = 3
"""Raised whenever prompts are rendered, or answers read, otherwise than before: it is in the fingerprint."""

BATCH = {"cpu": 4}
"""Prompts in a forward pass on a device, 16 on those not listed: on a CPU a larger batch loses more by its padding
than it gains."""


class TransformersMLLM(WritingModel, MLLM):
    """A transformers image-text-to-text model. Make one with `TransformersMLLM.open`."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        fingerprint: str,
        folders: Mapping[str, Path] | None = None,
        name: str = "",
        loading: LoadingOptions | None = None,
    ) -> None:
        super().__init__(model, processor, name, loading)
        self._folders = dict(folders or {})
        self._fingerprint = fingerprint
        self.ways = Ways()
        self._check_key = ""
        self._told_of_sharing = False
        self._note = ""
        self._not_shared: str | None = None  # why contexts cannot be shared; None if that is not known yet

    @classmethod
    def open(
        cls,
        name: str,
        *,
        adapter: Path | None = None,
        device: str | None = None,
        dtype: str | None = None,
        loading: LoadingOptions | None = None,
    ) -> "TransformersMLLM":
        """Load a model.

        Parameters
        ----------
        name
            A folder, or a name on the model hub: ``OWNER/NAME`` or ``OWNER/NAME@REVISION``.
        adapter
            A PEFT adapter's folder.
        device
            A torch device; by default the first GPU, or else the CPU.
        dtype
            ``"float32"``, ``"bfloat16"`` or ``"float16"``; by default bfloat16 on a GPU and float32 on the CPU.
        loading
            How it is loaded otherwise.

        Raises
        ------
        InputError
            If there is no such model or adapter, or it cannot be loaded.
        """
        options = loading or LoadingOptions()
        check_model_files(name, adapter=adapter, dtype=dtype, loading=options)
        if is_address(name):
            raise InputError(
                f"{name} is a server; this needs the model itself: give its folder, or OWNER/NAME of the hub"
            )
        folder, commit = Path(name).expanduser(), ""
        if not os.path.exists(folder):
            folder, commit = fetch_model(name)
            check_model_files(str(folder), loading=options)  # what a folder may not name, the hub's may not either
        loaded = load_model(name, folder, adapter, device, dtype, options)
        fixed = {
            "weights": commit or _folder_hash(folder),
            "adapter": _folder_hash(adapter),
            "dtype": loaded.dtype,
            "quantize": options.quantize,
            "attention": loaded.attention,
            "reading": READING,
        }
        folders = {"the model": folder} if adapter is None else {"the model": folder, "the adapter": adapter}
        opened = cls(loaded.model, loaded.processor, "", folders, name, options)
        opened.find_thoughts()
        thoughts = [*astuple(opened.turn), opened.thought_tokens] if opened.turn.thinks else None
        opened._fingerprint = hash_json({**fixed, "thoughts": thoughts})
        opened._check(hash_json({**fixed, "versions": opened.versions}))
        return opened

    def _check(self, key: str) -> None:
        """Find the ways in which scores are right, or recall them; what is not as usual is told."""
        self._check_key, known = key, recall(key)
        if known is None:
            self.ways, self._note = find_ways(self, self.name, self._score)
            self._remember()
        else:
            self.ways, self._note = Ways(known.batch, known.append, known.causal), known.note
            self._not_shared = known.nested
        if self._note:
            warnings.warn(f"model {self.name} {self._note}", TitrateWarning, stacklevel=3)

    def _remember(self) -> None:
        if self._check_key:
            ways = self.ways
            remember(self._check_key, Checked(ways.batch, ways.append, ways.causal, self._note, self._not_shared))

    def _shares_contexts(self) -> bool:
        """Whether contexts are read once for all k; the first call finds out, if no earlier run did, and tells."""
        if not self._told_of_sharing:
            self._told_of_sharing = True
            if self._not_shared is None:
                self._not_shared = why_not_shared(self, super().score_nested)
                self._remember()
            if self._not_shared:
                warnings.warn(
                    f"this model cannot share reports between prompts ({self._not_shared}); each k is scored on its "
                    "own, which is slower",
                    TitrateWarning,
                    stacklevel=3,
                )
        return not self._not_shared

    @property
    def fingerprint(self) -> str:
        """SHA-256 of weights (or the hub's commit), tokeniser, adapter, how they are loaded, and `READING`."""
        return self._fingerprint

    @property
    def versions(self) -> dict[str, str]:
        """Of torch, transformers and, as far as in use, PEFT and bitsandbytes; and the device."""
        libraries = ["torch", "transformers", *(["peft"] if hasattr(self.model, "peft_config") else [])]
        libraries += ["bitsandbytes"] if self.loading.quantize else []
        return {**{name: version(name) for name in libraries}, "device": device_name(self.model.device)}

    @property
    def folders(self) -> Mapping[str, Path]:
        """The folders of model and adapter, as far as there are such."""
        return self._folders

    @property
    def image_side(self) -> int:
        """The size that the image processor scales every image to, or a usual one if it keeps an image's own size."""
        reader = self.processor.image_processor
        size = reader.crop_size if getattr(reader, "do_center_crop", False) else reader.size
        return int(getattr(size, "height", None) or super().image_side)

    @property
    def _most(self) -> int:
        """Prompts in a forward pass."""
        return self.loading.batch_size or BATCH.get(self.model.device.type, 16)

    def score(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]], batch_size: int | None = None
    ) -> list[NDArray[np.float64]]:
        """Log-probability of each prompt's options as its answer, each float64 [number of options].

        Options that differ in their last token only, as yes and no do, share one forward pass. An image that several
        prompts show is encoded once in a call if the architecture allows it. Where one option is the beginning of
        another ("left", "left and right"), the end of the answer is scored too: else the longer one could never win.
        At most ``batch_size`` prompts are in a forward pass; None for the model's own, or what suits the device.

        Raises
        ------
        InputError
            If an option cannot be told from the prompt or holds a special token, or a prompt is too long for the model.
        """
        with self.one_line_failures(len(prompts)):
            return self._score(prompts, options, self.ways, batch_size, self.texts(prompts))

    @torch.inference_mode()
    def _score(
        self,
        prompts: Sequence[Prompt],
        options: Sequence[Sequence[str]],
        ways: Ways,
        batch_size: int | None = None,
        texts: Sequence[str] | None = None,
    ) -> list[NDArray[np.float64]]:
        texts = texts or [self.render(prompt.text) for prompt in prompts]
        if not ways.append:
            return [score_from_scratch(self, *asked) for asked in zip(prompts, options, texts, strict=True)]
        batch_size = (batch_size or self._most) if ways.batch else 1
        scores = [np.zeros(len(choices)) for choices in options]
        jobs = [
            (row, prefix)
            for row, text in enumerate(texts)
            for prefix in self.option_tokens.prefixes(text, options[row])
        ]
        if not ways.causal and any(prefix.ids for _, prefix in jobs):
            raise InputError(
                "this model's tokens see later ones, so that answers of one token only can be scored; "
                "give the options letters (A, B, …), one token each"
            )
        jobs.sort(key=lambda job: (len(job[1].ids), len(texts[job[0]]), job[0]))
        images = SharedImages(self.base)
        for length, group in groupby(jobs, key=lambda job: len(job[1].ids)):
            same_length = list(group)
            for start in range(0, len(same_length), batch_size):
                rows, prefixes = zip(*same_length[start : start + batch_size], strict=True)
                inputs = self.inputs([texts[row] for row in rows], [prompts[row].image for row in rows])
                added = torch.tensor([prefix.ids for prefix in prefixes], dtype=torch.long)  # [n, m]
                inputs = append_tokens(inputs, added)  # [n, t + m]
                inputs = images.share(inputs, [id(prompts[row].image) for row in rows])
                inputs |= positions(self.base, inputs)
                logits = last_logits(self.model, self.base, inputs, length + 1)  # [n, m + 1, v]
                found = self.option_tokens.log_probabilities(logits.flatten(0, 1), prefixes)
                for row, values in zip(rows, found, strict=True):
                    scores[row][list(values)] = list(values.values())
        return scores

    def score_nested(
        self,
        prompts: Sequence[NestedPrompt],
        options: Sequence[Sequence[Sequence[str]]],
        ks: Sequence[int],
        batch_tokens: int | None = None,
    ) -> list[list[NDArray[np.float64]]]:
        """Log-probability of every question's options, at each of several k; see `MLLM.score_nested`.

        Contexts are read once for all k. Before the first call with several k, questions of its own are scored both so
        and at each k alone: if the architecture gives other scores or refuses, each k is scored on its own, and a
        warning says so.

        Parameters
        ----------
        prompts, options, ks
            As for `MLLM.score_nested`.
        batch_tokens
            At most so many tokens, padding included, are in a forward pass, unless one prompt alone has more; None for
            what suits the device.

        Raises
        ------
        InputError
            As `score`.
        """
        check_counts(ks)
        rows = [row for row, prompt in enumerate(prompts) if options[row] and len(set(readable_counts(prompt, ks))) > 1]
        # Nothing to share where no prompt is read with two numbers of contexts, or where prompts are read as a whole.
        if not rows or self.turn.thinks or self.ways != Ways():
            return super().score_nested(prompts, options, ks)
        if not self._shares_contexts():
            return super().score_nested(prompts, options, ks)
        with self.one_line_failures(len(prompts)):
            return SharedPrefixScorer(self).score(prompts, options, ks, batch_tokens)


def _folder_hash(folder: Path | None) -> str:
    if folder is None:
        return ""
    return hash_files(sorted(path for pattern in _CONTENT for path in folder.glob(pattern)))
