"""The image and text encoder: any open_clip model behind LlamaIndex's `MultiModalEmbedding`, with a fingerprint."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.schema import ImageType
from numpy.typing import NDArray
from PIL import Image
from pydantic import PrivateAttr
from transformers import AutoConfig, AutoModel, PretrainedConfig, dynamic_module_utils

from indexing.encoder_config import (
    LARGEST_MODEL,
    check_encoder_config,
    check_preprocessing,
    check_text_config,
    read_encoder_config,
)
from indexing.encoder_files import HUB, LOCAL, check_encoder_files, local_encoder
from indexing.hub import only_what_is_cached_if_unreachable
from indexing.images.decode import decode_image, load_image
from titrate import (
    STOPS,
    InputError,
    TitrateError,
    first_line,
    hash_bytes,
    hash_json,
    note_named,
    parse_json,
    read_bytes,
)

# Code in a model's folder is refused everywhere, but where a library drops that on its way to transformers, it would
# ask whoever sits at the terminal whether to run it, and wait so many seconds.
dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0

# Texts whose token ids go into the fingerprint: they show changes of merging or cleaning that a vocabulary would not.
_PROBES = ["", "No pleural effusion; heart size is normal.", "3.5 cm mass, T2-hyperintense (left)", "µm é ∧ 漢"]


class Encoder(MultiModalEmbedding):
    """An open_clip model (CLIP, arXiv 2103.00020, and its kin) that embeds images and texts in one space.

    Make one with `Encoder.open`. It also works wherever LlamaIndex wants a `MultiModalEmbedding`. Calls from several
    threads take turns.
    """

    _model: Any = PrivateAttr()
    _tokenizer: Any = PrivateAttr()
    _preprocess: Callable[[Image.Image], torch.Tensor] = PrivateAttr()
    _device: torch.device = PrivateAttr()
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _fingerprint: str = PrivateAttr()
    _dimension: int = PrivateAttr()

    @classmethod
    def open(cls, id: str, device: str | None = None) -> "Encoder":
        """Load an encoder.

        Parameters
        ----------
        id
            ``local-dir:FOLDER`` (an open_clip folder), ``hf-hub:OWNER/NAME``, or ``NAME/WEIGHTS`` as open_clip lists
            them (``ViT-B-32/laion2b_s34b_b79k``). Once it is loaded, an index may name it too: see `encoder_to_load`.
        device
            A torch device; by default the first GPU, or else the CPU.

        Raises
        ------
        InputError
            If there is no such model, its weights are missing, it cannot be loaded, or its configuration says more than
            what the model is; see `check_encoder_config`.
        """
        name, weights = _parse_id(id)
        try:
            chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            with only_what_is_cached_if_unreachable(name):
                config, text = _checked_config(name)
                reading = {"trust_remote_code": False} if config["text_cfg"].get("hf_tokenizer_name") else {}
                # Not open_clip's other factory, which starts from random weights where there are none. All weights are
                # in the encoder's own file: without one, those of a text tower are not looked for elsewhere.
                model, preprocess = open_clip.create_model_from_pretrained(
                    name, pretrained=weights, device=chosen, weights_only=True, pretrained_text=False
                )
                tokenizer = open_clip.get_tokenizer(name, **reading)
            check_preprocessing(model.visual.preprocess_cfg)
            encoder = cls(model_name=name if weights is None else f"{name}/{weights}")
            encoder._model, encoder._preprocess, encoder._device = model.eval(), preprocess, chosen
            encoder._tokenizer, encoder._fingerprint = tokenizer, _fingerprint(model, tokenizer, [config, text])
            encoder._dimension = encoder._probe()
        except TitrateError as error:
            raise type(error)(f"cannot load encoder {id}: {error}") from error
        except STOPS:
            raise
        except BaseException as error:  # libraries raise many kinds; one in Rust that panics, none that is an Exception
            raise InputError(f"cannot load encoder {id}: {first_line(error)}{_hint(name)}") from error
        note_named(encoder.id)
        return encoder

    def _probe(self) -> int:
        """Length of its embeddings, which are the same for an image and a text."""
        images, texts = self.embed_images([Image.new("RGB", (64, 64))]), self.embed_texts(_PROBES[1:2])
        if images.shape != texts.shape:
            raise InputError("its embeddings of images and texts differ in length; get the encoder again")
        length: int = texts.shape[1]
        return length

    @property
    def id(self) -> str:
        """What `Encoder.open` takes to load this encoder again, from any working directory."""
        return self.model_name

    @property
    def fingerprint(self) -> str:
        """SHA-256 of weights, configuration, preprocessing and tokeniser: if equal, embeddings are."""
        return self._fingerprint

    @property
    def versions(self) -> dict[str, str]:
        """Of the libraries that embed, and the device that they use: they may round otherwise."""
        libraries = {name: version(name) for name in ("open_clip_torch", "torch")}
        return {**libraries, "encoder device": device_name(self._device)}

    @property
    def dimension(self) -> int:
        """Length d of an embedding."""
        return self._dimension

    @property
    def logit_scale(self) -> float:
        """The factor s by which the model was trained to multiply cosines before a softmax."""
        return float(self._model.logit_scale.exp().item())

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """Resize and normalise as the model wants it: float32 [3, height, width]. May run in any thread."""
        return self._preprocess(image)

    def embed_pixels(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """Embed preprocessed images [n, 3, height, width]: unit rows, float32 [n, d]."""
        with self._lock, torch.inference_mode():
            return _unit_rows(self._model.encode_image(pixels.to(self._device)), self.id)

    def embed_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Embed images: unit rows, float32 [n, d]."""
        if not images:
            return np.empty((0, self.dimension), np.float32)
        return self.embed_pixels(torch.stack([self.preprocess(image.convert("RGB")) for image in images]))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts, cut at the model's context length: unit rows, float32 [n, d]."""
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        with self._lock, torch.inference_mode():
            tokens = self._tokenizer(list(texts)).to(self._device)
            return _unit_rows(self._model.encode_text(tokens), self.id)

    @classmethod
    def class_name(cls) -> str:
        """The name LlamaIndex stores with a serialised component."""
        return "TitrateEncoder"

    def _get_image_embedding(self, img_file_path: ImageType) -> list[float]:
        return self._get_image_embeddings([img_file_path])[0]

    def _get_image_embeddings(self, img_file_paths: list[ImageType]) -> list[list[float]]:
        rows: list[list[float]] = self.embed_images([_open_image(path) for path in img_file_paths]).tolist()
        return rows

    async def _aget_image_embedding(self, img_file_path: ImageType) -> list[float]:
        return await asyncio.to_thread(self._get_image_embedding, img_file_path)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self.embed_texts(texts).tolist()
        return rows

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)


def device_name(device: torch.device) -> str:
    """The kind of a device: the name of a GPU's model, or what torch calls the device.

    >>> device_name(torch.device("cpu"))
    'cpu'
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _parse_id(id: str) -> tuple[str, str | None]:
    """open_clip's model name and weights tag, the path of a local folder made absolute."""
    check_encoder_files(id)
    if folder := local_encoder(id):
        return f"{LOCAL}{folder}", None
    if id.startswith(HUB):
        return id, None
    name, _, weights = id.rpartition("/")
    if (name, weights) not in open_clip.list_pretrained():
        raise InputError(
            f"unknown encoder {id}: write local-dir:FOLDER, hf-hub:OWNER/NAME, or NAME/WEIGHTS from open_clip's list"
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


def _hint(name: str) -> str:
    if not name.startswith(LOCAL):
        return "; if this machine is offline, copy the model here and write local-dir:FOLDER"
    try:
        config = parse_json(read_bytes(Path(name.removeprefix(LOCAL)) / "open_clip_config.json"))
        hub_name = config["model_cfg"]["text_cfg"]["hf_model_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f"; its config fetches {hub_name} from the hub: rewrite hf_model_name to a local folder"


_WHERE = {
    *("hf_model_name", "hf_tokenizer_name", "transformers_version"),
    *("hf_model_pretrained", "timm_model_pretrained"),
}
"""Parts of a configuration that say where files are or what wrote them; what they hold is hashed itself."""


def _what_it_is(config: Any) -> Any:
    """A configuration without what differs between copies of one encoder."""
    if isinstance(config, dict):
        kept = {key: value for key, value in config.items() if key not in _WHERE and not key.startswith("_")}
        return {key: _what_it_is(value) for key, value in kept.items()}
    return config


def _fingerprint(model: Any, tokenizer: Any, configurations: Sequence[dict[str, Any]]) -> str:
    parts: list[bytes] = []
    for name, tensor in sorted(model.state_dict().items()):
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        parts += [f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), raw]
    inner = getattr(tokenizer, "tokenizer", None)  # only open_clip's wrapper of Hugging Face tokenisers has one
    reading = {
        "preprocess": model.visual.preprocess_cfg,
        "vocabulary": inner.get_vocab() if inner is not None else None,
        "tokens": tokenizer(_PROBES).tolist(),
        # How the towers are put together: which activation, which pooling. Their weights are the same with another.
        "towers": [_what_it_is(config) for config in configurations],
    }
    return hash_bytes(*parts, hash_json(reading).encode())


def _unit_rows(embeddings: torch.Tensor, name: str) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = torch.nn.functional.normalize(embeddings.float(), dim=-1).cpu().numpy()
    if not np.isfinite(rows).all():
        raise TitrateError(f"encoder {name} returned numbers that are not finite; its weights are probably damaged")
    return rows


def _open_image(source: ImageType) -> Image.Image:
    return decode_image(source.getvalue(), "in memory") if isinstance(source, BytesIO) else load_image(Path(source))
