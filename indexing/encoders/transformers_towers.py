"""Encoders that transformers runs: CLIP, SigLIP (MedSigLIP is one), SigLIP 2 with a fixed size or any aspect ratio."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, Siglip2Model, SiglipModel

from indexing.encoders.checkpoint import Checkpoint, read_checkpoint
from indexing.encoders.towers import PROBES, Towers, checked_bias, device_name, fingerprint, what_it_is
from titrate import InputError, check_complete

_MODELS: dict[str, Any] = {"clip": CLIPModel, "siglip": SiglipModel, "siglip2": Siglip2Model}
_NO_SENTENCEPIECE = (
    "its tokenizer needs the sentencepiece package: pip install 'titrate[siglip]'"  # transformers says it in four lines
)


class TransformersTowers(Towers):
    """A CLIP, SigLIP or SigLIP 2 model of transformers. Make one with `TransformersTowers.open`."""

    def __init__(self, id: str, model: Any, processor: Any, tokenizer: Any, device: torch.device, shape: Any) -> None:
        self.id = id
        self._model, self._processor, self._tokenizer, self._device = model, processor, tokenizer, device
        self._bias = checked_bias(getattr(model, "logit_bias", None))
        self._lowers = _lowers(tokenizer)
        tokens = self._tokens(PROBES)["input_ids"]
        if tokens[1].equal(tokens[2]) or tokens.max() >= model.config.text_config.vocab_size:
            raise InputError(
                "its tokenizer does not belong to its text tower, or its vocabulary is missing; get both again"
            )
        reading = {
            "preprocess": [type(processor).__name__, shape["preprocess"]],
            "vocabulary": tokenizer.get_vocab(),
            "tokens": tokens.tolist(),
            "towers": shape["towers"],
        }
        self._fingerprint = fingerprint(model.state_dict(), reading)

    @classmethod
    def open(cls, place: Checkpoint, device: torch.device) -> "TransformersTowers":
        """Load them, in float32.

        Parameters
        ----------
        place
            Their folder.
        device
            Where they run.

        Raises
        ------
        InputError
            If the folder holds another model, code, or not all weights; transformers raises other kinds too.
        """
        folder = place.folder
        parts = read_checkpoint(folder, _MODELS)
        from_files = {"trust_remote_code": False, "local_files_only": True}
        model, loading = _MODELS[parts["config.json"]["model_type"]].from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # told and refused below
            output_loading_info=True,
            **from_files,
        )
        check_complete(place.id, loading)
        processor = AutoImageProcessor.from_pretrained(folder, **from_files)
        if not getattr(processor, "do_resize", True):
            raise InputError("its image processor does not resize; set do_resize in its preprocessor_config.json")
        _check_size(processor, model.config.vision_config)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, **from_files)
        except ImportError as error:
            raise InputError(_NO_SENTENCEPIECE if "sentencepiece" in str(error).lower() else str(error)) from error
        preprocess = {name: what_it_is(part) for name, part in parts.items() if "process" in name}
        shape = {"preprocess": preprocess, "towers": what_it_is(parts["config.json"])}
        return cls(place.id, model.to(device).eval(), processor, tokenizer, device, shape)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of weights, configuration, preprocessing and tokeniser."""
        return self._fingerprint

    @property
    def versions(self) -> dict[str, str]:
        """Of transformers, torch and torchvision, which resizes; and the device."""
        libraries = {name: version(name) for name in ("transformers", "torch", "torchvision")}
        return {**libraries, "encoder device": device_name(self._device)}

    @property
    def logit_scale(self) -> float:
        """The exponential of the parameter that transformers keeps."""
        return float(self._model.logit_scale.exp().item())

    @property
    def logit_bias(self) -> float | None:
        """Of SigLIP and SigLIP 2."""
        return self._bias

    @property
    def context_length(self) -> int | None:
        """Of its text tower: 77 for CLIP, 64 for SigLIP."""
        return int(self._model.config.text_config.max_position_embeddings)

    def preprocess(self, image: Image.Image) -> dict[str, torch.Tensor]:
        """As the checkpoint's own image processor does.

        ``pixel_values`` float32 [3, height, width]; of SigLIP 2 with any aspect ratio [patches, 3 · side²], with
        ``pixel_attention_mask`` [patches] and ``spatial_shapes`` [2].
        """
        made = self._processor(images=image, return_tensors="pt")
        return {name: tensor[0] for name, tensor in made.items()}

    def images(self, pixels: Sequence[dict[str, torch.Tensor]]) -> torch.Tensor:
        """Embeddings: [n, d]."""
        batch = {name: torch.stack([each[name] for each in pixels]).to(self._device) for name in pixels[0]}
        return _pooled(self._model.get_image_features(**batch))

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings: [n, d]."""
        tokens = self._tokens(texts)
        return _pooled(self._model.get_text_features(**{name: each.to(self._device) for name, each in tokens.items()}))

    def cut(self, texts: Sequence[str]) -> int:
        """Those of more tokens than the text tower reads."""
        ids = self._tokenizer(self._given(texts), verbose=False)["input_ids"] if texts else []
        return sum(len(each) > (self.context_length or 0) for each in ids)

    def _given(self, texts: Sequence[str]) -> list[str]:
        return [text.lower() for text in texts] if self._lowers else list(texts)

    def _tokens(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Padded to the full length: SigLIP reads a text's last place, and was trained with padding before it."""
        made = self._tokenizer(
            self._given(texts),
            padding="max_length",
            truncation=True,
            max_length=self.context_length,
            return_tensors="pt",
        )
        return {name: made[name] for name in ("input_ids", "attention_mask") if name in made}


def _check_size(processor: Any, vision: Any) -> None:
    """Refuse an image processor whose images the vision tower does not take."""
    made = processor(images=Image.new("RGB", (40, 50)), return_tensors="pt")["pixel_values"].shape[1:]
    side = getattr(vision, "image_size", None)
    if len(made) == 3 and side is not None and tuple(made[1:]) != (side, side):
        raise InputError(
            f"its image processor makes {made[2]} x {made[1]} pixels, its vision tower takes {side} x {side}; "
            "get its preprocessor_config.json again"
        )


def _lowers(tokenizer: Any) -> bool:
    """Whether texts are to be put into lower case, and the tokenizer's class does not see to that.

    SigLIP 2 of a fixed size names Gemma's tokenizer, which knows upper case, and ``do_lower_case``, which that ignores.
    """
    asked = bool(tokenizer.init_kwargs.get("do_lower_case"))
    return asked and tokenizer("Heart, LUNG")["input_ids"] != tokenizer("heart, lung")["input_ids"]


def _pooled(output: Any) -> torch.Tensor:
    rows = output if isinstance(output, torch.Tensor) else output.pooler_output
    if rows is None:
        raise InputError("its vision tower makes no single vector of an image (vision_use_head is false)")
    return rows
