"""Any `AutoModelForImageTextToText` of transformers as an MLLM, with an optional PEFT adapter."""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from rag.mllm import MLLM, Prompt
from titrate.errors import InputError
from titrate.files import hash_files, hash_json

_CONTENT = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")


class TransformersMLLM(MLLM):
    """A transformers image-text-to-text model. Make one with `TransformersMLLM.open`."""

    def __init__(self, model: Any, processor: Any, fingerprint: str) -> None:
        self.model, self.processor, self._fingerprint = model, processor, fingerprint
        self._tokenizer = processor.tokenizer
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._special = sorted({str(token) for token in self._tokenizer.added_tokens_decoder.values()}, key=len)[::-1]

    @classmethod
    def open(
        cls, name: str, *, adapter: Path | None = None, device: str | None = None, dtype: str | None = None
    ) -> "TransformersMLLM":
        """Load a model.

        Parameters
        ----------
        name
            A folder, or a name on the model hub.
        adapter
            A PEFT adapter's folder.
        device
            A torch device; by default the first GPU, or else the CPU.
        dtype
            ``"float32"``, ``"bfloat16"`` or ``"float16"``; by default bfloat16 on a GPU and float32 on the CPU.

        Raises
        ------
        InputError
            If there is no such model or adapter, or it cannot be loaded.
        """
        folder = Path(name).expanduser()
        if not (folder / "config.json").is_file() and (folder.exists() or name.count("/") != 1):
            raise InputError(
                f"no model in {name}: config.json is not there; give a model folder or OWNER/NAME of the hub"
            )
        if adapter is not None and not (adapter / "adapter_config.json").is_file():
            raise InputError(
                f"no adapter in {adapter}: adapter_config.json is not there; make one with `titrate train`"
            )
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        numbers = dtype or ("float32" if chosen.type == "cpu" else "bfloat16")
        source = str(folder) if folder.exists() else name
        try:
            processor = AutoProcessor.from_pretrained(source)
            model = AutoModelForImageTextToText.from_pretrained(source, dtype=getattr(torch, numbers))
            if adapter is not None:
                from peft import PeftModel

                model = PeftModel.from_pretrained(model, str(adapter))
        except Exception as error:  # transformers, peft and the hub client raise many kinds
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"cannot load model {name}: {line}") from error
        if not getattr(processor, "chat_template", None):
            raise InputError(f"model {name} has no chat template; add chat_template.jinja to its folder")
        fingerprint = hash_json(
            {"weights": _source_fingerprint(folder, model), "adapter": _folder_hash(adapter), "dtype": numbers}
        )
        return cls(model.to(chosen).eval(), processor, fingerprint)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of weights (of a hub model: its commit), tokeniser, preprocessing, adapter and number format."""
        return self._fingerprint

    def render(self, text: str) -> str:
        """The chat template around the user's message, up to where the answer begins.

        Special tokens that the text happens to contain, such as an image placeholder in a report, are taken out.
        """
        for token in self._special:
            text = text.replace(token, " ")
        message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
        rendered: str = self.processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        return rendered

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Prompt], max_new_tokens: int = 64) -> list[str]:
        """The most likely continuation of each prompt, greedily, without the prompt."""
        if not prompts:
            return []
        inputs = self._inputs([self.render(p.text) for p in prompts], [p.image for p in prompts])
        output = self.model.generate(
            **inputs, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=self._tokenizer.pad_token_id
        )
        answers = output[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self._tokenizer.batch_decode(answers, skip_special_tokens=True)]

    @torch.inference_mode()
    def score(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]], batch_size: int = 16
    ) -> list[NDArray[np.float64]]:
        """Log-probability of each prompt's options as its answer, each float64 [number of options].

        Options that differ in their last token only, as yes and no do, share one forward pass. An image that several
        prompts share is encoded once a call where the architecture allows it.
        """
        texts = [self.render(prompt.text) for prompt in prompts]
        scores = [np.zeros(len(choices)) for choices in options]
        jobs = [job for row, text in enumerate(texts) for job in self._jobs(row, text, options[row])]
        jobs.sort(key=lambda job: (len(job.stem), len(texts[job.row]), job.row))
        images = _SharedImages(self.model)
        for _, group in groupby(jobs, key=lambda job: len(job.stem)):
            same_length = list(group)
            for start in range(0, len(same_length), batch_size):
                batch = same_length[start : start + batch_size]
                inputs = self._inputs([texts[job.row] for job in batch], [prompts[job.row].image for job in batch])
                inputs = _append(inputs, torch.tensor([job.stem for job in batch], dtype=torch.long))
                inputs = images.share(inputs, [id(prompts[job.row].image) for job in batch])
                logits = self.model(**inputs, logits_to_keep=len(batch[0].stem) + 1).logits
                log_probabilities = torch.log_softmax(logits.double(), dim=-1).cpu()
                for job, table in zip(batch, log_probabilities, strict=True):
                    for option, ids in job.options.items():
                        scores[job.row][option] = table[torch.arange(len(ids)), torch.tensor(ids)].sum().item()
        return scores

    def _inputs(self, texts: list[str], images: list[Image.Image]) -> dict[str, torch.Tensor]:
        inputs = self.processor(text=texts, images=images, padding=True, return_tensors="pt")
        return {
            name: value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def _jobs(self, row: int, text: str, options: Sequence[str]) -> list["_Job"]:
        """One job for each beginning that some options share, a beginning being all of an option but its last token."""
        jobs: dict[tuple[int, ...], dict[int, list[int]]] = {}
        for number, option in enumerate(options):
            ids = self._continuation(text[-_TAIL:], option)
            jobs.setdefault(tuple(ids[:-1]), {})[number] = ids
        return [_Job(row, stem, found) for stem, found in jobs.items()]

    def _continuation(self, tail: str, option: str) -> list[int]:
        """Token ids of an option after the prompt's last characters.

        Scores of an option mean something only if its tokens follow the prompt's as they would in running text, so
        tokenise(prompt + option) must begin with tokenise(prompt); some vocabularies need a space between for that.
        """
        before = self._tokenizer(tail, add_special_tokens=False).input_ids
        for spelling in (option, f" {option}"):
            whole: list[int] = self._tokenizer(tail + spelling, add_special_tokens=False).input_ids
            if len(whole) > len(before) and whole[: len(before)] == before:
                return whole[len(before) :]
        raise InputError(f"this model's tokeniser joins the option {option!r} to the prompt; word the option otherwise")


_TAIL = 64  # characters of the prompt that can affect how an option is tokenised, with room to spare


@dataclass(frozen=True)
class _Job:
    """One row of a forward pass: a prompt, the first tokens of some of its options, and those options' tokens."""

    row: int
    stem: tuple[int, ...]
    options: dict[int, list[int]]


class _SharedImages:
    """Encodes each image once, for architectures whose image features are one tensor [images, tokens, width]."""

    def __init__(self, model: Any) -> None:
        self._model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._known: dict[int, torch.Tensor] = {}
        self._possible = "mm_encoder_outputs" in signature(self._model.forward).parameters

    def share(self, inputs: dict[str, Any], images: list[int]) -> dict[str, Any]:
        """The inputs with image features in the place of pixels; ``images`` names each row's image."""
        if not self._possible or set(inputs) - {"input_ids", "attention_mask", "pixel_values"}:
            return inputs
        fresh = {name: row for row, name in enumerate(images) if name not in self._known}
        if fresh:
            pixels = inputs["pixel_values"][list(fresh.values())]
            features = self._model.get_image_features(pixel_values=pixels, return_dict=True).pooler_output
            if not isinstance(features, torch.Tensor) or features.ndim != 3 or len(features) != len(fresh):
                self._possible = False
                return inputs
            self._known.update(zip(fresh, features, strict=True))
        shared = BaseModelOutputWithPooling(pooler_output=torch.stack([self._known[name] for name in images]))
        rest = {name: value for name, value in inputs.items() if name != "pixel_values"}
        return {**rest, "mm_encoder_outputs": {"image": shared}}


def _append(inputs: dict[str, torch.Tensor], stems: torch.Tensor) -> dict[str, torch.Tensor]:
    """The inputs with the rows of ``stems`` [n, m] after the prompts, in whatever runs along the tokens."""
    if not stems.shape[1]:
        return inputs
    shape = inputs["input_ids"].shape
    added = stems.to(inputs["input_ids"].device)
    more = {"input_ids": added, "attention_mask": torch.ones_like(added)}
    return {
        name: torch.cat([value, more.get(name, torch.zeros_like(added)).to(value.dtype)], 1)
        if value.shape == shape
        else value
        for name, value in inputs.items()
    }


def _source_fingerprint(folder: Path, model: Any) -> str:
    """Of a folder: its files' contents. Of a hub model: the commit, which names contents as surely and at no cost."""
    if folder.exists():
        return _folder_hash(folder)
    commit = getattr(model.config, "_commit_hash", None)
    if not commit:
        raise InputError(f"the hub did not say which version of {model.config.name_or_path} this is; use a local copy")
    return str(commit)


def _folder_hash(folder: Path | None) -> str:
    if folder is None:
        return ""
    return hash_files(sorted(path for pattern in _CONTENT for path in folder.glob(pattern)))
