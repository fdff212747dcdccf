"""A tuned encoder as a folder in open_clip's own format, which `Encoder.open` takes."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from indexing.encoder import Encoder
from indexing.encoder_files import LOCAL, OPEN_CLIP_CONFIG, TRANSFORMERS_CONFIG
from indexing.encoders.open_clip_towers import OpenClipTowers
from titrate import TitrateError, write_atomic

_WEIGHTS = "open_clip_model.safetensors"
_ROUNDING = 1e-4


def write_encoder(towers: OpenClipTowers, folder: Path) -> Encoder:
    """Write an encoder's configuration, preprocessing, weights and tokeniser, and open what was written.

    Parameters
    ----------
    towers
        As they are in memory, without adapters.
    folder
        A new one.

    Raises
    ------
    TitrateError
        If what was written embeds otherwise than what is in memory.
    """
    folder.mkdir(parents=True)
    model, config = towers.model, copy.deepcopy(towers.config)
    if name := config["text_cfg"].get("hf_model_name"):
        # Its configuration goes into a folder of its name, where it is looked for first; no path of here is told.
        short = Path(name).name
        if Path(name).expanduser().is_dir():
            config["text_cfg"]["hf_model_name"] = short
        (folder / short).mkdir()
        model.text.config.to_json_file(folder / short / TRANSFORMERS_CONFIG, use_diff=False)
    inner = getattr(towers.tokenizer, "tokenizer", None)  # open_clip's own needs no files
    if inner is not None:
        inner.save_pretrained(str(folder))
    save_file(
        {name: each.detach().cpu().contiguous().clone() for name, each in model.state_dict().items()}, folder / _WEIGHTS
    )
    written = {"model_cfg": config, "preprocess_cfg": model.visual.preprocess_cfg}
    write_atomic(folder / OPEN_CLIP_CONFIG, json.dumps(written, indent=2) + "\n")
    opened = Encoder.of_towers(OpenClipTowers.open(f"{LOCAL}{folder}", towers.device))
    if any(
        np.abs(a - b).max() > _ROUNDING
        for a, b in zip(_probes(Encoder.of_towers(towers)), _probes(opened), strict=True)
    ):
        raise TitrateError(f"what was written to {folder} embeds otherwise than what was trained; report this")
    return opened


def _probes(encoder: Encoder) -> list[NDArray[np.float32]]:
    pictures: list[Any] = [Image.radial_gradient("L"), Image.linear_gradient("L").resize((300, 200))]
    return [encoder.embed_images(pictures), encoder.embed_texts(["No pleural effusion.", "Mass in the left lung."])]
