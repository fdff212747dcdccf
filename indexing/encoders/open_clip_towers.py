"""Encoders that open_clip runs: CLIP (arXiv 2103.00020) and its kin, SigLIP (arXiv 2303.15343) among them."""

from collections.abc import Sequence
from contextlib import ExitStack
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
from indexing.encoders.text_model import check_tokenizer_beside, text_model_at, text_model_beside
from indexing.encoders.towers import PROBES, Towers, checked_bias, device_name, fingerprint, what_it_is
from indexing.hub import only_what_is_cached_if_unreachable
from titrate import InputError

_AT_ONCE = {"cpu": 8}
"""Images in a forward pass on a device, all of them on those not listed: what a CPU computes of more fits no cache."""


class OpenClipTowers(Towers):
    """An open_clip model. Make one with `OpenClipTowers.open`.

    Attributes
    ----------
    model, tokenizer
        As open_clip makes them.
    config
        ``model_cfg`` of its configuration.
    device
        Where they run.
    """

    def __init__(self, id: str, model: Any, preprocess: Any, tokenizer: Any, device: torch.device, shape: Any) -> None:
        self.id, self.config = id, shape[0]
        self.model, self._preprocess, self.tokenizer, self.device = model, preprocess, tokenizer, device
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
        folder = local_encoder(id)
        with ExitStack() as stack:
            stack.enter_context(only_what_is_cached_if_unreachable(folder is None or _asks_the_hub(folder)))
            config, most = _checked_config(name, folder)
            reading = {"trust_remote_code": False} if config["text_cfg"].get("hf_tokenizer_name") else {}
            text: dict[str, Any] = {}
            instead: dict[str, Any] = {}
            if hf_name := config["text_cfg"].get("hf_model_name"):
                place = stack.enter_context(text_model_at(hf_name, folder))
                text = _checked_text_model(place, most)
                instead["text_cfg"] = {**config["text_cfg"], "hf_model_name": place, "hf_model_pretrained": False}
            # Not open_clip's other factory, which starts from random weights where there are none. All weights are
            # in the encoder's own file: without one, those of a text tower are not looked for elsewhere.
            model, preprocess = open_clip.create_model_from_pretrained(
                name, pretrained=weights, device=device, weights_only=True, pretrained_text=False, **instead
            )
            tokenizer = open_clip.get_tokenizer(name, **reading)
        check_preprocessing(model.visual.preprocess_cfg)
        known = name if weights is None else f"{name}/{weights}"
        opened = cls(known, model.eval(), preprocess, tokenizer, device, [config, text])
        convolutions = sum(isinstance(part, torch.nn.Conv2d) for part in model.visual.modules())
        if device.type == "cpu" and convolutions > 1:  # a transformer has one, which cuts the image into patches
            model.visual.to(memory_format=torch.channels_last)  # they take two thirds of the time that way
        return opened

    @property
    def fingerprint(self) -> str:
        """SHA-256 of weights, configuration, preprocessing and tokeniser."""
        return self._fingerprint

    @property
    def versions(self) -> dict[str, str]:
        """Of open_clip and torch, and the device."""
        libraries = {name: version(name) for name in ("open_clip_torch", "torch")}
        return {**libraries, "encoder device": device_name(self.device)}

    @property
    def logit_scale(self) -> float:
        """The exponential of the parameter that open_clip keeps."""
        return float(self.model.logit_scale.exp().item())

    @property
    def logit_bias(self) -> float | None:
        """Of models made with ``init_logit_bias``, as open_clip's SigLIP models are."""
        return self._bias

    @property
    def context_length(self) -> int | None:
        """Of its tokeniser."""
        return int(self.tokenizer.context_length)

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """Resize and normalise: float32 [3, height, width]."""
        pixels: torch.Tensor = self._preprocess(image)
        return pixels

    def images(self, pixels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Embeddings: [n, d]."""
        most = _AT_ONCE.get(self.device.type, len(pixels))
        rows = [
            self.model.encode_image(torch.stack(list(pixels[start : start + most])).to(self.device))
            for start in range(0, len(pixels), most)
        ]
        return torch.cat(rows)

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings: [n, d]."""
        rows: torch.Tensor = self.model.encode_text(self.tokenizer(list(texts)).to(self.device))
        return rows

    def cut(self, texts: Sequence[str]) -> int:
        """Those of `which_cut`."""
        return sum(self.which_cut(texts))

    def which_cut(self, texts: Sequence[str]) -> list[bool]:
        """Which have a token in the place behind the last that is read."""
        length = self.tokenizer.context_length
        behind = self.tokenizer(["", *texts], context_length=length + 1)[:, length]  # an empty text is padded there
        which: list[bool] = (behind[1:] != behind[0]).tolist()
        return which


def hint(id: str) -> str:
    """What to do about an encoder that cannot be loaded, for the end of a message."""
    if id.startswith(LOCAL):
        return ""
    return "; if this machine is offline, copy the model here and write local-dir:FOLDER"


def _asks_the_hub(folder: Path) -> bool:
    """Whether a local encoder's text model has to be looked for there."""
    config: Any = read_encoder_config(folder)
    try:
        name = config["model_cfg"]["text_cfg"].get("hf_model_name")
    except (AttributeError, KeyError, TypeError):  # told by what checks it
        return False
    return isinstance(name, str) and bool(name) and text_model_beside(folder, name) is None


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


def _checked_config(name: str, folder: Path | None) -> tuple[dict[str, Any], int]:
    """An encoder's configuration, and how many weights it can have at most.

    Raises
    ------
    InputError
        If there is anything in it that should not be, or a local one's tokeniser is not there.
    """
    most = LARGEST_MODEL
    if folder is None:
        config = open_clip.get_model_config(name)
    else:
        config = read_encoder_config(folder)
        config = config.get("model_cfg") if isinstance(config, dict) else None
        files = [path for kind in ("safetensors", "bin", "pth") for path in folder.glob(f"*.{kind}")]
        most = max((path.stat().st_size for path in files), default=0)  # a weight takes a byte or more
    check_encoder_config(config, most)
    if folder is not None:
        check_tokenizer_beside(folder, config["text_cfg"].get("hf_tokenizer_name"))
    return config, most


def _checked_text_model(place: str, most: int) -> dict[str, Any]:
    """The configuration of a text tower from transformers, as far as it differs from its kind's own."""
    check_text_config(PretrainedConfig.get_config_dict(place)[0])
    config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    with torch.device("meta"):  # takes no memory
        tower = AutoModel.from_config(config)
    claimed = sum(parameter.numel() for parameter in tower.parameters())
    if claimed > most:
        raise InputError(f"its text model claims {claimed:.2g} weights, more than its file can hold")
    differing: dict[str, Any] = config.to_diff_dict()
    return differing
