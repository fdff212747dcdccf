"""What calibration costs: scoring every k in one pass against one pass per k, and p-values of many policies.

    python -m benchmarks.calibrate --out bench/calibrate.json

Images and questions are real ones of the calibrate split. The samples' reports are short, so that a context is made of
as many train reports of the image's domain, one after the other, as it takes to reach 50 tokens. Both ways answer the
same questions in the same run, on one thread; what counts is the ratio. One pass per k reads prompts one at a time, as
that is quickest on a CPU: a batch of them is padded to the longest. A first small call, which also compares the two
ways once (see `TransformersMLLM.score_nested`), is not timed.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calibration import wsr_p_value
from indexing import load_image
from rag import NestedPrompt, PromptTemplate, Question, TransformersMLLM, closed_questions, read_questions

TARGETS = {10: (1 / 4, 1 / 3), 20: (1 / 7, 1 / 5)}
"""At most these shares of the tokens and of the wall time, by K."""
MIN_TOKENS, SEED = 50, 0
PATIENTS, POLICIES, MAX_SECONDS = 2000, 200, 0.5
Options = list[list[tuple[str, ...]]]


@dataclass
class Cost:
    """Tokens that went through the model, padding apart, forward passes, and seconds."""

    tokens: int = 0
    padding: int = 0
    passes: int = 0
    seconds: float = 0.0


def main(samples: Path, mllm: str, images: int, per_image: Sequence[int], out: Path) -> None:
    """Measure everything and print it; figures also go to ``out``."""
    torch.set_num_threads(1)
    model = TransformersMLLM.open(mllm, device="cpu")
    figures: dict[str, Any] = {"images": images, "rows": []}
    print("  K  questions   tokens nested/each k (target)   padding   seconds (target)   passes   largest difference")
    for max_k in TARGETS:
        for questions in per_image:
            row = compare(model, *nested_prompts(model, samples, images, questions, max_k), max_k)
            figures["rows"].append({"max_k": max_k, "questions an image": questions, **row})
            print(line(figures["rows"][-1]), flush=True)
    figures["p-values"] = p_values()
    print(
        f"WSR p-values of {PATIENTS} patients x {POLICIES} policies: {figures['p-values']['seconds']:.3f} s "
        f"(target {MAX_SECONDS})"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=1) + "\n")


def compare(model: TransformersMLLM, prompts: list[NestedPrompt], options: Options, max_k: int) -> dict[str, Any]:
    """Costs of both ways, and how far their log-probabilities and decisions are apart."""
    model.score_nested(prompts[:1], options[:1], range(2))
    nested, ours = measured(model, lambda: model.score_nested(prompts, options, range(max_k + 1)))
    asked = [
        (prompt.at(question, k), choices)
        for prompt, sets in zip(prompts, options, strict=True)
        for question, choices in enumerate(sets)
        for k in range(max_k + 1)
    ]
    each, choices = [prompt for prompt, _ in asked], [choices for _, choices in asked]
    alone, theirs = measured(model, lambda: model.score(each, choices, batch_size=1))
    tables = np.stack(theirs).reshape(-1, max_k + 1, len(choices[0]))
    pairs = list(zip((table for some in ours for table in some), tables, strict=True))
    return {
        "nested": asdict(nested),
        "each k": asdict(alone),
        "tokens": nested.tokens / alone.tokens,
        "seconds": nested.seconds / alone.seconds,
        "largest difference": max(float(np.abs(a - b).max()) for a, b in pairs),
        "decisions that differ": sum(int((a.argmax(1) != b.argmax(1)).sum()) for a, b in pairs),
    }


def measured(model: TransformersMLLM, score: Callable[[], Any]) -> tuple[Cost, Any]:
    """What a way of scoring costs, and what it found."""
    with counted(model) as cost:
        started = time.perf_counter()
        found = score()
        cost.seconds = time.perf_counter() - started
    return cost, found


@contextmanager
def counted(model: TransformersMLLM) -> Iterator[Cost]:
    """Counts what goes through the model."""
    cost = Cost()

    def count(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        padding = int((kwargs["input_ids"] == model.pad_id).sum())
        cost.tokens += kwargs["input_ids"].numel() - padding
        cost.padding += padding
        cost.passes += 1

    hook = model.base.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield cost
    finally:
        hook.remove()


def nested_prompts(
    model: TransformersMLLM, samples: Path, images: int, questions: int, max_k: int
) -> tuple[list[NestedPrompt], Options]:
    """So many questions about so many images, half of each domain, with max_k contexts of at least 50 tokens."""
    path, template = samples / "questions.jsonl", PromptTemplate()
    of_image: dict[Path, list[Question]] = {}
    for question in closed_questions(read_questions(path, splits=["calibrate"]), path):
        of_image.setdefault(question.image, []).append(question)
    asked = [some[:questions] for some in of_image.values() if len(some) >= questions]
    by_domain = [[some for some in asked if some[0].domain == domain] for domain in ("pathology", "radiology")]
    chosen = [some for pair in zip(*by_domain, strict=False) for some in pair][:images]
    with (samples / "corpus.jsonl").open(encoding="utf-8") as lines:
        records = [record for record in map(json.loads, lines) if record["split"] == "train"]
    rng, prompts, options = np.random.default_rng(SEED), [], []
    for some in chosen:
        reports = [record["report"] for record in records if record["domain"] == some[0].domain]
        order = iter([reports[row] for row in rng.permutation(len(reports))])
        contexts = tuple(template.context(k, long_report(model, order)) for k in range(1, max_k + 1))
        closings = tuple(template.closing(question.text, question.options) for question in some)
        prompts.append(NestedPrompt(load_image(some[0].image), template.opening(), contexts, closings))
        options.append([question.options or () for question in some])
    return prompts, options


def long_report(model: TransformersMLLM, reports: Iterator[str]) -> str:
    """The next reports joined until they have at least 50 tokens."""
    text = next(reports)
    while model.count_tokens(text) < MIN_TOKENS:
        text += " " + next(reports)
    return text


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    tokens, seconds = TARGETS[row["max_k"]]
    met = "met" if row["tokens"] <= tokens and row["seconds"] <= seconds else "MISSED"
    nested, alone = row["nested"], row["each k"]
    return (
        f"{row['max_k']:3d} {row['questions an image']:6d}   "
        f"{nested['tokens']}/{alone['tokens']} = {row['tokens']:.3f} ({tokens:.3f})   "
        f"{nested['padding']}/{alone['padding']}   "
        f"{nested['seconds']:.2f}/{alone['seconds']:.2f} = {row['seconds']:.3f} ({seconds:.3f})   "
        f"{nested['passes']}/{alone['passes']}   {row['largest difference']:.1e}   {met}"
    )


def p_values() -> dict[str, float]:
    """Seconds for the WSR p-values of graded losses, the quickest of five."""
    losses = np.random.default_rng(SEED).beta(1, 4, (PATIENTS, POLICIES))
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        wsr_p_value(losses, 0.25, 0.1)
        seconds.append(time.perf_counter() - started)
    return {"patients": PATIENTS, "policies": POLICIES, "seconds": min(seconds)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, default=Path("samples"))
    parser.add_argument("--mllm", default="samples/models/mllm")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--questions", type=int, nargs="+", default=[1, 3], help="questions an image")
    parser.add_argument("--out", type=Path, default=Path("bench/calibrate.json"))
    arguments = parser.parse_args()
    main(arguments.samples, arguments.mllm, arguments.images, arguments.questions, arguments.out)
