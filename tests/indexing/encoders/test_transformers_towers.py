"""CLIP, SigLIP and SigLIP 2 of transformers: the vectors are transformers' own, whatever else is in the batch."""

import importlib
import json
import math
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

from indexing import Encoder
from tests.indexing.encoders.tiny_checkpoints import LENGTH, TOWER, change, make_clip, make_siglip, make_siglip2
from titrate import InputError

hf: Any = transformers
MAKERS = {"clip": make_clip, "siglip": make_siglip, "siglip2": make_siglip2}
CLASSES = {"clip": "CLIPModel", "siglip": "SiglipModel", "siglip2": "Siglip2Model"}
TEXTS = ["no pleural effusion", "heart", "", "mass in the left lung, no pleural effusion, " * 3]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: make(tmp_path_factory.mktemp(kind)) for kind, make in MAKERS.items()}


@pytest.fixture(scope="module")
def opened(folders: dict[str, Path]) -> dict[str, Encoder]:
    return {kind: Encoder.open(f"local-dir:{folder}", device="cpu") for kind, folder in folders.items()}


def pictures() -> list[Image.Image]:
    """Noise of unlike shapes, one pixel and three rows among them."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 200, 3), np.uint8)
    return [Image.fromarray(noise[:height, :width]) for height, width in ((60, 40), (8, 200), (1, 1), (3, 5))]


@pytest.mark.parametrize("kind", MAKERS)
def test_vectors_are_those_of_transformers(kind: str, folders: dict[str, Path], opened: dict[str, Encoder]) -> None:
    folder, encoder, images = folders[kind], opened[kind], pictures()
    model = getattr(hf, CLASSES[kind]).from_pretrained(folder).eval()
    read, tokens = hf.AutoImageProcessor.from_pretrained(folder), hf.AutoTokenizer.from_pretrained(folder)
    length = {"padding": "max_length", "max_length": LENGTH, "truncation": True}
    with torch.inference_mode():
        seen = [model.get_image_features(**read(images=image, return_tensors="pt")) for image in images]
        said = model.get_text_features(**tokens(TEXTS, return_tensors="pt", **length))
    for found, wanted in (
        (encoder.embed_images(images), torch.cat([each.pooler_output for each in seen])),
        (encoder.embed_texts(TEXTS), said.pooler_output),
    ):
        unit = torch.nn.functional.normalize(wanted, dim=-1).numpy()
        np.testing.assert_allclose(found, unit, atol=2e-6)
        assert found.dtype == np.float32 and len({tuple(row) for row in found.round(3)}) == 4, "nothing is told apart"


@pytest.mark.parametrize("kind", MAKERS)
def test_a_batch_changes_nothing(kind: str, opened: dict[str, Encoder]) -> None:
    encoder, images = opened[kind], pictures()
    alone = np.concatenate([encoder.embed_images([image]) for image in images])
    np.testing.assert_allclose(encoder.embed_images(images), alone, atol=2e-6)
    alone = np.concatenate([encoder.embed_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.embed_texts(TEXTS), alone, atol=2e-6)
    grey = images[0].convert("L")
    np.testing.assert_allclose(encoder.embed_images([grey]), encoder.embed_images([grey.convert("RGB")]), atol=2e-6)


def test_scale_bias_and_length(opened: dict[str, Encoder]) -> None:
    for kind, bias in (("clip", None), ("siglip", -3.0), ("siglip2", -3.0)):
        encoder = opened[kind]
        assert encoder.logit_scale == pytest.approx(math.exp(2))
        assert (encoder.logit_bias, encoder.context_length) == (bias, LENGTH)


def test_the_match_probability_is_that_of_the_model(folders: dict[str, Path], opened: dict[str, Encoder]) -> None:
    """sigmoid(s · cos + b), with our s, cos and b, is what `SiglipModel` gives an image and a text."""
    from indexing import log_similarities

    encoder, [image] = opened["siglip"], pictures()[:1]
    model = hf.SiglipModel.from_pretrained(folders["siglip"]).eval()
    processor = hf.AutoProcessor.from_pretrained(folders["siglip"])
    given = processor(text=TEXTS[:2], images=image, padding="max_length", max_length=LENGTH, return_tensors="pt")
    with torch.inference_mode():
        wanted = torch.sigmoid(model(**given).logits_per_image)[0]
    cosines = (encoder.embed_texts(TEXTS[:2]) @ encoder.embed_images([image])[0]).tolist()
    np.testing.assert_allclose(
        np.exp(log_similarities(cosines, encoder.logit_scale, encoder.logit_bias)), wanted.numpy(), rtol=1e-4
    )


def test_lower_case_is_made_where_the_checkpoint_asks_for_it(folders: dict[str, Path], tmp_path: Path) -> None:
    """Gemma's tokenizer ignores `do_lower_case`, under which SigLIP 2 was trained."""
    tokens = hf.AutoTokenizer.from_pretrained(folders["siglip"])
    assert tokens("Heart")["input_ids"] != tokens("heart")["input_ids"]
    loud, low = ["HEART in the Left lung"], ["heart in the left lung"]
    for kind in ("siglip", "siglip2"):
        encoder = Encoder.open(f"local-dir:{folders[kind]}", device="cpu")
        np.testing.assert_array_equal(encoder.embed_texts(loud), encoder.embed_texts(low))
    cased = Path(shutil.copytree(folders["siglip"], tmp_path / "cased"))
    encoder = Encoder.open(f"local-dir:{change(cased, 'tokenizer_config.json', do_lower_case=False)}", device="cpu")
    assert np.abs(encoder.embed_texts(loud) - encoder.embed_texts(low)).max() > 1e-3


def test_the_same_weights_through_open_clip(
    folders: dict[str, Path], opened: dict[str, Encoder], tmp_path: Path
) -> None:
    """OpenAI's layout, by which open_clip knows CLIP, from transformers' tensors: the towers give the same vectors."""
    state = hf.CLIPModel.from_pretrained(folders["clip"]).state_dict()
    model = open_clip.CLIP(
        embed_dim=16,
        vision_cfg={"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "mlp_ratio": 2.0},
        text_cfg={"context_length": LENGTH, "vocab_size": 517, "width": 32, "heads": 2, "layers": 2, "mlp_ratio": 2.0},
        quick_gelu=True,
    )
    model.load_state_dict(_renamed(state, model.state_dict()))
    encoder, images = opened["clip"], pictures()
    pixels = torch.stack([encoder.preprocess(image)["pixel_values"] for image in images])
    tokens = encoder._towers._tokens(TEXTS)["input_ids"]  # type: ignore[attr-defined]
    with torch.inference_mode():
        np.testing.assert_allclose(
            encoder.embed_images(images), model.eval().encode_image(pixels, normalize=True).numpy(), atol=1e-5
        )
        np.testing.assert_allclose(encoder.embed_texts(TEXTS), model.encode_text(tokens, normalize=True), atol=1e-5)


def _renamed(state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    made = {
        "logit_scale": state["logit_scale"],
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "text_projection": state["text_projection.weight"].T,
        "visual.proj": state["visual_projection.weight"].T,
        "visual.class_embedding": state["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": state["vision_model.embeddings.position_embedding.weight"],
        "visual.conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
    }
    norms = {"ln_final": "text_model.final_layer_norm", "visual.ln_pre": "vision_model.pre_layrnorm"}
    norms["visual.ln_post"] = "vision_model.post_layernorm"
    inner = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    for ours, theirs in (("", "text_model"), ("visual.", "vision_model")):
        for layer in range(2):
            here, there = f"{ours}transformer.resblocks.{layer}", f"{theirs}.encoder.layers.{layer}"
            norms |= {f"{here}.{name}": f"{there}.{other}" for name, other in inner.items()}
            norms[f"{here}.attn.out_proj"] = f"{there}.self_attn.out_proj"
            for end in ("weight", "bias"):
                parts = [state[f"{there}.self_attn.{part}_proj.{end}"] for part in "qkv"]
                made[f"{here}.attn.in_proj_{end}"] = torch.cat(parts)
    for name, other in norms.items():
        made |= {f"{name}.{end}": state[f"{other}.{end}"] for end in ("weight", "bias")}
    assert made.keys() == wanted.keys() - {"attn_mask"}
    return made


def test_fingerprints(folders: dict[str, Path], opened: dict[str, Encoder], tmp_path: Path) -> None:
    """A copy is the same encoder; other weights, preprocessing, activation or casing make another."""
    first = opened["siglip"].fingerprint
    copy = Path(shutil.copytree(folders["siglip"], tmp_path / "copy"))
    assert Encoder.open(f"local-dir:{copy}", device="cpu").fingerprint == first
    assert Encoder.open(f"hf:{copy}", device="cpu").fingerprint == first
    found = {first, Encoder.open(f"local-dir:{make_siglip(tmp_path / 'other', seed=2)}", device="cpu").fingerprint}
    processor = json.loads((copy / "processor_config.json").read_text())["image_processor"]
    text = json.loads((copy / "config.json").read_text())["text_config"]
    changes: list[tuple[str, dict[str, object]]] = [
        ("processor_config.json", {"image_processor": {**processor, "image_mean": [0.4, 0.5, 0.5]}}),
        ("config.json", {"text_config": {**text, "hidden_act": "relu"}}),
        ("tokenizer_config.json", {"do_lower_case": False}),
    ]
    for number, (file, values) in enumerate(changes):
        changed = Path(shutil.copytree(folders["siglip"], tmp_path / str(number)))
        found.add(Encoder.open(f"local-dir:{change(changed, file, **values)}", device="cpu").fingerprint)
    assert len(found) == 5


def test_a_name_of_the_hub_is_pinned_to_its_commit(folders: dict[str, Path], opened: dict[str, Encoder]) -> None:
    kept, commit = Path(constants.HF_HUB_CACHE) / "models--owner--siglip", "c" * 40
    (kept / "refs").mkdir(parents=True)
    (kept / "refs/main").write_text(commit)
    shutil.copytree(folders["siglip"], kept / "snapshots" / commit)
    try:
        encoder = Encoder.open("hf:owner/siglip", device="cpu")
        assert encoder.id == f"hf:owner/siglip@{commit}"
        assert encoder.fingerprint == opened["siglip"].fingerprint
        (kept / "refs/main").unlink()  # as where the branch has gone on
        assert Encoder.open(encoder.id, device="cpu").fingerprint == encoder.fingerprint
        for absent in ("hf:owner/absent", "hf:owner/siglip@v9"):
            with pytest.raises(InputError, match="HF_HUB_OFFLINE is set, and its"):
                Encoder.open(absent, device="cpu")
    finally:
        shutil.rmtree(kept)


def _without(folder: Path, name: str) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


READER = {"image_processor_type": "SiglipImageProcessor"}
REFUSED: dict[str, tuple[Any, str]] = {
    "a missing weight": (lambda f: _without(f, "text_model.head.bias"), "1 of its weights are missing"),
    "a missing bias": (lambda f: _without(f, "logit_bias"), "1 of its weights are missing, logit_bias"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no weights in safetensors format"),
    "pickled weights": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        "no weights in safetensors format",
    ),
    "code": (lambda f: change(f, "config.json", auto_map={"AutoModel": "a--b.C"}), "auto_map"),
    "code in the tokenizer": (lambda f: change(f, "tokenizer_config.json", auto_map={}), "auto_map"),
    "code in the processor": (
        lambda f: change(f, "processor_config.json", image_processor={"auto_map": {}}),
        "auto_map",
    ),
    "a kernel": (lambda f: change(f, "config.json", attn_implementation="a/b"), "names code on the hub"),
    "an adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), "weights that lie elsewhere"),
    "weights elsewhere": (lambda f: change(f, "config.json", transformers_weights="../x"), "lie elsewhere"),
    "another model": (lambda f: change(f, "config.json", model_type="bert"), "'bert'; encoders here are clip"),
    "a large claim": (lambda f: change(f, "config.json", text_config={"vocab_size": 4_000_000}), "claims 3.* weights"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "tokenizer|vocab"),
    "no resizing": (
        lambda f: change(f, "processor_config.json", image_processor={**READER, "do_resize": False}),
        "does not resize",
    ),
    "a deviation of zero": (
        lambda f: change(f, "processor_config.json", image_processor={"image_std": [0.5, 0.5, 0]}),
        "preprocess_cfg.std",
    ),
    "images of another size": (
        lambda f: change(f, "processor_config.json", image_processor={**READER, "size": {"height": 64, "width": 48}}),
        "makes 48 x 64 pixels, its vision tower takes 32 x 32",
    ),
    "weights of another shape": (
        lambda f: change(f, "config.json", vision_config={**TOWER, "image_size": 16, "patch_size": 8}),
        "1 of its weights are of another shape",
    ),
    "no image processor": (lambda f: (f / "processor_config.json").unlink(), "image processor"),
    "not JSON": (lambda f: (f / "config.json").write_text("{"), "is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_sound_is_refused_in_a_line(case: str, folders: dict[str, Path], tmp_path: Path) -> None:
    break_it, told = REFUSED[case]
    folder = Path(shutil.copytree(folders["siglip"], tmp_path / "broken"))
    break_it(folder)
    with pytest.raises(InputError, match=told) as caught:
        Encoder.open(f"local-dir:{folder}", device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", MAKERS)
def test_texts_that_are_cut_are_counted(kind: str, folders: dict[str, Path], opened: dict[str, Encoder]) -> None:
    """A text of just the length is whole; one token more, and it is cut, which changes its vector no more."""
    ids = hf.AutoTokenizer.from_pretrained(folders[kind])
    texts = ["z" * number for number in range(1, 2 * LENGTH)]
    wanted = [len(ids(text)["input_ids"]) > LENGTH for text in texts]
    assert any(wanted) and not all(wanted)
    assert [bool(opened[kind].cut_texts([text])) for text in texts] == wanted
    assert opened[kind].cut_texts(texts) == sum(wanted)
    assert opened[kind].cut_texts([]) == 0


def test_a_text_tower_that_tells_nothing_apart_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """CLIP pads with the token at which it reads: on the left, every text ends at its first place."""
    folder = Path(shutil.copytree(folders["clip"], tmp_path / "left"))
    with pytest.raises(InputError, match="gives unlike texts the same embedding"):
        Encoder.open(f"local-dir:{change(folder, 'tokenizer_config.json', padding_side='left')}", device="cpu")


def test_siglip_reads_with_its_own_sentencepiece_tokenizer(folders: dict[str, Path], tmp_path: Path) -> None:
    """As MedSigLIP does: it drops capitals and punctuation. Where sentencepiece is missing, that is told."""
    folder = Path(shutil.copytree(folders["siglip"], tmp_path / "pieces"))
    change(folder, "tokenizer_config.json", tokenizer_class="SiglipTokenizer")
    try:
        pieces: Any = importlib.import_module("sentencepiece")
    except ImportError:
        with pytest.raises(InputError, match=r"needs the sentencepiece package: pip install 'titrate\[siglip\]'"):
            Encoder.open(f"local-dir:{folder}", device="cpu")
        return
    (tmp_path / "text").write_text("no pleural effusion\nheart size is normal\nmass in the left lung\n" * 9)
    pieces.SentencePieceTrainer.train(
        input=tmp_path / "text", model_prefix=tmp_path / "spiece", vocab_size=28, pad_id=-1, bos_id=-1, minloglevel=2
    )
    (folder / "tokenizer.json").unlink()
    hf.SiglipTokenizer(
        str(tmp_path / "spiece.model"), model_max_length=LENGTH, model_input_names=["input_ids"]
    ).save_pretrained(folder)
    encoder = Encoder.open(f"local-dir:{folder}", device="cpu")
    rows = encoder.embed_texts(["Heart, size is normal!", "heart size is normal", "mass in the left lung"])
    np.testing.assert_array_equal(rows[0], rows[1])
    assert np.abs(rows[0] - rows[2]).max() > 1e-3
