"""Writes docs/models.md: every family of models, small, driven through Titrate (`make matrix`)."""

import argparse
import json
import os
import sys
import tempfile
import textwrap
import warnings
from pathlib import Path

import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from tests.families.drive import Verdict, drive
from tests.families.families import FAMILIES, write_family

_HEAD = """# Models

Made by `make matrix` with transformers {version}. Each family is instantiated small, with random weights, from its real
configuration and processor classes and a chat template like its own, and driven through Titrate: options of one and of
several tokens, one that begins another, letters A to E, images of unlike sizes in one batch (97 × 64, 1 × 1, 8 × 2000,
greyscale), every k in one pass, generation in a batch and singly, preference training, its adapter and the merged
model. Each score is compared with the family's processor and forward pass alone; what training reports is compared with
what `score` reads; text that is generated, with the likeliest token after another, by the forward pass alone. A figure
is the largest difference in nats, in float32 but for two columns: *bf16 score* is beside the forward pass in bfloat16,
and *bf16 every k* beside each k on its own in bfloat16. *k by k* says that each k is scored on its own, slower;
below the table is what is refused, with the line that a user sees. Training of models that think is not driven.

This shows that scores are the model's own. It says nothing about how good a model's answers are.

| family | score | letters | every k | generate | bf16 score | bf16 every k | train, adapter, merge |
|---|---|---|---|---|---|---|---|
"""
_OTHERS = """
## Not driven

transformers knows more types of models that take images and text. None of these was tried here. They are opened as any
other: compared with processor and forward pass alone by the self-check (docs/methods.md, section 1), and read in ways
that agree with it, or refused with a line. Those without a chat template are refused.

"""


def row(name: str, verdict: Verdict) -> str:
    """A family's line of the table."""
    if verdict.opened != "right":
        return f"| {name} | refused | | | | | | |"
    alone = " (k by k)" if any("each k" in line for line in verdict.told) else ""
    cells = []
    for what, by in verdict.apart.items():
        text = "refused" if isinstance(by, str) else f"{by:.0e}"
        if what == "generate" and not isinstance(by, str):
            text = "other" if by else "same"
        cells.append(text + (alone if what.endswith("nested") else ""))
    cells += [""] * (7 - len(cells))
    return f"| {name} | {' | '.join(cells)} |"


def notes(name: str, verdict: Verdict) -> list[str]:
    """What is refused of a family, and what is told."""
    lines = [] if verdict.opened == "right" else [verdict.opened]
    lines += [*verdict.unread, *verdict.told, *(by for by in verdict.apart.values() if isinstance(by, str))]
    return [f"- **{name}**: {line}" for line in dict.fromkeys(lines)]


def others(driven: set[str]) -> str:
    """A section that names the types of models which transformers reads and that are not in the table."""
    left = sorted(set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES) - driven)
    return _OTHERS + textwrap.fill(", ".join(left), 120, break_long_words=False, break_on_hyphens=False) + ".\n"


def main() -> int:
    """Drive every family; 1 if one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore", FutureWarning)
    rows, told, wrong, types = [], [], [], set[str]()
    for name in FAMILIES:
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["XDG_CACHE_HOME"] = scratch  # every model is checked anew, whatever an earlier run found
            folder = write_family(name, Path(scratch) / "model")
            types.add(json.loads((folder / "config.json").read_text())["model_type"])
            verdict = drive(folder, Path(scratch), half=True)
        rows.append(row(name, verdict))
        told += notes(name, verdict)
        wrong += [f"{name}: {line}" for line in verdict.wrong]
        print(rows[-1], flush=True)
    text = _HEAD.format(version=transformers.__version__) + "\n".join(rows)
    text += "\n\n## Refused, and told\n\n" + "\n".join(told) + "\n" + others(types)
    out.write_text(text, encoding="utf-8")
    print("\n".join(wrong) or "none wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
