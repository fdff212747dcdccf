"""What preference training does to over-reliance, on the research data: mined on prefer, judged on test.

    python -m benchmarks.reliance --data ../shared/data --work bench --runs anchored:0 anchored:1 anchored:2 copying:0

A run is a choice of pairs and a seed of the training. Everything is kept in the work folder, so that a run that was
interrupted, or is named again, goes on from where it was. Every run prints, for each domain and for all questions, how
the same questions were answered before and after training: over-reliance ratio, harm, help, accuracy and balanced
accuracy, and for all questions McNemar's exact p and paired intervals of the changes, from a bootstrap over patients.
With --copying, it prints the copy-reference rate too, for which every question is answered once more.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from benchmarks.models import lines
from benchmarks.results.pairs import CHOICES, STRENGTH, mining_options, shuffled, training_settings
from indexing import Encoder, build_index
from preference import (
    ImageNoise,
    PreferencePair,
    measure_reliance,
    mine_run,
    read_pairs,
    train_adapter,
    write_pairs,
)
from rag import Outcomes, QuestionOptions, QuestionRun, SystemOptions, measure, read_questions, right_answers

MAX_K = 4
"""Number of contexts at which the model is judged; pairs are mined with 1 to so many contexts, anchors with none."""

EVERYWHERE = "all domains"


def main(data: Path, work: Path, encoder: str, mllm: str, runs: Sequence[str], *, copying: bool) -> None:
    """Do the runs one after the other, and print the result of each when it is done."""
    work.mkdir(parents=True, exist_ok=True)
    if not (
        work / "index" / "manifest.json"
    ).exists():  # several of these processes may run at once, but only one may build
        build_index(data / "corpus.jsonl", work / "index", Encoder.open(encoder))
    before = judge(data, work, mllm, None, noised=copying)
    show("before", before["figures"], None)
    for run in runs:
        name, _, seed = run.partition(":")
        pairs = pairs_of(name, data, work, mllm)
        adapter = work / "adapters" / f"{name}-{seed or 0}"
        if not (adapter / "adapter_config.json").exists():
            train_adapter(pairs, mllm, adapter, training_settings(int(seed or 0)))
        after = judge(data, work, mllm, adapter, noised=copying)
        show(f"{run} ({len(pairs)} pairs)", after["figures"], before)
        after["pairs"] = len(pairs)
        after["paired"] = {name: paired(before, after, name) for name in after["figures"]}
        print(f"{EVERYWHERE}, paired: {after['paired'][EVERYWHERE]}", flush=True)
        (work / f"reliance-{name}-{seed or 0}.json").write_text(json.dumps(after, indent=1) + "\n")


def open_run(data: Path, work: Path, mllm: str, adapter: Path | None = None) -> QuestionRun:
    """Open the model for the question file; outcomes are kept in the work folder."""
    questions = QuestionOptions(data / "questions.jsonl", max_k=MAX_K, outcomes=work / "outcomes")
    return QuestionRun.open(SystemOptions(work / "index", mllm, adapter), questions, progress=lines)


def scored(run: QuestionRun, split: str, noises: Sequence[ImageNoise | None]) -> Iterator[Outcomes]:
    """Answer a split's closed questions, also about images that would be declined, once for each noise.

    Parameters
    ----------
    run
        The question file and the model.
    split
        The split whose questions are answered.
    noises
        How the images are noised; None for not at all.
    """
    retrieved = run.retrieve(run.read(split), "accept")
    for noise in noises:
        if noise is None:
            yield run.score(retrieved)
        else:
            yield run.score(retrieved, alter=noise.apply, alteration=asdict(noise))


def judge(data: Path, work: Path, mllm: str, adapter: Path | None, *, noised: bool) -> dict[str, Any]:
    """Judge a model on the test split.

    Parameters
    ----------
    data, work, mllm
        As for `main`.
    adapter
        The adapter to judge the model with; None for the model alone.
    noised
        Whether questions are answered about noised images too, for the copy-reference rate.

    Returns
    -------
    dict
        ``figures``, by domain, with `MAX_K` contexts; ``rows``, of each question its domain and patient and whether it
        was answered rightly without contexts and with them.
    """
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
    """Mine the pairs of a choice on the prefer split, or read them if that was done before."""
    choice, path = CHOICES[name], work / f"pairs-{name}.jsonl"
    if path.exists():
        return read_pairs(path, root=data)
    with open_run(data, work, mllm) as run:
        mined = mine_run(run, "prefer", mining_options(choice), out_of_domain="accept")
    pairs = list(mined.pairs)
    if choice.shuffled:
        pairs = shuffled(pairs)
    print(name, mined.found, *mined.notes, sep="\n  ", flush=True)
    write_pairs(pairs, path, root=data)
    return pairs


def paired(before: dict[str, Any], after: dict[str, Any], name: str) -> dict[str, Any]:
    """Compare a model before and after training, question by question.

    Parameters
    ----------
    before, after
        What `judge` returned.
    name
        The domain, or `EVERYWHERE`.

    Returns
    -------
    dict
        ``p``, McNemar's exact p for accuracy with contexts; ``over_reliance`` and ``harm``, the 95 % intervals of their
        changes from a bootstrap over patients.
    """
    domains = np.array(before["rows"]["domains"])
    kept = np.full(len(domains), True) if name == EVERYWHERE else domains == name
    (alone, first), (alone_after, second) = (
        [np.array(run["rows"][column])[kept] for column in ("alone", "with")] for run in (before, after)
    )
    better, worse = int((~first & second).sum()), int((first & ~second).sum())
    p = 1.0 if better + worse == 0 else float(binomtest(better, better + worse).pvalue)
    # Numerators and denominators of both ratios, before and after, summed over each patient's questions.
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
    """Print figures as a table.

    Parameters
    ----------
    title
        What was judged.
    figures
        The figures by domain, as `judge` returns them.
    before
        What `judge` returned before training; its figures are shown in brackets.
    """
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
    parser.add_argument("--data", type=Path, required=True, help="data folder with corpus, questions and images")
    parser.add_argument("--work", type=Path, default=Path("bench"), help="folder that keeps everything between runs")
    parser.add_argument("--encoder", default="local-dir:samples/models/encoder")
    parser.add_argument("--mllm", default="samples/models/mllm")
    parser.add_argument(
        "--copying", action="store_true", help="answer about noised images too, for the copy-reference rate"
    )
    parser.add_argument("--runs", nargs="*", default=[], help="NAME:SEED, where NAME is " + ", ".join(CHOICES))
    given = parser.parse_args()
    main(given.data, given.work, given.encoder, given.mllm, given.runs, copying=given.copying)
