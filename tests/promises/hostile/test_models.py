"""Folders of models and adapters that a stranger made: none runs code, each is refused in one line."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rag import TransformersMLLM
from rag.models.checks import check_model_files
from titrate import InputError


@pytest.fixture
def model(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a copy of the shipped model with code beside it; whoever sits at the terminal says y."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 99))
    folder = Path(shutil.copytree(samples / "models/mllm", tmp_path / "model"))
    text = f"import os\nos.makedirs({str(tmp_path / 'sentinel')!r}, exist_ok=True)\nclass Evil:\n    pass\n"
    (folder / "evil.py").write_text(text)
    return folder


def edit(path: Path, **values: Any) -> None:
    config = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**config, **values}))


MAPS = {name: "evil.Evil" for name in ("AutoConfig", "AutoProcessor", "AutoModel", "AutoModelForImageTextToText")}


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"model_type": "evil", "auto_map": MAPS}),
        ("config.json", {"attn_implementation": "evil/kernel"}),
        ("config.json", {"text_config": {"_attn_implementation": "evil/kernel@main"}}),
        ("processor_config.json", {"processor_class": "Evil", "auto_map": MAPS}),
        (
            "tokenizer_config.json",
            {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}},
        ),
    ],
)
def test_models_with_code(model: Path, tmp_path: Path, file: str, values: dict[str, Any]) -> None:
    edit(model / file, **values)
    try:
        TransformersMLLM.open(str(model), device="cpu")  # a known class beside the map is loaded in its place
    except InputError as error:
        assert str(error).isprintable()
    else:
        assert file != "config.json"
    assert not (tmp_path / "sentinel").exists()


def test_a_template_stays_in_its_sandbox(model: Path, tmp_path: Path) -> None:
    made = f"os.mkdir({str(tmp_path / 'sentinel')!r})"
    (model / "chat_template.jinja").write_text("{{ cycler.__init__.__globals__." + made + " }}")
    with pytest.raises(Exception, match=r"unsafe|cannot|refused|undefined"):
        TransformersMLLM.open(str(model), device="cpu").render("a question")
    assert not (tmp_path / "sentinel").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"megatron_config": {"a": 1}, "megatron_core": "evil"}, "megatron_config"),
        ({"peft_type": "XLORA", "adapters": {"0": "evil/adapter"}}, "XLORA"),
        ({"peft_type": None}, "None"),
        ({"peft_type": ["LORA"]}, "kind"),
    ],
)
def test_adapters(tmp_path: Path, samples: Path, values: dict[str, Any], message: str) -> None:
    adapter, model = tmp_path / "adapter", str(samples / "models/mllm")
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").touch()
    edit(
        adapter / "adapter_config.json",
        peft_type="LORA",
        base_model_name_or_path="/no/such/place",
        megatron_config=None,
    )
    check_model_files(model, adapter=adapter)
    edit(adapter / "adapter_config.json", **values)
    with pytest.raises(InputError, match=message):
        check_model_files(model, adapter=adapter)
    (adapter / "adapter_config.json").write_text("[1]")
    with pytest.raises(InputError, match="no JSON object"):
        check_model_files(model, adapter=adapter)
