"""Encoders that open_clip runs: CLIP (arXiv 2103.00020) and its kin, SigLIP (arXiv 2303.15343) among them."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image
from transformers import AutoConfig, AutoModel, PretrainedConfig

from indexing.encoder_config import (
    LARGEST_MODEL,
    check_encoder_config,
    check_preprocessing,
    check_text_config,
    read_encoder_config,
)
from indexing.encoder_files import HUB, LOCAL, local_encoder
from indexing.encoders.towers import PROBES, Towers, checked_bias, device_name, fingerprint, what_it_is
from indexing.hub import only_what_is_cached_if_unreachable
from titrate import InputError, parse_json, read_bytes


class OpenClipTowers(Towers):
    """An open_clip model. Make one with `OpenClipTowers.open`."""

    def __init__(self, id: str, model: Any, preprocess: Any, tokenizer: Any, device: torch.device, shape: Any) -> None:
        self.id = id
        self._model, self._preprocess, self._tokenizer, self._device = model, preprocess, tokenizer, device
        self._bias = checked_bias(getattr(model, "logit_bias", None))
        inner = getattr(tokenizer, "tokenizer", None)  # only open_clip's wrapper of Hugging Face tokenisers has one
        reading = {
            "preprocess": model.visual.preprocess_cfg,
            "vocabulary": inner.get_vocab() if inner is not None else None,
            "tokens": tokenizer(PROBES).tolist(),
            "towers": [what_it_is(config) for config in shape],
        }
        self._fingerprint = fingerprint(model.state_dict(), reading)

    @classmethod
    def open(cls, id: str, device: torch.device) -> "OpenClipTowers":
        """Load them.

        Parameters
        ----------
        id
            As for `Encoder.open`.
        device
            Where they run.

        Raises
        ------
        InputError
            If the configuration says more than what the model is, or there is no such model; open_clip raises other
            kinds too.
        """
        name, weights = _parse_id(id)
        with only_what_is_cached_if_unreachable(name):
            config, text = _checked_config(name)
            reading = {"trust_remote_code": False} if config["text_cfg"].get("hf_tokenizer_name") else {}
            # Not open_clip's other factory, which starts from random weights where there are none. All weights are
            # in the encoder's own file: without one, those of a text tower are not looked for elsewhere.
            model, preprocess = open_clip.create_model_from_pretrained(
                name, pretrained=weights, device=device, weights_only=True, pretrained_text=False
            )
            tokenizer = open_clip.get_tokenizer(name, **reading)
        check_preprocessing(model.visual.preprocess_cfg)
        known = name if weights is None else f"{name}/{weights}"
        return cls(known, model.eval(), preprocess, tokenizer, device, [config, text])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of weights, configuration, preprocessing and tokeniser."""
        return self._fingerprint

    @property
    def versions(self) -> dict[str, str]:
        """Of open_clip and torch, and the device."""
        libraries = {name: version(name) for name in ("open_clip_torch", "torch")}
        return {**libraries, "encoder device": device_name(self._device)}

    @property
    def logit_scale(self) -> float:
        """The exponential of the parameter that open_clip keeps."""
        return float(self._model.logit_scale.exp().item())

    @property
    def logit_bias(self) -> float | None:
        """Of models made with ``init_logit_bias``, as open_clip's SigLIP models are."""
        return self._bias

    @property
    def context_length(self) -> int | None:
        """Of its tokeniser."""
        return int(self._tokenizer.context_length)

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """Resize and normalise: float32 [3, height, width]."""
        pixels: torch.Tensor = self._preprocess(image)
        return pixels

    def images(self, pixels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Embeddings: [n, d]."""
        rows: torch.Tensor = self._model.encode_image(torch.stack(list(pixels)).to(self._device))
        return rows

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings: [n, d]."""
        rows: torch.Tensor = self._model.encode_text(self._tokenizer(list(texts)).to(self._device))
        return rows


def hint(id: str) -> str:
    """What to do about an encoder that cannot be loaded, for the end of a message."""
    if not id.startswith(LOCAL):
        return "; if this machine is offline, copy the model here and write local-dir:FOLDER"
    try:
        config = parse_json(read_bytes(Path(id.removeprefix(LOCAL)) / "open_clip_config.json"))
        hub_name = config["model_cfg"]["text_cfg"]["hf_model_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f"; its config fetches {hub_name} from the hub: rewrite hf_model_name to a local folder"


def _parse_id(id: str) -> tuple[str, str | None]:
    """open_clip's model name and weights tag, the path of a local folder made absolute."""
    if folder := local_encoder(id):
        return f"{LOCAL}{folder}", None
    if id.startswith(HUB):
        return id, None
    name, _, weights = id.rpartition("/")
    if (name, weights) not in open_clip.list_pretrained():
        raise InputError(
            f"unknown encoder {id}: write local-dir:FOLDER, hf:OWNER/NAME, hf-hub:OWNER/NAME, or NAME/WEIGHTS from "
            "open_clip's list"
        )
    return name, weights


def _checked_config(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """An encoder's configuration, and that of its text tower from transformers, if it has one.

    Raises
    ------
    InputError
        If there is anything in it that should not be.
    """
    most = LARGEST_MODEL
    if name.startswith(LOCAL):
        folder = Path(name.removeprefix(LOCAL))
        config = read_encoder_config(folder)
        config = config.get("model_cfg") if isinstance(config, dict) else None
        files = [path for kind in ("safetensors", "bin", "pth") for path in folder.glob(f"*.{kind}")]
        most = max((path.stat().st_size for path in files), default=0)  # a weight takes a byte or more
    else:
        config = open_clip.get_model_config(name)
    check_encoder_config(config, most)
    text: dict[str, Any] = {}
    if hf_name := config["text_cfg"].get("hf_model_name"):
        text = PretrainedConfig.get_config_dict(hf_name)[0]
        check_text_config(text)
        with torch.device("meta"):  # takes no memory
            tower = AutoModel.from_config(AutoConfig.from_pretrained(hf_name, trust_remote_code=False))
        claimed = sum(parameter.numel() for parameter in tower.parameters())
        if claimed > most:
            raise InputError(f"its text model claims {claimed:.2g} weights, more than its file can hold")
    return config, text
