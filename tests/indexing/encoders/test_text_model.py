"""A folder laid out as BiomedCLIP's on the hub opens as it is, wherever its text tower's configuration lies."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import transformers
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file

from indexing import Encoder
from indexing.encoders.open_clip_towers import OpenClipTowers
from indexing.tuning.adapters import Adapters
from indexing.tuning.write import write_encoder
from titrate import InputError, TitrateWarning

hf: Any = transformers
NAME = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
BERT = {
    "architectures": ["BertForMaskedLM"],
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 128,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": 30,
}
"""Heads of 64 numbers, as BiomedBERT has."""


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights in one file, a vocabulary, and a configuration that names the text model on the hub."""
    root = tmp_path_factory.mktemp("mirror")
    folder, text = root / "biomedclip", put(root / "made")
    config = {
        "embed_dim": 16,
        "vision_cfg": {"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
        "text_cfg": {
            "hf_model_name": NAME,
            "hf_tokenizer_name": NAME,
            "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "context_length": 16,
        },
    }
    torch.manual_seed(1)
    built = {**config, "text_cfg": {**config["text_cfg"], "hf_model_name": str(text), "hf_model_pretrained": False}}  # type: ignore[dict-item]
    model = open_clip.CustomTextCLIP(**built)
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "no",
        "effusion",
        "heart",
        "mass",
        "lung",
        "##s",
        *"abcdefghijklmno",
    ]
    tokenizer = hf.BertTokenizer(vocab={word: number for number, word in enumerate(words)}, do_lower_case=True)
    tokenizer.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return folder


def put(place: Path, **values: object) -> Path:
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps({**BERT, **values}))
    return place


@pytest.fixture
def copy(mirrored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mirrored, tmp_path / "biomedclip"))


def opened(folder: Path) -> Encoder:
    return Encoder.open(f"local-dir:{folder}", device="cpu")


@pytest.fixture(scope="module")
def wanted(mirrored: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """With `hf_model_name` rewritten to a folder, as was needed before."""
    root = tmp_path_factory.mktemp("edited")
    folder = Path(shutil.copytree(mirrored, root / "biomedclip"))
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_model_name"] = str(put(root / "bert"))
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return opened(folder)


@pytest.mark.parametrize(
    "place", ["", NAME, NAME.rpartition("/")[2], f"../{NAME}", f"../{NAME.rpartition('/')[2]}", "the hub's cache"]
)
def test_the_configuration_is_found_beside_it(copy: Path, wanted: Encoder, place: str) -> None:
    kept = Path(constants.HF_HUB_CACHE) / f"models--{NAME.replace('/', '--')}"
    if place == "the hub's cache":
        (kept / "refs").mkdir(parents=True)
        (kept / "refs/main").write_text("d" * 40)
        put(kept / "snapshots" / ("d" * 40))
    elif place:
        put(copy / place)
    else:
        (copy / "config.json").write_text(json.dumps(BERT))
    try:
        encoder = opened(copy)
    finally:
        shutil.rmtree(kept, ignore_errors=True)
    texts = ["no effusion", "Heart", "mass in the lungs"]
    np.testing.assert_array_equal(encoder.embed_texts(texts), wanted.embed_texts(texts))
    assert len({tuple(row) for row in encoder.embed_texts(texts).round(4)}) == 3
    assert encoder.fingerprint == wanted.fingerprint


def test_a_published_bert_is_built_from_its_weights_and_that_is_told(copy: Path, wanted: Encoder) -> None:
    with pytest.warns(TitrateWarning, match="built from its weights, as a BERT of 2 layers with 2 heads"):
        encoder = opened(copy)
    texts = ["no effusion", "Heart", "mass in the lungs"]
    np.testing.assert_array_equal(encoder.embed_texts(texts), wanted.embed_texts(texts))
    assert encoder.fingerprint == wanted.fingerprint
    assert encoder.context_length == 16


def test_another_configuration_is_another_encoder(copy: Path, wanted: Encoder) -> None:
    """Four heads have weights of the same shapes."""
    put(copy / NAME, num_attention_heads=4)
    encoder = opened(copy)
    assert np.abs(encoder.embed_texts(["no effusion"]) - wanted.embed_texts(["no effusion"])).max() > 1e-4
    assert encoder.fingerprint != wanted.fingerprint


def rename(folder: Path, name: str) -> None:
    path = folder / "open_clip_config.json"
    path.write_text(path.read_text().replace(f'"hf_model_name": "{NAME}"', f'"hf_model_name": "{name}"'))


def test_an_unknown_text_model_is_told_with_what_to_fetch(copy: Path) -> None:
    """Its heads and activation cannot be seen in its weights."""
    rename(copy, "owner/OtherBERT")
    line = rf"neither beside it nor in .*: hf download owner/OtherBERT config.json --local-dir {copy}/OtherBERT"
    with pytest.raises(InputError, match=line) as caught:
        opened(copy)
    assert "\n" not in str(caught.value)
    put(copy / "OtherBERT")
    assert opened(copy).dimension == 16


def test_a_tokenizer_that_is_not_there_is_told(copy: Path) -> None:
    put(copy / NAME)
    for file in ("tokenizer.json", "vocab.txt"):
        (copy / file).unlink()
    with pytest.raises(InputError, match=r"its tokenizer is not in .*: put tokenizer.json, .*vocab.txt there"):
        opened(copy)


def test_weights_that_are_no_bert_are_told(copy: Path) -> None:
    path = copy / "open_clip_pytorch_model.bin"
    weights = torch.load(path, weights_only=True)
    del weights["text.transformer.embeddings.position_embeddings.weight"]
    torch.save(weights, path)
    with pytest.raises(InputError, match="hold no BERT"):
        opened(copy)


@pytest.mark.parametrize("values", [{"num_hidden_layers": 3}, {"hidden_size": 256}, {"auto_map": {}}])
def test_a_configuration_that_does_not_fit_is_refused(copy: Path, values: dict[str, object]) -> None:
    put(copy / NAME, **values)
    with pytest.raises(InputError) as caught:
        opened(copy)
    assert "\n" not in str(caught.value)


def test_tuned_and_written_it_opens_as_what_was_tuned(mirrored: Path, tmp_path: Path) -> None:
    """With adapters on the layers of both libraries' towers; the folder then holds all that it needs."""
    folder = tmp_path / "biomedclip"
    shutil.copytree(mirrored, folder)
    put(folder / NAME)
    opened = Encoder.open(f"local-dir:{folder}", device="cpu")
    towers = opened.towers
    assert isinstance(towers, OpenClipTowers)
    same = write_encoder(towers, tmp_path / "same")
    assert same.fingerprint == opened.fingerprint
    adapters = Adapters(towers.model)
    torch.manual_seed(2)
    for name, parameter in towers.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    before = opened.embed_texts(["no effusion"]), opened.embed_images([Image.radial_gradient("L")])
    adapters.merge()
    shutil.rmtree(folder)
    write_encoder(towers, tmp_path / "tuned")
    again = Encoder.open(f"local-dir:{tmp_path / 'tuned'}", device="cpu")
    assert again.fingerprint != opened.fingerprint
    after = again.embed_texts(["no effusion"]), again.embed_images([Image.radial_gradient("L")])
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.abs(before[0] - same.embed_texts(["no effusion"])).max() > 1e-3
    assert str(tmp_path) not in (tmp_path / "tuned/open_clip_config.json").read_text()


def test_an_encoder_with_the_tokeniser_of_open_clip_is_written_without_one(tmp_path: Path) -> None:
    vision = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": {"width": 16, "heads": 2, "layers": 1}}
    torch.manual_seed(1)
    (tmp_path / "made").mkdir()
    save_file(open_clip.CLIP(**config).state_dict(), tmp_path / "made/open_clip_model.safetensors")
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "longest"}
    written = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    (tmp_path / "made/open_clip_config.json").write_text(written)
    opened = Encoder.open(f"local-dir:{tmp_path / 'made'}", device="cpu")
    assert isinstance(opened.towers, OpenClipTowers)
    assert write_encoder(opened.towers, tmp_path / "o").fingerprint == opened.fingerprint
    assert sorted(path.suffix for path in (tmp_path / "o").iterdir()) == [".json", ".safetensors"]
