"""Any `MultiModalEmbedding` of LlamaIndex as an encoder; what such an object cannot tell, its user states."""

import math
from collections.abc import Sequence
from importlib.metadata import version
from io import BytesIO

import torch
from llama_index.core.embeddings import MultiModalEmbedding
from PIL import Image

from indexing.encoder_files import LLAMA_INDEX
from indexing.encoders.towers import Towers
from titrate import InputError, hash_json, printable


class LlamaIndexTowers(Towers):
    """An embedding with what its user states about it; see `Encoder.of_embedding`."""

    def __init__(
        self,
        embedding: MultiModalEmbedding,
        name: str,
        release: str,
        logit_scale: float,
        logit_bias: float | None,
        context_length: int | None,
    ) -> None:
        stated = {"name": name, "version": release}
        if empty := [key for key, text in stated.items() if not isinstance(text, str) or not text.strip()]:
            raise InputError(f"its {empty[0]} is empty; it stands for the weights, which cannot be seen")
        if not (math.isfinite(logit_scale) and logit_scale > 0):
            raise InputError(f"its logit_scale is {logit_scale}; give the factor on cosines that it was trained with")
        if logit_bias is not None and not math.isfinite(logit_bias):
            raise InputError(
                f"its logit_bias is {logit_bias}; give a number, or None for a model trained with a softmax"
            )
        self._embedding, self._scale, self._bias, self._length = embedding, logit_scale, logit_bias, context_length
        self.id = f"{LLAMA_INDEX}{printable(name)}@{printable(release)}"
        kind = f"{type(embedding).__module__}.{type(embedding).__qualname__}"
        said = [kind, embedding.model_name, stated, logit_scale, logit_bias]
        self._fingerprint = hash_json({"llama_index embedding": said})

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its class, its model's name and what was stated: its weights cannot be seen."""
        return self._fingerprint

    @property
    def versions(self) -> dict[str, str]:
        """Of LlamaIndex."""
        return {"llama-index-core": version("llama-index-core")}

    @property
    def logit_scale(self) -> float:
        """As stated."""
        return self._scale

    @property
    def logit_bias(self) -> float | None:
        """As stated."""
        return self._bias

    @property
    def context_length(self) -> int | None:
        """As stated."""
        return self._length

    def preprocess(self, image: Image.Image) -> bytes:
        """A PNG: nothing is lost, and no metadata of the file goes with it."""
        file = BytesIO()
        Image.frombytes(image.mode, image.size, image.tobytes()).save(file, "PNG")
        return file.getvalue()

    def images(self, pixels: Sequence[bytes]) -> torch.Tensor:
        """Embeddings: [n, d]."""
        return torch.tensor(self._embedding.get_image_embedding_batch([BytesIO(png) for png in pixels]))

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings: [n, d]."""
        return torch.tensor(self._embedding.get_text_embedding_batch(list(texts)))

    def queries(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings of questions, which some models embed otherwise: [n, d]."""
        return torch.tensor([self._embedding.get_query_embedding(text) for text in texts])
