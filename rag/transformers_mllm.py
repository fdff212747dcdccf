"""Any `AutoModelForImageTextToText` of transformers as an MLLM, with an optional PEFT adapter."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from rag.mllm import MLLM, Prompt
from rag.model_inputs import append, positions
from rag.shared_images import SharedImages
from titrate.errors import InputError
from titrate.files import hash_files, hash_json

# Weights are read from safetensors only: other formats hold pickles, and are not in the fingerprint.
_NUMBERS = ("float32", "bfloat16", "float16")
_CONTENT = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")


_PLACEHOLDERS = ("image_token", "video_token", "audio_token", "boi_token", "eoi_token")


class TransformersMLLM(MLLM):
    """A transformers image-text-to-text model. Make one with `TransformersMLLM.open`."""

    def __init__(self, model: Any, processor: Any, fingerprint: str) -> None:
        self.model, self.processor, self._fingerprint = model, processor, fingerprint
        self._base = model.get_base_model() if hasattr(model, "get_base_model") else model  # PEFT wraps it
        self._tokenizer = processor.tokenizer
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        special = {str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special}
        special |= {str(getattr(processor, name, "")) for name in _PLACEHOLDERS} - {"", "None"}
        self._special = sorted(special, key=lambda token: (-len(token), token))
        ends = getattr(model.generation_config, "eos_token_id", None) or self._tokenizer.eos_token_id
        self._ends = [ends] if isinstance(ends, int) else list(ends or ())

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
        for file in () if adapter is None else ("adapter_config.json", "adapter_model.safetensors"):
            if not (Path(adapter or "") / file).is_file():
                raise InputError(f"no adapter in {adapter}: {file} is not there; make one with `titrate train`")
        if dtype not in (None, *_NUMBERS):
            raise InputError(f"unknown dtype {dtype}; it can be {', '.join(_NUMBERS)}")
        source = str(folder) if folder.exists() else name
        try:
            chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            numbers = dtype or ("float32" if chosen.type == "cpu" else "bfloat16")
            processor = AutoProcessor.from_pretrained(source, trust_remote_code=False)
            model: Any = AutoModelForImageTextToText.from_pretrained(
                source, dtype=getattr(torch, numbers), use_safetensors=True, trust_remote_code=False
            )
            if adapter is not None:
                from peft import PeftModel

                with warnings.catch_warnings():  # PEFT asks transformers for a property by its old name
                    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
                    model = PeftModel.from_pretrained(model, str(adapter))
            model = model.to(chosen).eval()
        except Exception as error:  # transformers, peft and the hub client raise many kinds
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"cannot load model {name}: {line}") from error
        if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
            raise InputError(f"model {name} does not read both text and images; its folder needs a processor for both")
        if not getattr(processor, "chat_template", None):
            raise InputError(f"model {name} has no chat template; add chat_template.jinja to its folder")
        fingerprint = hash_json(
            {"weights": _source_fingerprint(folder, model), "adapter": _folder_hash(adapter), "dtype": numbers}
        )
        return cls(model, processor, fingerprint)

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
        prompts share is encoded once a call where the architecture allows it. Where one option begins another ("left",
        "left and right"), the end of the answer is scored too, or else the longer one could never win.

        Raises
        ------
        InputError
            If an option cannot be told from the prompt or holds a special token, or a prompt is too long for the model.
        """
        texts = [self.render(prompt.text) for prompt in prompts]
        scores = [np.zeros(len(choices)) for choices in options]
        jobs = [job for row, text in enumerate(texts) for job in self._jobs(row, text, options[row])]
        jobs.sort(key=lambda job: (len(job.stem), len(texts[job.row]), job.row))
        images = SharedImages(self._base)
        for _, group in groupby(jobs, key=lambda job: len(job.stem)):
            same_length = list(group)
            for start in range(0, len(same_length), batch_size):
                batch = same_length[start : start + batch_size]
                inputs = self._inputs([texts[job.row] for job in batch], [prompts[job.row].image for job in batch])
                inputs = append(inputs, torch.tensor([job.stem for job in batch], dtype=torch.long))
                inputs = images.share(inputs, [id(prompts[job.row].image) for job in batch])
                inputs |= positions(self._base, inputs)
                logits = self.model(**inputs, logits_to_keep=len(batch[0].stem) + 1).logits
                log_probabilities = torch.log_softmax(logits.double(), dim=-1).cpu()
                for job, table in zip(batch, log_probabilities, strict=True):
                    for option, ids in job.options.items():
                        scores[job.row][option] = self._log_probability(table, ids)
        return scores

    def _log_probability(self, table: torch.Tensor, ids: list[int]) -> float:
        """Of an option's tokens, and of the answer's end if the table [tokens, vocabulary] has a row for it."""
        total = table[torch.arange(len(ids)), torch.tensor(ids)].sum()
        if len(table) > len(ids):
            total = total + table[len(ids), self._ends].logsumexp(0)
        return float(total)

    def _inputs(self, texts: list[str], images: list[Image.Image]) -> dict[str, torch.Tensor]:
        begin = self._tokenizer.bos_token
        opened = begin is not None and texts[0].startswith(begin)  # by the chat template: one beginning is enough
        inputs = self.processor(
            text=texts, images=images, padding=True, add_special_tokens=not opened, return_tensors="pt"
        )
        length, most = inputs["input_ids"].shape[1], self.model.config.get_text_config().max_position_embeddings
        if length > most:
            raise InputError(f"the prompt has {length} tokens, this model reads at most {most}; lower k")
        return {
            name: value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def _jobs(self, row: int, text: str, options: Sequence[str]) -> list["_Job"]:
        """One job for each beginning that some options share, a beginning being all of an option but its last token.

        Where one option begins another, a beginning is a whole option.
        """
        jobs: dict[tuple[int, ...], dict[int, list[int]]] = {}
        found = [self._continuation(text[-_TAIL:], option) for option in options]
        ended = any(found[a] == found[b][: len(found[a])] for a, b in permutations(range(len(found)), 2))
        for number, ids in enumerate(found):
            jobs.setdefault(tuple(ids if ended else ids[:-1]), {})[number] = ids
        return [_Job(row, stem, ids) for stem, ids in jobs.items()]

    def _continuation(self, tail: str, option: str) -> list[int]:
        """Token ids of an option after the prompt's last characters.

        Scores of an option mean something only if its tokens follow the prompt's as they would in running text, so
        tokenise(prompt + option) must begin with tokenise(prompt); some vocabularies need a space between for that.
        """
        for token in self._special:
            if token in option:
                raise InputError(f"option {option!r} holds {token}, a special token of this model; word it otherwise")
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
