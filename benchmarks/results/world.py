"""One world from its images to its figures: answers of every seed, comparators, resamples, training, ablations."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.models import unit_risks
from benchmarks.results.ablations import ablations
from benchmarks.results.archive import Archive, write_archive
from benchmarks.results.compare import compare
from benchmarks.results.leaning import after_training, leaning
from benchmarks.results.plots import plot_leaning, plot_risks, plot_violations
from benchmarks.results.system import MAX_K, Answered, Models, answer_splits, index_of, open_run, tuned_encoder
from benchmarks.results.violations import violations_at
from calibration import OutcomeTable
from indexing import Encoder
from rag import answer_all
from titrate import InputError, write_atomic


@dataclass(frozen=True)
class Settings:
    """What is run.

    Attributes
    ----------
    seeds
        Of the tuning and the preference training.
    alpha, delta
        Of certificates; without an alpha it is `reachable_alpha`.
    resamples
        Of patients, at each alpha; 0 for none.
    tuned
        Whether the encoder is tuned on the archive.
    pairs
        Choices of preference pairs to train on, see `benchmarks.results.pairs`; the first is a comparator, too.
    ablations
        Whether each thing is also done otherwise, for the first seed.

    Raises
    ------
    InputError
        If a number is outside its range, or a seed or choice comes twice.
    """

    seeds: Sequence[int] = (0, 1, 2)
    alpha: float | None = None
    delta: float = 0.1
    resamples: int = 1000
    tuned: bool = True
    pairs: Sequence[str] = ("anchored",)
    ablations: bool = True

    def __post_init__(self) -> None:
        for name, level in (("alpha", self.alpha), ("delta", self.delta)):
            if level is not None and not 0 < level < 1:  # before hours of answering
                raise InputError(f"{name} is {level}; give a number between 0 and 1")
        if self.resamples < 0:
            raise InputError(f"resamples are {self.resamples}; give 0 or more")
        if not self.seeds or any(len(set(given)) < len(given) for given in (self.seeds, self.pairs)):
            raise InputError("give at least one seed, and each seed and kind of pairs once")


def run_world(data: Path, world: str, models: Models, settings: Settings, page: Path) -> dict[str, Any]:
    """All figures of a world; they go to the work folder too, and plots to the page's.

    Raises
    ------
    InputError
        If the data or the models are unsound, or the reader was trained on patients that are judged by.
    """
    archive = write_archive(data, world, models.work)
    indexes = {seed: _index(archive, models, seed, settings.tuned) for seed in settings.seeds}
    answered = {}
    for seed, index in indexes.items():
        _tell(f"world {world}, seed {seed}: answers")
        with open_run(archive, models, index) as run:
            answered[seed] = answer_splits(run, archive)
    first = settings.seeds[0]
    alpha = settings.alpha or reachable_alpha([one.outcomes["prefer"].table for one in answered.values()])
    figures: dict[str, Any] = {"made": _made(archive, models, answered[first], settings, alpha)}
    trained = {}
    for name in settings.pairs:
        try:
            trained[name] = {seed: _trained(archive, models, index, seed, name) for seed, index in indexes.items()}
        except InputError as error:  # most likely there is nothing to mine: the model leans on nothing
            figures.setdefault("not trained", {})[name] = str(error)
    for_all = trained.get(settings.pairs[0]) if settings.pairs else None
    figures["comparators"] = _compared(archive, answered, for_all, alpha, settings.delta)
    plot_risks(page / f"risks-{world}.svg", figures["comparators"], alpha)
    figures["leaning"] = leaning(
        [one.outcomes["test"].table for one in answered.values()],
        {name: [one.outcomes["test"].table for one in seeds.values()] for name, seeds in trained.items()},
    )
    plot_leaning(page / f"leaning-{world}.svg", next(iter(figures["leaning"].values())))
    if settings.resamples:
        _tell(f"world {world}: {settings.resamples} resamples of its patients at each alpha")
        figures["violations"] = violations_at(
            answered[first].outcomes, alpha, settings.delta, settings.resamples, models.work / "violations"
        )
        rows = figures["violations"]["alphas"][f"{alpha:g}"]
        plot_violations(page / f"violations-{world}.svg", rows, alpha, settings.delta)
    if settings.ablations:
        _tell(f"world {world}, seed {first}: each thing done otherwise")
        figures["ablations"] = ablations(archive, models, indexes[first], answered[first], tuned=settings.tuned)
    write_atomic(models.work / f"results-{world}.json", json.dumps(figures, indent=1) + "\n")
    return figures


def reachable_alpha(prefer: Sequence[OutcomeTable]) -> float:
    """The risk to promise: the least multiple of 0.05 that is 0.05 above what the best k comes to in the worst domain.

    Judged by the split `prefer` alone, of each seed, so that no patient who is calibrated on or judged by has a say.
    """
    risks: dict[str, list[float]] = {}
    for table in prefer:
        for domain in set(table.domains):
            risks.setdefault(domain, []).append(float(unit_risks(table, domain).min()))
    worst = max(sum(each) / len(each) for each in risks.values())
    return min(0.95, math.ceil(20 * (worst + 0.05) - 1e-9) / 20)


def _index(archive: Archive, models: Models, seed: int, tuned: bool) -> Path:
    _tell(f"world {archive.world}, seed {seed}: encoder and index")
    return index_of(archive, tuned_encoder(archive, models, seed) if tuned else models.encoder, models.work)


def _trained(archive: Archive, models: Models, index: Path, seed: int, name: str) -> Answered:
    _tell(f"world {archive.world}, seed {seed}: preference training on {name}")
    return after_training(archive, models, index, seed, name)


def _compared(
    archive: Archive,
    answered: Mapping[int, Answered],
    trained: Mapping[int, Answered] | None,
    alpha: float,
    delta: float,
) -> list[dict[str, Any]]:
    found = []
    for seed, one in answered.items():
        _tell(f"world {archive.world}, seed {seed}: comparators")
        tuned = None if trained is None else trained[seed].trial()
        every = answer_all(one.trial(), alpha=alpha, delta=delta, tuned=tuned)
        found.append((one.outcomes["test"], every))
    return compare(found, archive.sources, alpha)


def _made(archive: Archive, models: Models, answered: Answered, settings: Settings, alpha: float) -> dict[str, Any]:
    asked = answered.outcomes["test"].questions
    return {
        "world": archive.world,
        "archive": archive.digest,
        "encoder": Encoder.open(models.encoder).fingerprint,
        "mllm": answered.fingerprints["mllm"],
        "seeds": list(settings.seeds),
        "tuned": settings.tuned,
        "alpha": alpha,
        "delta": settings.delta,
        "max_k": MAX_K,
        "sizes": {"questions": len(asked), "patients": len({question.unit for question in asked})},
    }


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
