"""A copy of an encoder to be made hostile, and what its code would do."""

import json
import os
from pathlib import Path
from typing import Any

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


class Payload:
    """Unpickled, it writes the sentinel."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sentinel),)


def pickled(sentinel: Path) -> bytes:
    """The same in the oldest protocol, written by hand: os.mkdir(sentinel)."""
    return f"cposix\nmkdir\n(V{sentinel}\ntR.".encode()


class Folder:
    """A copy of a sound encoder, to be made hostile; code in it writes the sentinel."""

    def __init__(self, path: Path, sentinel: Path) -> None:
        self.path, self.sentinel = path, sentinel

    def edit(self, part: str = "text_cfg", file: str = CONFIG, **values: Any) -> None:
        """Set values of a part of the configuration, or of another JSON file."""
        path = self.path / file
        config = json.loads(path.read_text()) if path.exists() else {}
        held = config
        for name in ["model_cfg", *filter(None, [part])] if file == CONFIG and part != "preprocess_cfg" else []:
            held = held.setdefault(name, {})
        if part == "preprocess_cfg":
            held = config[part]
        held.update(values)
        path.write_text(json.dumps(config))

    def code(self, name: str, folder: Path | None = None) -> None:
        """Put Python code into a folder."""
        (folder or self.path).joinpath(name).write_text(
            f"import os\nos.makedirs({str(self.sentinel)!r}, exist_ok=True)\n"
            "class Evil:\n    @classmethod\n    def from_pretrained(cls, *a, **k):\n        return cls()\n"
        )

    def tokenizer_with_code(self) -> None:
        """Make the tokeniser one whose class is in the folder."""
        self.code("evil.py")
        self.edit(
            file="tokenizer_config.json",
            tokenizer_class="Evil",
            auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
        )

    def text_model(self, **values: Any) -> Path:
        """Another folder, with a text model that the configuration takes its tower from."""
        other = self.path.parent / "other"
        other.mkdir()
        self.code("evil.py", other)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = {"model_type": "bert", "vocab_size": 300, **sizes, **values}
        (other / "config.json").write_text(json.dumps(config))
        return other
