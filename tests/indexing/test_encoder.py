import asyncio
import json
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import constants
from llama_index.core.embeddings import MultiModalEmbedding
from PIL import Image

from indexing import Encoder, load_image
from tests.indexing.tiny import SAMPLES, make_encoder
from titrate import InputError, TitrateError


def some_images() -> list[Image.Image]:
    return [load_image(path) for path in sorted((SAMPLES / "images" / "vqa-rad").iterdir())[:3]]


def test_embeddings_are_those_of_open_clip(encoder: Encoder, encoder_folder: Path) -> None:
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{encoder_folder}")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{encoder_folder}")
    images, texts = some_images(), ["heart", "No effusion is seen in the left lung. " * 9]
    with torch.inference_mode():
        expected_images = model.encode_image(torch.stack([preprocess(image) for image in images]), normalize=True)
        expected_texts = model.encode_text(tokenizer(texts), normalize=True)
    found = encoder.embed_images(images)
    assert found.dtype == np.float32 and found.shape == (3, 16) == (3, encoder.dimension)
    np.testing.assert_allclose(found, expected_images.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.embed_texts(texts), expected_texts.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert encoder.logit_scale == pytest.approx(model.logit_scale.exp().item())
    assert encoder.embed_images([]).shape == encoder.embed_texts([]).shape == (0, 16)


def test_is_a_llama_index_embedding(encoder: Encoder) -> None:
    assert isinstance(encoder, MultiModalEmbedding)
    path = sorted((SAMPLES / "images" / "vqa-rad").iterdir())[0]
    [expected] = encoder.embed_images([load_image(path)])
    np.testing.assert_allclose(encoder.get_image_embedding(str(path)), expected, atol=1e-6)
    np.testing.assert_allclose(encoder.get_image_embedding(BytesIO(path.read_bytes())), expected, atol=1e-6)
    np.testing.assert_allclose(asyncio.run(encoder.aget_image_embedding(str(path))), expected, atol=1e-6)
    [text] = encoder.embed_texts(["heart"])
    np.testing.assert_allclose(encoder.get_text_embedding_batch(["heart"])[0], text, atol=1e-6)
    np.testing.assert_allclose(asyncio.run(encoder.aget_query_embedding("heart")), text, atol=1e-6)


def test_texts_that_are_cut_are_counted(encoder: Encoder) -> None:
    """24 tokens are read, of which one is the end: of bytes without a merge, 23."""
    assert encoder.context_length == 24
    assert [encoder.cut_texts(["z" * number]) for number in (22, 23, 24, 60)] == [0, 0, 1, 1]
    assert encoder.cut_texts(["z" * 60, "z", "", "z" * 24]) == 2


def test_threads_get_the_same_numbers(encoder: Encoder) -> None:
    texts = [f"lesion of {size} mm" for size in range(16)]
    expected = encoder.embed_texts(texts)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda text: encoder.embed_texts([text])[0], texts))
    np.testing.assert_allclose(np.stack(rows), expected, atol=1e-5)


def test_fingerprint_changes_with_weights_and_preprocessing(
    encoder: Encoder, encoder_folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(encoder_folder, tmp_path / "copy")
    same = Encoder.open(f"local-dir:{copy}", device="cpu")
    assert same.fingerprint == encoder.fingerprint
    assert same.id == f"local-dir:{copy}"
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.4, 0.5, 0.5]
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    other = Encoder.open(f"local-dir:{make_encoder(tmp_path / 'other', seed=2)}", device="cpu")
    fingerprints = {encoder.fingerprint, Encoder.open(f"local-dir:{copy}", device="cpu").fingerprint, other.fingerprint}
    assert len(fingerprints) == 3


def test_fingerprint_changes_with_how_the_towers_are_put_together(
    encoder: Encoder, encoder_folder: Path, tmp_path: Path
) -> None:
    """Another activation has the same weights, and other embeddings."""
    copy = shutil.copytree(encoder_folder, tmp_path / "copy")
    file = copy / "open_clip_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "model_cfg": {**config["model_cfg"], "quick_gelu": True}}))
    other = Encoder.open(f"local-dir:{copy}", device="cpu")
    assert np.abs(other.embed_texts(["effusion"]) - encoder.embed_texts(["effusion"])).max() > 1e-4
    assert other.fingerprint != encoder.fingerprint


def test_unknown_models_are_refused(tmp_path: Path, encoder_folder: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(encoder_folder / "open_clip_config.json", bare)
    broken = shutil.copytree(encoder_folder, tmp_path / "broken")
    (broken / "open_clip_model.safetensors").write_bytes(b"nothing")
    for name in (f"local-dir:{tmp_path}/none", f"local-dir:{bare}", f"local-dir:{broken}", "ViT-B-32", "no/such"):
        with pytest.raises(InputError) as caught:
            Encoder.open(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mute", [False, True], ids=["nobody is there", "nobody answers"])
def test_without_the_hub_it_is_told_in_seconds(monkeypatch: pytest.MonkeyPatch, mute: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        if not mute:
            server.close()
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        started = time.monotonic()
        with pytest.raises(InputError, match=r"hf-hub:nobody/nothing: .*; if this machine is offline"):
            Encoder.open("hf-hub:nobody/nothing", device="cpu")
    assert time.monotonic() - started < (5 if mute else 2)  # the hub's client by itself tries for 23 seconds
    assert not constants.HF_HUB_OFFLINE


def test_numbers_that_are_not_finite_are_an_error(encoder_folder: Path) -> None:
    encoder = Encoder.open(f"local-dir:{encoder_folder}", device="cpu")
    pixels = torch.full((1, 3, 32, 32), torch.nan)
    with pytest.raises(TitrateError, match="not finite"):
        encoder.embed_pixels(pixels)
