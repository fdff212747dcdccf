"""Writes docs/models.md: every family of models, small, driven through Titrate (`make matrix`)."""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

import transformers

from tests.families.drive import Verdict, drive
from tests.families.families import FAMILIES, write_family

_HEAD = """# Models

Made by `make matrix` with transformers {version}. Each family is instantiated small, with random weights, from its real
configuration and processor classes and a chat template like its own, and driven through Titrate: options of one and of
several tokens, one that begins another, letters A to E, images of unlike sizes in one batch (97 × 64, 1 × 1, 8 × 2000,
greyscale), every k in one pass, generation in a batch and singly, preference training, its adapter and the merged
model. Each score is compared with the family's processor and forward pass alone; what training reports is compared with
what `score` reads. A figure is the largest difference in nats (float32); *k by k* says that each k is scored on its
own, which is slower; below the table is what is refused, with the line that a user sees.

This shows that scores are the model's own. It says nothing about how good a model's answers are.

| family | score | letters | every k | generate | train, adapter, merge |
|---|---|---|---|---|---|
"""


def row(name: str, verdict: Verdict) -> str:
    """A family's line of the table."""
    if verdict.opened != "right":
        return f"| {name} | refused | | | | |"
    alone = " (k by k)" if any("each k" in line for line in verdict.told) else ""
    cells = []
    for what, by in verdict.apart.items():
        text = "refused" if isinstance(by, str) else f"{by:.0e}"
        if what == "generate" and not isinstance(by, str):
            text = "other" if by else "same"
        cells.append(text + (alone if what == "nested" else ""))
    return f"| {name} | {' | '.join(cells)} |"


def notes(name: str, verdict: Verdict) -> list[str]:
    """What is refused of a family, and what is told."""
    lines = [] if verdict.opened == "right" else [verdict.opened]
    lines += [*verdict.unread, *verdict.told, *(by for by in verdict.apart.values() if isinstance(by, str))]
    return [f"- **{name}**: {line}" for line in dict.fromkeys(lines)]


def main() -> int:
    """Drive every family; 1 if one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore", FutureWarning)
    rows, told, wrong = [], [], []
    for name in FAMILIES:
        with tempfile.TemporaryDirectory() as scratch:
            verdict = drive(write_family(name, Path(scratch) / "model"), Path(scratch))
        rows.append(row(name, verdict))
        told += notes(name, verdict)
        wrong += [f"{name}: {line}" for line in verdict.wrong]
        print(rows[-1], flush=True)
    text = _HEAD.format(version=transformers.__version__) + "\n".join(rows)
    out.write_text(text + "\n\n## Refused, and told\n\n" + "\n".join(told) + "\n", encoding="utf-8")
    print("\n".join(wrong) or "none wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
