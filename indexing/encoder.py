"""The image and text encoder: towers of any library behind LlamaIndex's `MultiModalEmbedding`, with a fingerprint."""

import asyncio
import threading
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.schema import ImageType
from numpy.typing import NDArray
from PIL import Image
from pydantic import PrivateAttr

from indexing.encoder_files import check_encoder_files, is_transformers
from indexing.encoders.checkpoint import find_checkpoint
from indexing.encoders.llama_towers import LlamaIndexTowers
from indexing.encoders.open_clip_towers import OpenClipTowers, hint
from indexing.encoders.towers import Towers
from indexing.encoders.transformers_towers import TransformersTowers
from indexing.images.decode import decode_image, load_image
from titrate import STOPS, InputError, TitrateError, first_line, note_named


class Encoder(MultiModalEmbedding):
    """A model that embeds images and texts in one space.

    Make one with `Encoder.open` or, of an embedding of LlamaIndex's, with `Encoder.of_embedding`. It also works
    wherever LlamaIndex wants a `MultiModalEmbedding`. Calls from several threads take turns.
    """

    _towers: Towers = PrivateAttr()
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _dimension: int = PrivateAttr()

    @classmethod
    def open(cls, id: str, device: str | None = None) -> "Encoder":
        """Load an encoder.

        Parameters
        ----------
        id
            ``local-dir:FOLDER`` (of open_clip or transformers), ``hf:OWNER/NAME`` or ``hf:OWNER/NAME@REVISION`` (CLIP,
            SigLIP and SigLIP 2 of transformers), ``hf-hub:OWNER/NAME`` (open_clip), or ``NAME/WEIGHTS`` as open_clip
            lists them (``ViT-B-32/laion2b_s34b_b79k``). Once it is loaded, an index may name it too: see
            `encoder_to_load`.
        device
            A torch device; by default the first GPU, or else the CPU. Weights are float32 on any.

        Raises
        ------
        InputError
            If there is no such model, its weights are missing, it cannot be loaded, or its configuration says more than
            what the model is; see `check_encoder_config`.
        """
        check_encoder_files(id)
        place = find_checkpoint(id) if is_transformers(id) else None
        try:
            chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            encoder = cls.of_towers(
                OpenClipTowers.open(id, chosen) if place is None else TransformersTowers.open(place, chosen)
            )
        except TitrateError as error:
            raise type(error)(f"cannot load encoder {id}: {error}") from error
        except STOPS:
            raise
        except BaseException as error:  # libraries raise many kinds; one in Rust that panics, none that is an Exception
            told = first_line(error) + (hint(id) if place is None else "")
            raise InputError(f"cannot load encoder {id}: {told}") from error
        note_named(encoder.id)
        return encoder

    @classmethod
    def of_embedding(
        cls,
        embedding: MultiModalEmbedding,
        *,
        name: str,
        version: str,
        logit_scale: float,
        logit_bias: float | None = None,
        context_length: int | None = None,
    ) -> "Encoder":
        """An encoder of any `MultiModalEmbedding`, for the Python API; what that cannot tell is stated here.

        Parameters
        ----------
        embedding
            It gets images as PNG in memory (`BytesIO`).
        name, version
            Of the model. Its weights cannot be seen, so name and version stand for them in the fingerprint: an index
            made with one version is refused with another, and a model that changes under both is not noticed.
        logit_scale
            The factor that the model's training loss puts before a cosine, about 100 for most. Ratio cuts and zero-shot
            routing go by it; with another their thresholds mean something else.
        logit_bias
            What a sigmoid loss adds; None for models that were trained with a softmax.
        context_length
            Tokens that are read of a text; None if that is not known.

        Raises
        ------
        InputError
            If a number is not sound, or images and texts cannot be embedded at the same length.
        """
        try:
            return cls.of_towers(LlamaIndexTowers(embedding, name, version, logit_scale, logit_bias, context_length))
        except TitrateError as error:
            raise type(error)(f"cannot use embedding {name}: {error}") from error
        except STOPS:
            raise
        except Exception as error:
            raise InputError(f"cannot use embedding {name}: {first_line(error)}") from error

    @classmethod
    def of_towers(cls, towers: Towers) -> "Encoder":
        """An encoder of towers that are open.

        Raises
        ------
        InputError
            If they give unlike images or texts one embedding, or images and texts embeddings of unlike lengths.
        """
        encoder = cls(model_name=towers.id)
        encoder._towers = towers
        images = encoder.embed_images([Image.new("RGB", (64, 64), "slategrey"), Image.radial_gradient("L")])
        texts = encoder.embed_texts(["heart", "lung"])  # short, so that they are padded
        if images.shape != texts.shape:
            raise InputError("its embeddings of images and texts differ in length; get the encoder again")
        for kind, rows in (("images", images), ("texts", texts)):
            if np.abs(rows[0] - rows[1]).max() < 1e-6:  # as with padding on the side where a tower reads
                raise InputError(f"it gives unlike {kind} the same embedding; get the encoder again, tokenizer and all")
        encoder._dimension = texts.shape[1]
        return encoder

    @property
    def id(self) -> str:
        """What `Encoder.open` takes to load this encoder again, from any working directory."""
        return self.model_name

    @property
    def towers(self) -> Towers:
        """What runs it, in the library's own form: for training."""
        return self._towers

    @property
    def fingerprint(self) -> str:
        """SHA-256 of weights, configuration, preprocessing and tokeniser: if equal, embeddings are."""
        return self._towers.fingerprint

    @property
    def versions(self) -> dict[str, str]:
        """Of the libraries that embed, and the device that they use: they may round otherwise."""
        return self._towers.versions

    @property
    def dimension(self) -> int:
        """Length d of an embedding, which is the same for an image and a text."""
        return self._dimension

    @property
    def logit_scale(self) -> float:
        """The factor s by which the model was trained to multiply cosines."""
        return self._towers.logit_scale

    @property
    def logit_bias(self) -> float | None:
        """What a model trained with a sigmoid loss adds to s × cosine; None for one trained with a softmax."""
        return self._towers.logit_bias

    @property
    def context_length(self) -> int | None:
        """Tokens that are read of a text, special ones counted; None if that is not known."""
        return self._towers.context_length

    def preprocess(self, image: Image.Image) -> Any:
        """Resize and normalise an RGB image as the model wants it, for `embed_pixels`. May run in any thread."""
        return self._towers.preprocess(image)

    def embed_pixels(self, pixels: Sequence[Any] | torch.Tensor) -> NDArray[np.float32]:
        """Embed n preprocessed images: unit rows, float32 [n, d]."""
        with self._lock, torch.inference_mode():
            return _unit_rows(self._towers.images(list(pixels)), self.id)

    def embed_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Embed images: unit rows, float32 [n, d]."""
        if not images:
            return np.empty((0, self.dimension), np.float32)
        return self.embed_pixels([self.preprocess(image.convert("RGB")) for image in images])

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts, cut at the model's context length: unit rows, float32 [n, d]."""
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        with self._lock, torch.inference_mode():
            return _unit_rows(self._towers.texts(texts), self.id)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same for questions, which some models embed otherwise than what is searched."""
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        with self._lock, torch.inference_mode():
            return _unit_rows(self._towers.queries(texts), self.id)

    def cut_texts(self, texts: Sequence[str]) -> int:
        """How many texts are longer than is read of them; 0 where that is not known."""
        with self._lock:
            return self._towers.cut(texts)

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
        rows: list[list[float]] = self.embed_queries([query]).tolist()
        return rows[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)


def _unit_rows(embeddings: torch.Tensor, name: str) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = torch.nn.functional.normalize(embeddings.float(), dim=-1).cpu().numpy()
    if not np.isfinite(rows).all() or not rows.any(axis=1).all():
        raise TitrateError(
            f"encoder {name} returned numbers that are not finite, or only zeros; its weights are probably damaged"
        )
    return rows


def _open_image(source: ImageType) -> Image.Image:
    return decode_image(source.getvalue(), "in memory") if isinstance(source, BytesIO) else load_image(Path(source))
