"""Where the configuration of an open_clip encoder's text tower is, if that comes from transformers.

``hf_model_name`` is a name of the hub, also in a folder that was mirrored from there: BiomedCLIP's names BiomedBERT, of
which it holds the weights and the vocabulary, but not the configuration.
"""

import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from open_clip.factory import _find_checkpoint_in_dir, load_state_dict
from open_clip.hf_configs import arch_dict
from transformers import PretrainedConfig

from indexing.encoder_files import TRANSFORMERS_CONFIG
from titrate import InputError, TitrateWarning, parse_json, read_bytes

_PUBLISHED_BERTS = re.compile(
    r"microsoft/BiomedNLP-(BiomedBERT|PubMedBERT)-(base|large)-uncased-abstract(-fulltext)?", re.ASCII
)
"""Text models that are known to be BERT as first published: heads of 64 numbers, GELU, an epsilon of 1e-12, padding
with token 0. Nothing else of them cannot be seen from the shapes of their weights."""

_HEAD = 64
_TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_LAYER = "encoder.layer.{}.intermediate.dense.weight"


def check_tokenizer_beside(folder: Path, name: str | None) -> None:
    """Refuse a local encoder whose tokeniser is not in its folder, where open_clip looks for it.

    Parameters
    ----------
    folder, name
        The encoder's, and ``hf_tokenizer_name`` of its configuration.

    Raises
    ------
    InputError
        Naming the files to fetch.
    """
    if name and not any((folder / file).is_file() for file in _TOKENIZERS):
        raise InputError(
            f"its tokenizer is not in {folder}: put tokenizer.json, tokenizer_config.json and vocab.txt there, which "
            f"the encoder's own repository or that of {name} holds"
        )


def text_model_beside(folder: Path, name: str) -> Path | None:
    """The folder with a text model's configuration, without the hub; None if there is none.

    Parameters
    ----------
    folder
        The encoder's. Searched are folders in it and next to it that are called as the hub calls the text model, and
        itself.
    name
        ``hf_model_name`` of its configuration: a folder, or a name of the hub.
    """
    given = Path(name).expanduser()
    short = name.rpartition("/")[2]
    called = [] if given.is_absolute() else [folder / name, folder / short, folder.parent / name, folder.parent / short]
    for place in [*called, given]:
        if os.path.isfile(place / TRANSFORMERS_CONFIG):
            return place
    try:
        own = parse_json(read_bytes(folder / TRANSFORMERS_CONFIG))
    except (OSError, ValueError):
        return None
    return folder if isinstance(own, dict) and str(own.get("model_type")) in arch_dict else None


@contextmanager
def text_model_at(name: str, folder: Path | None) -> Iterator[str]:
    """What open_clip is to read a text model's configuration from: a folder, or a name of the hub.

    Parameters
    ----------
    name
        ``hf_model_name``.
    folder
        The encoder's; None for one of the hub.

    Raises
    ------
    InputError
        If a local encoder's text model is nowhere; it says what to fetch, and where to put it.
    """
    beside = None if folder is None else text_model_beside(folder, name)
    if beside is not None or folder is None or _on_the_hub(name):
        yield name if beside is None else str(beside)
        return
    if not _PUBLISHED_BERTS.fullmatch(name):
        raise InputError(
            f"its text model {name} is neither beside it nor in the hub's cache; where the hub can be reached, run: "
            f"hf download {name} config.json --local-dir {folder / name.rpartition('/')[2]}"
        )
    config = _of_shapes(_shapes(folder), name)
    warnings.warn(
        f"the configuration of {name} is not beside its encoder {folder}: its text tower is built from its weights, "
        f"as a BERT of {config['num_hidden_layers']} layers with {config['num_attention_heads']} heads",
        TitrateWarning,
        stacklevel=4,
    )
    with TemporaryDirectory() as made:
        (Path(made) / TRANSFORMERS_CONFIG).write_text(json.dumps(config))
        yield made


def _on_the_hub(name: str) -> bool:
    try:
        PretrainedConfig.get_config_dict(name)
    except (OSError, ValueError):
        return False
    return True


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Of the text tower's weights, by the names that transformers gives them."""
    checkpoint = _find_checkpoint_in_dir(folder)
    if checkpoint is None:
        raise InputError(f"its weights are not in {folder}; download it again")
    weights = load_state_dict(str(checkpoint), weights_only=True)
    before = "text.transformer."
    return {key.removeprefix(before): tuple(each.shape) for key, each in weights.items() if key.startswith(before)}


def _of_shapes(shapes: Mapping[str, tuple[int, ...]], name: str) -> dict[str, Any]:
    """A BERT's configuration; that all shapes are as it says is seen when the weights are loaded."""
    try:
        vocabulary, width = shapes["embeddings.word_embeddings.weight"]
        places, _ = shapes["embeddings.position_embeddings.weight"]
        kinds, _ = shapes["embeddings.token_type_embeddings.weight"]
        inner, _ = shapes[_LAYER.format(0)]
    except (KeyError, ValueError) as error:
        raise InputError(f"its weights hold no BERT, which its text model {name} is; get the encoder again") from error
    layers = next(number for number in range(len(shapes) + 1) if _LAYER.format(number) not in shapes)
    if width % _HEAD:
        raise InputError(f"its text model {name} has a width of {width}, which no BERT has; get the encoder again")
    return {
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // _HEAD,
        "intermediate_size": inner,
        "max_position_embeddings": places,
        "type_vocab_size": kinds,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
