"""How many answers another number format changes, and how many differ between calibrating and asking in one format.

    python -m benchmarks.scoring.formats --out bench/formats.json

Questions of the samples' calibrate split, with contexts as in `benchmarks.calibrate`, after every number of contexts.
Each is answered as `calibrate` does, all k in one call, and as `ask` does, one question and one k in a call. Quantised
weights are measured where the extra ``quantize`` is installed.
"""

import argparse
import json
import warnings
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.calibrate import nested_prompts
from rag import LoadingOptions, NestedPrompt, TransformersMLLM
from titrate import TitrateWarning

FORMATS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("float32", {"dtype": "float32"}),
    ("bfloat16", {"dtype": "bfloat16"}),
    ("float16", {"dtype": "float16"}),
    ("4bit", {"dtype": "float32", "quantize": "4bit"}),
    ("8bit", {"dtype": "float32", "quantize": "8bit"}),
)


def main(samples: Path, mllm: str, images: int, questions: int, max_k: int, out: Path) -> None:
    """Measure every format and print it; figures also go to ``out``."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", TitrateWarning)  # of ways that a format rules out
    reference: NDArray[np.int64] | None = None
    rows: list[dict[str, Any]] = []
    print("format     decisions   changed from float32   asked otherwise than calibrated")
    for name, chosen in FORMATS:
        if "quantize" in chosen and find_spec("bitsandbytes") is None:
            continue
        loading = LoadingOptions(quantize=chosen.get("quantize"))
        model = TransformersMLLM.open(mllm, device="cpu", dtype=chosen["dtype"], loading=loading)
        prompts, options = nested_prompts(model, samples, images, questions, max_k)
        ks = range(max_k + 1)
        calibrated = decisions(model.score_nested(prompts, options, ks))
        asked = np.array(
            [
                model.score_nested([one_question(prompt, number)], [[choices]], [k])[0][0].argmax()
                for prompt, sets in zip(prompts, options, strict=True)
                for number, choices in enumerate(sets)
                for k in ks
            ]
        )
        reference = calibrated if reference is None else reference
        row: dict[str, Any] = {
            "format": name,
            "decisions": len(calibrated),
            "from float32": int((calibrated != reference).sum()),
            "asked otherwise": int((asked != calibrated).sum()),
        }
        rows.append(row)
        shares = "   ".join(f"{row[what]} ({row[what] / len(calibrated):.2%})" for what in list(row)[2:])
        print(f"{name:9s} {len(calibrated):6d}   {shares}", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(rows, indent=1) + "\n")


def decisions(scores: list[list[NDArray[np.float64]]]) -> NDArray[np.int64]:
    """The number of the likeliest option, for every question and k."""
    return np.concatenate([table.argmax(1) for table in chain.from_iterable(scores)])


def one_question(prompt: NestedPrompt, number: int) -> NestedPrompt:
    """The prompt of one question alone."""
    return NestedPrompt(prompt.image, prompt.opening, prompt.contexts, prompt.closings[number : number + 1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, default=Path("samples"), help="default: %(default)s")
    parser.add_argument("--mllm", default="samples/models/mllm", help="default: %(default)s")
    parser.add_argument("--images", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--questions", type=int, default=2, help="of each image (default: %(default)s)")
    parser.add_argument("--max-k", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("bench/formats.json"), help="default: %(default)s")
    given = parser.parse_args()
    main(given.samples, given.mllm, given.images, given.questions, given.max_k, given.out)
