"""What is no usable model is refused in one line; what a fingerprint covers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from rag import Prompt, TransformersMLLM, write_base_weights
from titrate import InputError, TitrateWarning


def refused(folder: Path, message: str, **settings: object) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TransformersMLLM.open(str(folder), **{"device": "cpu", **settings})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.fixture
def adapter(tiny_folder: Path, tmp_path: Path) -> Path:
    model = AutoModelForImageTextToText.from_pretrained(tiny_folder)
    wrapped = get_peft_model(
        model, LoraConfig(r=2, target_modules=r".*language_model.*q_proj", init_lora_weights=False)
    )
    wrapped.save_pretrained(str(tmp_path / "adapter"))
    write_base_weights(tmp_path / "adapter", tiny_folder)
    return tmp_path / "adapter"


def test_an_adapter_of_other_weights_of_the_same_shape(copy: Path, adapter: Path) -> None:
    TransformersMLLM.open(str(copy), adapter=adapter, device="cpu")  # where it lies does not matter
    weights = load_file(copy / "model.safetensors")
    name = next(name for name in sorted(weights) if name.endswith("q_proj.weight"))
    weights[name] = weights[name] + 0.5
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    refused(copy, "was trained on other weights than those of .*copy; name the model it was made for", adapter=adapter)


def test_an_adapter_that_does_not_say_what_it_was_trained_on(tiny_folder: Path, adapter: Path) -> None:
    (adapter / "base_weights.json").unlink()
    with pytest.warns(TitrateWarning, match="does not say which weights it was trained on, only that its base is"):
        TransformersMLLM.open(str(tiny_folder), adapter=adapter, device="cpu")


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "is not JSON"), ("[]", "no schema version that is known"), ('{"schema_version": 1, "sha256": 3}', "sha256")],
)
def test_what_an_adapter_says_of_its_base_is_damaged(
    tiny_folder: Path, adapter: Path, content: str, words: str
) -> None:
    (adapter / "base_weights.json").write_text(content)
    refused(tiny_folder, words, adapter=adapter)


def test_unknown_folder(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no model in .*config.json is not there; give a model folder")


def test_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, "config.json is not there")


def test_unknown_name_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    refused(Path("nobody/no-such-model"), "cannot load model nobody/no-such-model: ")


def test_no_chat_template(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    refused(copy, "has no chat template; add chat_template.jinja")


def test_no_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    refused(copy, "cannot load model")


def test_missing_weights_are_not_made_up(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    names = sorted(weights)
    kept = {name: weights[name] for name in names[:-3]}
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    refused(copy, "cannot load model .*: 3 of its weights are missing, .* first; download it again")
    renamed = {f"another.{name}": tensor for name, tensor in weights.items()}
    save_file(renamed, copy / "model.safetensors", metadata={"format": "pt"})
    refused(copy, f"of its weights are missing, .* first; {len(names)} others have names that it does not know")
    save_file({**weights, names[0]: weights[names[0]][:1].contiguous()}, copy / "model.safetensors", {"format": "pt"})
    refused(copy, "cannot load model")


def test_pickled_weights_are_not_read(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    refused(copy, "cannot load model .*safetensors")


def test_damaged_weights(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"not weights")
    refused(copy, "cannot load model")


def test_damaged_configuration(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    refused(copy, "cannot load model")


def test_greedy_is_greedy_whatever_the_folder_says(copy: Path, pictures: list[Image.Image]) -> None:
    prompt = Prompt(pictures[0], "Describe it.")
    plain = TransformersMLLM.open(str(copy), device="cpu").generate([prompt], 12)
    file = copy / "generation_config.json"
    settings = {
        **json.loads(file.read_text()),
        **{"repetition_penalty": 3.0, "no_repeat_ngram_size": 1, "num_beams": 3, "length_penalty": 3.0},
        **{"do_sample": True, "temperature": 5.0, "suppress_tokens": list(range(5, 200)), "min_new_tokens": 9},
    }
    file.write_text(json.dumps(settings))
    assert TransformersMLLM.open(str(copy), device="cpu").generate([prompt], 12) == plain


def test_a_model_of_text_alone(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}))
    refused(copy, "cannot load model")


def test_no_image_processor(copy: Path) -> None:
    for file in ("processor_config.json", "preprocessor_config.json"):
        (copy / file).unlink(missing_ok=True)
    refused(copy, "cannot load model|does not read both text and images")


def test_unknown_device_and_dtype(tiny_folder: Path) -> None:
    refused(tiny_folder, "cannot load model", device="abacus")
    refused(tiny_folder, "unknown dtype float12; it can be float32, bfloat16, float16", dtype="float12")


def test_missing_adapter(tiny_folder: Path, tmp_path: Path) -> None:
    refused(tiny_folder, "no adapter in .*adapter_config.json is not there; make one", adapter=tmp_path / "nowhere")


def test_adapter_without_weights(tiny_folder: Path, adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    refused(tiny_folder, "adapter_model.safetensors is not there", adapter=adapter)


def test_adapter_of_another_model(tiny_folder: Path, adapter: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    save_file({name: tensor[:1].contiguous() for name, tensor in load_file(file).items()}, file)
    refused(tiny_folder, "cannot load model", adapter=adapter)


def test_adapter_for_other_weights(tiny_folder: Path, adapter: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({name.replace("q_proj", "k_proj"): tensor for name, tensor in weights.items()}, file)
    refused(
        tiny_folder, "was made for another model than .*: .* of its .* weights have no place there", adapter=adapter
    )
    save_file(dict(list(weights.items())[1:]), file)
    refused(tiny_folder, "0 of its .* have no place there and 1 are missing", adapter=adapter)


def flip_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[0]
    save_file({**weights, name: weights[name] + 1}, folder / "model.safetensors", metadata={"format": "pt"})


def edit(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


CHANGES = {
    "weights": flip_a_weight,
    "chat template": edit("chat_template.jinja", "<user>", "<user> "),
    "image size": edit("processor_config.json", "0.5", "0.4"),
    "vocabulary": edit("tokenizer.json", '"yes"', '"yep"'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_changes_with_the_files(
    tiny: TransformersMLLM, copy: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TransformersMLLM.open(str(copy), device="cpu").fingerprint == tiny.fingerprint
    CHANGES[change](copy)
    monkeypatch.setattr("rag.models.loading.load.AutoProcessor.from_pretrained", lambda *_, **__: tiny.processor)
    assert TransformersMLLM.open(str(copy), device="cpu").fingerprint != tiny.fingerprint


def test_fingerprint_changes_with_adapter_and_dtype(tiny: TransformersMLLM, tiny_folder: Path, adapter: Path) -> None:
    adapted = TransformersMLLM.open(str(tiny_folder), adapter=adapter, device="cpu")
    half = TransformersMLLM.open(str(tiny_folder), device="cpu", dtype="bfloat16")
    assert len({tiny.fingerprint, adapted.fingerprint, half.fingerprint}) == 3
    file = adapter / "adapter_model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    assert TransformersMLLM.open(str(tiny_folder), adapter=adapter, device="cpu").fingerprint != adapted.fingerprint


def test_an_adapter_changes_the_scores_and_shares_images(
    tiny: TransformersMLLM, tiny_folder: Path, adapter: Path, pictures: list[Image.Image]
) -> None:
    adapted = TransformersMLLM.open(str(tiny_folder), adapter=adapter, device="cpu")
    prompt = Prompt(pictures[0], "Question: Is it?")
    before, after = (m.score([prompt, prompt], [["yes", "no"], ["no", "yes"]]) for m in (tiny, adapted))
    assert abs(before[0] - after[0]).max() > 1e-5
    assert after[0] - after[1][::-1] == pytest.approx(0, abs=1e-6)


def test_weights_outside_of_the_folder_are_refused(copy: Path, adapter: Path, tiny_folder: Path) -> None:
    outside = shutil.move(copy / "model.safetensors", copy.parent / "outside.safetensors")
    names = load_file(outside)
    index = copy / "model.safetensors.index.json"
    for place in ("../outside.safetensors", str(outside), "below/outside.safetensors"):
        index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, place)}))
        refused(copy, r"model\.safetensors\.index\.json of .* names weights that lie elsewhere \(.*outside")
    shutil.copy(outside, copy / "outside.safetensors")
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, "outside.safetensors")}))
    inside = TransformersMLLM.open(str(copy), device="cpu").fingerprint
    (copy / "outside.safetensors").unlink()
    (copy / "outside.safetensors").symlink_to(outside)
    assert TransformersMLLM.open(str(copy), device="cpu").fingerprint == inside, "a link counts as what it leads to"

    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "transformers_weights": "below/outside.safetensors"}))
    refused(copy, r"config\.json of .* names weights that lie elsewhere")

    settings = json.loads((adapter / "adapter_config.json").read_text())
    mixture = {**settings, "peft_type": "XLORA", "adapters": {"0": str(tiny_folder)}}
    (adapter / "adapter_config.json").write_text(json.dumps(mixture))
    refused(tiny_folder, r"adapter_config\.json of .* names weights that lie elsewhere", adapter=adapter)


def test_an_adapter_is_no_model_even_with_the_files_of_one(copy: Path, adapter: Path) -> None:
    shutil.copytree(adapter, copy, dirs_exist_ok=True)
    refused(copy, "is an adapter, whose base model would be read from elsewhere; give that model's folder, and this")


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llava_mistral", "architectures": ["LlavaMistralForCausalLM"]},  # microsoft/llava-med-v1.5
        {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"]},
    ],
)
def test_weights_as_llavas_own_code_writes_them(tmp_path: Path, config: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    refused(tmp_path, r"convert them with transformers' script models/llava/convert_llava_weights_to_hf\.py")
