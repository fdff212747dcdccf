"""Any embedding of LlamaIndex as an encoder: what it makes is used, what it cannot tell is stated or refused."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.embeddings import MultiModalEmbedding
from PIL import Image

from indexing import Encoder, Index, Manifest, build_index, load_image
from rag import AnsweringSystem, FixedK, Pipeline, TransformersMLLM
from tests.command_line import Run
from tests.indexing.few import few_records, write_corpus_to
from tests.indexing.tiny import SAMPLES
from titrate import InputError, TitrateError


class Colours(MultiModalEmbedding):
    """Mean colour of an image, and letters of a text; questions otherwise than texts."""

    def _get_image_embedding(self, img_file_path: Any) -> list[float]:
        assert isinstance(img_file_path, BytesIO)
        with Image.open(img_file_path) as image:
            assert image.format == "PNG" and not image.info
            means: list[float] = np.asarray(image, np.float64).mean((0, 1)).tolist()
        return means

    def _get_text_embedding(self, text: str) -> list[float]:
        return [1.0 + text.count(letter) for letter in "aeo"]

    def _get_query_embedding(self, query: str) -> list[float]:
        return [0.0, 0.0, 2.0]

    async def _aget_image_embedding(self, img_file_path: Any) -> list[float]:
        return self._get_image_embedding(img_file_path)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


def colours(**stated: Any) -> Encoder:
    return Encoder.of_embedding(Colours(), **{"name": "colours", "version": "1", "logit_scale": 20.0, **stated})


def test_vectors_are_the_embedding_s_at_length_one() -> None:
    encoder = colours()
    assert encoder.dimension == 3 and (encoder.logit_scale, encoder.logit_bias, encoder.context_length) == (
        20,
        None,
        None,
    )
    picture = Image.new("RGB", (4, 3), (30, 0, 40))
    np.testing.assert_allclose(encoder.embed_images([picture, picture]), [[0.6, 0, 0.8]] * 2, atol=1e-6)
    np.testing.assert_allclose(encoder.embed_texts(["ae", "oo"])[1], np.array([1, 1, 3]) / np.sqrt(11), atol=1e-6)
    np.testing.assert_allclose(encoder.embed_queries(["ae"]), [[0, 0, 1]], atol=1e-6)
    assert encoder.embed_images([]).shape == encoder.embed_queries([]).shape == (0, 3)


def test_what_is_stated_is_in_the_fingerprint() -> None:
    ways: list[dict[str, Any]] = [{}, {"name": "other"}, {"version": "2"}, {"logit_scale": 10.0}, {"logit_bias": -5.0}]
    assert len({colours(**way).fingerprint for way in ways}) == 5
    assert colours().fingerprint == colours().fingerprint
    assert colours(logit_bias=-5.0).logit_bias == -5


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"name": " "}, "its name is empty"),
        ({"version": ""}, "its version is empty"),
        ({"logit_scale": 0.0}, "its logit_scale is 0.0"),
        ({"logit_scale": float("nan")}, "its logit_scale is nan"),
        ({"logit_bias": float("inf")}, "its logit_bias is inf"),
    ],
)
def test_what_makes_no_sense_is_refused(stated: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        colours(**stated)


def test_embeddings_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for row, told in (
        ([1.0, 2.0], "differ in length"),
        ([0.0, 0.0, 0.0], "only zeros"),
        ([float("nan")] * 3, "not finite"),
    ):
        monkeypatch.setattr(Colours, "_get_text_embedding", lambda self, text, row=row: row)
        with pytest.raises(TitrateError, match=told):
            colours()
    monkeypatch.setattr(Colours, "_get_text_embedding", lambda self, text: 1 / 0)
    with pytest.raises(InputError, match="cannot use embedding colours: division by zero"):
        colours()


def test_our_own_encoder_goes_through_unchanged(encoder: Encoder) -> None:
    wrapped = Encoder.of_embedding(encoder, name="own", version="1", logit_scale=encoder.logit_scale)
    images = [load_image(path) for path in sorted((SAMPLES / "images/vqa-rad").iterdir())[:3]]
    np.testing.assert_allclose(wrapped.embed_images(images), encoder.embed_images(images), atol=1e-5)
    np.testing.assert_allclose(wrapped.embed_texts(["heart"]), encoder.embed_texts(["heart"]), atol=1e-6)
    assert wrapped.fingerprint != encoder.fingerprint


def test_indexed_and_asked_in_python(run: Run, tmp_path: Path) -> None:
    mllm = TransformersMLLM.open(str(SAMPLES / "models/mllm"), device="cpu")
    records = few_records()[:12]
    corpus, encoder = write_corpus_to(tmp_path / "corpus", records), colours()
    build_index(corpus, tmp_path / "index", encoder)
    assert Manifest.load(tmp_path / "index").encoder == "llama-index:colours@1"
    assert build_index(corpus, tmp_path / "index", colours()).embedded == 0
    with pytest.raises(InputError, match="encoder"):
        build_index(corpus, tmp_path / "index", colours(version="2"))
    with Index.open(tmp_path / "index") as index:
        with Pipeline(AnsweringSystem(index, encoder, mllm), FixedK(2), out_of_domain="search") as pipeline:
            answer = pipeline.ask(tmp_path / "corpus" / records[0]["image"], "Is it?", options=["yes", "no"])
        assert len(answer.contexts) == 2
        with pytest.raises(InputError, match="did not make this index"):
            AnsweringSystem(index, colours(logit_scale=5.0), mllm)
    refused = run(
        "ask", tmp_path / "corpus" / records[0]["image"], "Is it?", "--k", 1, "--mllm", SAMPLES / "models/mllm"
    )
    assert refused.exit_code == 2
    assert "encoder llama-index:colours@1 is an object of Python" in refused.stderr
    assert "\n" not in refused.stderr.strip()
