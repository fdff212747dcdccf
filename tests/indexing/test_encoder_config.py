"""The allow-list of encoder configurations: every architecture of open_clip passes, sizes are worked out by hand."""

import open_clip
import pytest

from indexing.encoder_config import check_encoder_config, check_preprocessing, check_text_config
from titrate import InputError

TOWERS = {"embed_dim": 8, "vision_cfg": {"layers": 2, "width": 10, "mlp_ratio": 4.0}}


def test_every_architecture_of_open_clip_passes() -> None:
    for name in open_clip.list_models():
        check_encoder_config(open_clip.get_model_config(name))


def test_weights_are_counted() -> None:
    # images: 2 layers of (4 + 2 * 4) * 10 * 10; texts: 100 tokens of 5 numbers and a layer of (4 + 0) * 5 * 5
    config = {**TOWERS, "text_cfg": {"layers": 1, "width": 5, "vocab_size": 100}}
    check_encoder_config(config, 3000)
    with pytest.raises(InputError, match=r"claims 3e\+03 weights"):
        check_encoder_config(config, 2999)
    stages = {"embed_dim": 8, "vision_cfg": {"layers": [1, 2, 3, 4], "width": 10}, "text_cfg": {}}
    check_encoder_config(stages, 1000)
    with pytest.raises(InputError, match="claims"):
        check_encoder_config(stages, 999)


@pytest.mark.parametrize(
    "values", [{"tokenizer_kwargs": {"trust_remote_code": False}}, {"unknown": 1}, {"width": -1e9}]
)
def test_what_is_not_known_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"text_cfg.{next(iter(values))}"):
        check_encoder_config({**TOWERS, "text_cfg": values})


def test_what_published_encoders_say_is_allowed() -> None:
    text = {"hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract", "hf_proj_type": "mlp"}
    text |= {"hf_pooler_type": "cls_last_hidden_state_pooler", "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT"}
    check_encoder_config({**TOWERS, "text_cfg": {**text, "context_length": 256}})
    kwargs = {"clean": "canonicalize", "strip_sep_token": True}
    check_encoder_config({**TOWERS, "text_cfg": {"tokenizer_kwargs": kwargs, "norm_kwargs": {"eps": 1e-06}}})


def test_text_models() -> None:
    bert = {
        "model_type": "bert",
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "vocab_size": 30522,
        "hidden_act": "gelu",
    }
    check_text_config({**bert, "layer_norm_eps": 1e-12, "id2label": {"0": "a"}, "attn_implementation": "sdpa"})
    hostile: tuple[dict[str, object], ...] = (
        {"auto_map": {}},
        {"text_config": {"attn_implementation": "a/b"}},
        {"num_hidden_layers": 1001},
    )
    for bad in hostile:
        with pytest.raises(InputError, match="its text model"):
            check_text_config({**bert, **bad})


def test_preprocessing() -> None:
    check_preprocessing({"mean": (0.5, 0.5, 0.5), "std": [0.2, 0.2, 0.2], "fill_color": 0})
    hostile: tuple[dict[str, object], ...] = (
        {"mean": None},
        {"std": (0.1, 0.1, 0)},
        {"mean": [True] * 3},
        {"fill_color": "red"},
    )
    for bad in hostile:
        with pytest.raises(InputError, match="preprocess_cfg"):
            check_preprocessing({"mean": [0.5] * 3, "std": [0.5] * 3, **bad})
