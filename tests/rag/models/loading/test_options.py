"""How a model is loaded: what is refused, what is in the fingerprint, and quantised weights."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from preference import PreferencePair, TrainingSettings, train_adapter
from rag import LoadingOptions, Prompt, TransformersMLLM, open_mllm
from rag.models.loading import options as options_module
from rag.models.self_check import score_from_scratch
from titrate import InputError, TitrateWarning

QUESTION, OPTIONS = "Is there an effusion?", ["yes", "no"]


@pytest.fixture
def asked() -> list[Prompt]:
    random = np.random.default_rng(1)
    images = [Image.fromarray(random.integers(0, 256, size, dtype=np.uint8)) for size in ((64, 97, 3), (150, 60, 3))]
    return [Prompt(images[0], QUESTION), Prompt(images[1], "Report [1]: Large heart.\n" * 4 + QUESTION)]


def opened(folder: Path, adapter: Path | None = None, **chosen: Any) -> TransformersMLLM:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*not read in the usual way")  # in 8 bits, rounding depends on the batch
        return TransformersMLLM.open(str(folder), adapter=adapter, device="cpu", loading=LoadingOptions(**chosen))


@pytest.mark.parametrize(
    ("chosen", "line"),
    [
        ({"quantize": "3bit"}, "unknown quantization 3bit; it can be 4bit, 8bit"),
        ({"attention": "flash"}, "unknown attention flash; it can be eager, sdpa, flash_attention_2"),
        ({"batch_size": 0}, "a batch holds at least 1 prompt, not 0"),
        ({"quantize": "4bit"}, r"needs bitsandbytes, which is not installed; pip install 'titrate\[quantize\]'"),
        ({"attention": "flash_attention_2"}, "needs flash-attn, which is not installed"),
    ],
)
def test_what_cannot_be_chosen(chosen: Any, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options_module, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=line):
        LoadingOptions(**chosen)


def test_an_unknown_device_is_one_line(tiny_folder: Path) -> None:
    with pytest.raises(InputError, match=r"cannot load model .*device string: nowhere"):
        opened(tiny_folder, device_map="nowhere")


def test_a_server_loads_its_model_itself() -> None:
    with pytest.raises(InputError, match="a server loads its model itself: leave out --attention, --batch-size"):
        open_mllm("http://127.0.0.1:9/v1#m", loading=LoadingOptions(attention="eager", batch_size=2))


def test_what_decides_an_answer_is_in_the_fingerprint(tiny: TransformersMLLM, tiny_folder: Path) -> None:
    """Where the model is, and how much it reads at once, decide none."""
    expected = tiny.fingerprint
    assert opened(tiny_folder, attention="eager").fingerprint != expected
    assert opened(tiny_folder, attention="sdpa").fingerprint == expected  # what it does by default
    for same in ({"batch_size": 1}, {"device_map": "auto"}, {"device_map": "cpu"}):
        assert opened(tiny_folder, **same).fingerprint == expected


@pytest.mark.parametrize("chosen", [{"attention": "eager"}, {"device_map": "auto"}, {"batch_size": 1}])
def test_scores_are_the_same_however_loaded(
    tiny: TransformersMLLM, tiny_folder: Path, asked: list[Prompt], chosen: dict[str, Any]
) -> None:
    mllm, rows = opened(tiny_folder, **chosen), list[int]()
    mllm.base.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    assert np.stack(mllm.score(asked, [OPTIONS] * 2)) == pytest.approx(
        np.stack(tiny.score(asked, [OPTIONS] * 2)), abs=1e-4
    )
    assert mllm.generate(asked, 4) == tiny.generate(asked, 4)
    assert max(rows) == chosen.get("batch_size", 2)


def test_imports_of_torch_wait_until_a_model_is_opened() -> None:
    code = "import sys; from rag import LoadingOptions; LoadingOptions(attention='sdpa'); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.fixture(params=["4bit", "8bit"])
def quantised(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("bitsandbytes", reason="the extra 'quantize' is not installed")
    return str(request.param)


@pytest.fixture
def four_bits() -> str:
    pytest.importorskip("bitsandbytes", reason="the extra 'quantize' is not installed")
    return "4bit"


def stored_weights(mllm: TransformersMLLM, folder: Path) -> dict[str, torch.Tensor]:
    """The weights of quantised layers as bitsandbytes itself gives them back, by the layers' names."""
    import bitsandbytes.functional as bnb
    from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

    four = mllm.loading.quantize == "4bit"
    how = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"} if four else {"load_in_8bit": True}
    # Loaded anew: the first forward pass packs them otherwise.
    fresh = AutoModelForImageTextToText.from_pretrained(
        folder, quantization_config=BitsAndBytesConfig(**how), device_map={"": "cpu"}, dtype=torch.float32
    )
    layers = {name: layer for name, layer in fresh.named_modules() if type(layer).__module__.startswith("bitsandbytes")}
    if four:
        return {name: bnb.dequantize_4bit(each.weight.data, each.weight.quant_state) for name, each in layers.items()}
    return {name: each.weight.CB.float() * each.weight.SCB[:, None] / 127 for name, each in layers.items()}


def test_quantised_weights_are_read_as_they_are_stored(
    tiny_folder: Path, quantised: str, asked: list[Prompt], recwarn: pytest.WarningsRecorder
) -> None:
    """The same model in float32 with the weights that are left after quantisation is what it should be.

    bitsandbytes on CPUs reads transposed image features as other numbers.
    """
    mllm, reference = opened(tiny_folder, quantize=quantised), opened(tiny_folder)
    exact = [score_from_scratch(reference, prompt, OPTIONS) for prompt in asked]
    weights = stored_weights(mllm, tiny_folder)
    assert any("projector" in name for name in weights) and any("q_proj" in name for name in weights)
    for name, layer in reference.model.named_modules():
        if name in weights:
            layer.weight.data.copy_(weights[name])
    expected = [score_from_scratch(reference, prompt, OPTIONS) for prompt in asked]
    found = mllm.score(asked, [OPTIONS] * 2)
    apart, moved = (np.abs(np.stack(expected) - np.stack(other)).max() for other in (found, exact))
    assert apart < (1e-4 if quantised == "4bit" else 0.3) and moved > 0.05  # 8 bits round what a layer reads, too
    assert mllm.fingerprint != reference.fingerprint and "bitsandbytes" in mllm.versions


def test_what_is_quantised_already_is_not_again(tiny_folder: Path, quantised: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "awq"}}')
    with pytest.raises(InputError, match="are quantised already; leave out --quantize-model"):
        opened(tmp_path, quantize=quantised)


def test_a_device_that_does_not_quantise(tiny_folder: Path, quantised: str) -> None:
    with pytest.raises(InputError, match=rf"models are loaded in {quantised} on .*cpu.*, not on meta; choose one"):
        opened(tiny_folder, quantize=quantised, device_map="meta")


def test_an_adapter_on_weights_of_four_bits(
    tiny_folder: Path, four_bits: str, asked: list[Prompt], tmp_path: Path
) -> None:
    """QLoRA: what is trained is what is scored, and on other weights it is told."""
    asked[0].image.save(tmp_path / "image.png")
    image, said = tmp_path / "image.png", ("no", "no change")  # one begins the other: the end is scored, as is trained
    asked[0].image.save(image)
    pairs = [PreferencePair(str(n), image, QUESTION, "no change", "no", patient=str(n)) for n in range(2)]
    settings = TrainingSettings(max_steps=3, hold_out=0.5, learning_rate=1e-2, batch_size=1, beta=0.1)
    loading, out = LoadingOptions(quantize=four_bits), tmp_path / "adapter"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*not read in the usual way")
        result = train_adapter(pairs, str(tiny_folder), out, settings, device="cpu", loading=loading)
    before, after = opened(tiny_folder, quantize=four_bits), opened(tiny_folder, out, quantize=four_bits)
    margins = [float(np.diff(model.score(asked[:1], [said])[0])[0]) for model in (before, after)]
    assert result.kept is not None and margins[1] > margins[0]
    assert result.kept.margin / 0.1 == pytest.approx(margins[1] - margins[0], abs=1e-3)
    with pytest.warns(TitrateWarning, match=f"quantised as {four_bits} and is now used with none"):
        TransformersMLLM.open(str(tiny_folder), adapter=out, device="cpu")


@pytest.mark.parametrize(("full", "line"), [(True, "leave out --full"), (False, "leave out --merge")])
def test_quantised_weights_cannot_be_trained_or_merged(
    tiny_folder: Path, quantised: str, tmp_path: Path, full: bool, line: str
) -> None:
    pairs = [PreferencePair("1", tmp_path / "no.png", QUESTION, "yes", "no")]
    merge = None if full else tmp_path / "merged"
    with pytest.raises(InputError, match=line):
        train_adapter(
            pairs,
            str(tiny_folder),
            tmp_path / "out",
            TrainingSettings(full=full),
            loading=LoadingOptions(quantize=quantised),
            merge=merge,
        )
