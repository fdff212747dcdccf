"""What preference training does to over-reliance, on the research data: mined on prefer, judged on test.

    python -m benchmarks.reliance --data ../shared/data --work bench --runs anchored:0 anchored:1 anchored:2 copying:0

A run is a choice of pairs and a seed of the training. Everything is kept in the work folder, so that a run that was
interrupted, or is named again, goes on from where it was. Every run prints, per domain and for all questions, what was
so before and after, over the same questions: over-reliance ratio, harm, help, accuracy with intervals from a bootstrap
over patients, balanced accuracy, McNemar's exact p, paired intervals of the changes and, with --copying, which takes as
long again, copy-reference rate.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from benchmarks.models import lines
from indexing import Encoder, build_index
from preference import (
    MINED_KINDS,
    ImageNoise,
    PreferencePair,
    TrainingSettings,
    locate_evidence,
    measure_reliance,
    mine_pairs,
    read_pairs,
    restrict_noise,
    right_answers,
    train_adapter,
    weigh_pairs,
    write_pairs,
)
from rag import Outcomes, QuestionOptions, QuestionRun, SystemOptions, measure, read_questions

MAX_K = 4
"""Contexts that the model reads where it is judged; pairs are mined at 1 to so many, anchors at none."""

PER_QUESTION, PER_KIND, EPOCHS, RATE, BETA = 4, 500, 2.0, 1e-3, 1.0
LOSSES = (("ipo", 1.0),)
"""Chosen on prefer alone, 70 % of its patients mined and 30 % judged. IPO stops pulling once an answer has gained
1/2β a token on the other; the sigmoid loss pulled on until other answers changed too."""

STRENGTH, EVERYWHERE = 500, "all domains"


@dataclass(frozen=True)
class Choice:
    """Which pairs to train on.

    Attributes
    ----------
    kinds
        Of pairs.
    lesion
        Noise of copying's rejected images on the region of the evidence alone, which weighs too.
    weighted
        By relevance.
    shuffled
        Which answer is preferred is drawn for every pair.
    pairs
        At most so many in all; those with two images take twice the time.
    """

    kinds: tuple[str, ...] = ("over-reliance", "anchor")
    lesion: bool = False
    weighted: bool = True
    shuffled: bool = False
    pairs: int = 1000


CHOICES = {
    "anchored": Choice(),
    "over-reliance": Choice(("over-reliance",)),
    "under-use": Choice(("under-use",)),
    "copying": Choice(("copying",), pairs=250),
    "lesion": Choice(("copying",), lesion=True, pairs=250),
    "all": Choice(MINED_KINDS),
    "unweighted": Choice(weighted=False),
    "shuffled": Choice(shuffled=True),
}


def main(data: Path, work: Path, encoder: str, mllm: str, runs: Sequence[str], *, copying: bool) -> None:
    """Do the runs, one after the other, and print each as it is done."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "index" / "manifest.json").exists():  # several of these may run side by side, but not build
        build_index(data / "corpus.jsonl", work / "index", Encoder.open(encoder))
    before = judge(data, work, mllm, None, noised=copying)
    show("before", before["figures"], None)
    for run in runs:
        name, _, seed = run.partition(":")
        pairs = pairs_of(name, data, work, mllm)
        adapter = work / "adapters" / f"{name}-{seed or 0}"
        if not (adapter / "adapter_config.json").exists():
            settings = TrainingSettings(EPOCHS, RATE, BETA, seed=int(seed or 0), losses=LOSSES, hold_out=0.0)
            train_adapter(pairs, mllm, adapter, settings)
        after = judge(data, work, mllm, adapter, noised=copying)
        show(f"{run} ({len(pairs)} pairs)", after["figures"], before)
        after["pairs"] = len(pairs)
        after["paired"] = {name: paired(before, after, name) for name in after["figures"]}
        print(f"{EVERYWHERE}, paired: {after['paired'][EVERYWHERE]}", flush=True)
        (work / f"reliance-{name}-{seed or 0}.json").write_text(json.dumps(after, indent=1) + "\n")


def open_run(data: Path, work: Path, mllm: str, adapter: Path | None = None) -> QuestionRun:
    """The question file through the model, with what was scored kept in the work folder."""
    questions = QuestionOptions(data / "questions.jsonl", max_k=MAX_K, outcomes=work / "outcomes")
    return QuestionRun.open(SystemOptions(work / "index", mllm, adapter), questions, progress=lines)


def scored(run: QuestionRun, split: str, noises: Sequence[ImageNoise | None]) -> Iterator[Outcomes]:
    """Outcomes of a split's closed questions, about declined images too, under each noise, None for none."""
    retrieved = run.retrieve(run.read(split), "accept")
    for noise in noises:
        if noise is None:
            yield run.score(retrieved)
        else:
            yield run.score(retrieved, alter=noise.apply, alteration=asdict(noise))


def judge(data: Path, work: Path, mllm: str, adapter: Path | None, *, noised: bool) -> dict[str, Any]:
    """Figures on the test split at k = MAX_K, by domain, with copying where asked, and which answers are right."""
    known = read_questions(data / "questions.jsonl", splits=["train"])
    with open_run(data, work, mllm, adapter) as run:
        noise = ImageNoise(STRENGTH, run.system.mllm.image_side)
        test, *rest = scored(run, "test", [None, noise] if noised else [None])
        about_noise = rest[0] if rest else None
    right = right_answers(test.table)
    figures: dict[str, Any] = {}
    everywhere = replace(test, table=replace(test.table, domains=[EVERYWHERE] * len(test.questions)))
    for part in (test, everywhere):
        for found in measure_reliance(part, known, MAX_K, noised=about_noise):
            figures[found.domain] = asdict(found)
    for name in figures:
        rows = [row for row, domain in enumerate(test.table.domains) if name in (domain, EVERYWHERE)]
        given = [test.table.answers[row][MAX_K] for row in rows]
        asked = [test.questions[row] for row in rows]
        metrics = measure(given, [question.answer for question in asked], [test.table.units[row] for row in rows])
        figures[name]["balanced_accuracy"] = metrics.balanced_accuracy
        figures[name]["yes"] = float(np.mean([answer == "yes" for answer in given]))
    columns = {
        "domains": list(test.table.domains),
        "patients": list(test.table.units),
        "alone": right[:, 0].tolist(),
        "with": right[:, MAX_K].tolist(),
    }
    return {"figures": figures, "rows": columns}


def pairs_of(name: str, data: Path, work: Path, mllm: str) -> list[PreferencePair]:
    """The pairs of a choice, mined on the prefer split."""
    choice, path = CHOICES[name], work / f"pairs-{name}.jsonl"
    if path.exists():
        return read_pairs(path, root=data)
    with open_run(data, work, mllm) as run:
        noise = ImageNoise(STRENGTH, run.system.mllm.image_side)
        clean, noised = scored(run, "prefer", [None, noise])
        mined = mine_pairs(
            clean,
            run.system.prompt,
            kinds=choice.kinds,
            noised=noised,
            noise=noise,
            per_question=PER_QUESTION,
            per_kind=min(PER_KIND, choice.pairs // len(choice.kinds)),
        )
        evidence = locate_evidence(run.system.mllm, mined.pairs) if choice.lesion else None
    pairs = list(mined.pairs)
    if choice.weighted:
        pairs = weigh_pairs(mined, None if evidence is None else [found.strength for found in evidence])
    if evidence is not None:
        pairs = restrict_noise(pairs, evidence)
    if choice.shuffled:
        turned = np.random.default_rng(0).random(len(pairs)) < 0.5
        pairs = [turn(pair) if other else pair for pair, other in zip(pairs, turned, strict=True)]
    print(name, mined.found, *mined.notes, sep="\n  ", flush=True)
    write_pairs(pairs, path, root=data)
    return pairs


def turn(pair: PreferencePair) -> PreferencePair:
    """The pair with its answers changed over; of copying, which has one answer, with the noise on the other side."""
    if pair.rejected_noise is None:
        return replace(pair, chosen=pair.rejected, rejected=pair.chosen)
    # The noised image cannot be the chosen one, so the preference is undone by a pair that says nothing of the image.
    other = "no" if pair.chosen == "yes" else "yes"
    return replace(pair, rejected=other, rejected_noise=None)


def paired(before: dict[str, Any], after: dict[str, Any], name: str) -> dict[str, Any]:
    """McNemar's exact p for accuracy with contexts, and 95 % intervals of two changes, by a bootstrap over patients."""
    domains = np.array(before["rows"]["domains"])
    kept = np.full(len(domains), True) if name == EVERYWHERE else domains == name
    (alone, first), (alone_after, second) = (
        [np.array(run["rows"][column])[kept] for column in ("alone", "with")] for run in (before, after)
    )
    better, worse = int((~first & second).sum()), int((first & ~second).sum())
    p = 1.0 if better + worse == 0 else float(binomtest(better, better + worse).pvalue)
    # What both ratios are made of, before and after, summed over each patient's questions.
    parts = [alone & ~first, ~first, alone, alone_after & ~second, ~second, alone_after]
    _, patient = np.unique(np.array(before["rows"]["patients"])[kept], return_inverse=True)
    sums = np.stack([np.bincount(patient, weights=part) for part in parts], 1)
    drawn = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=2000) @ sums
    harmed, wrong, right, harmed_after, wrong_after, right_after = drawn.T
    changes = {
        "over_reliance": harmed_after / wrong_after - harmed / wrong,
        "harm": harmed_after / right_after - harmed / right,
    }
    return {"p": p, **{what: np.quantile(change, [0.025, 0.975]).tolist() for what, change in changes.items()}}


def show(title: str, figures: dict[str, Any], before: dict[str, Any] | None) -> None:
    """Print a table; each cell the value and, where there is a before, what it was."""
    names = ("over_reliance", "harm", "help", "copying", "alone", "with_contexts")
    print(f"\n{title}, k = {MAX_K}\n{'':14}" + "".join(f"{name:>22}" for name in (*names, "balanced")), flush=True)
    for domain, row in figures.items():
        cells = []
        for name in (*names, "balanced_accuracy"):
            now, then = row[name], None if before is None else before["figures"][domain][name]
            value, was = ((share["value"] if isinstance(share, dict) else share) for share in (now, then))
            cells.append(f"{_number(value)}" + ("" if before is None else f" ({_number(was)})"))
        print(f"{domain:14}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("bench"))
    parser.add_argument("--encoder", default="local-dir:samples/models/encoder")
    parser.add_argument("--mllm", default="samples/models/mllm")
    parser.add_argument("--copying", action="store_true", help="judge with noised images too")
    parser.add_argument("--runs", nargs="*", default=[], help="name:seed; names: " + ", ".join(CHOICES))
    given = parser.parse_args()
    main(given.data, given.work, given.encoder, given.mllm, given.runs, copying=given.copying)
