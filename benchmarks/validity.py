"""The guarantee in simulated worlds, and on real outcomes: how often certificates promise what is not so.

    python -m benchmarks.validity --worlds
    python -m benchmarks.validity --data ../shared/data --work bench

With ``--worlds``, patients are simulated whose ids sort by source, risk or number of questions (`benchmarks.worlds`),
and tested in several orders.

With ``--data``, certificates from resampled patients are judged against all of them. The patients of calibrate and
test together are the population, in which the risk of every policy is known: the mean over patients of their mean loss.
Each of 1,000 calibrations draws as many patients as the calibrate split has, with replacement, and is wrong if it
certifies, in any domain, a policy whose risk in the population is above alpha. Alphas are put where that is hardest: at
the risks of the population's own policies, so that some are just not good enough.
"""

import argparse
import json
import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import open_run, outcomes_of
from benchmarks.worlds import ALPHA, ORDERS, WORLDS, ordered_losses
from calibration import P_VALUES, HypothesisFamily, OutcomeTable, PolicyGrid, mean_per_unit
from calibration.checks import FloatArray

DELTA, RESAMPLES, SEED = 0.1, 1000, 0
RUNS, PATIENTS = 2000, (40, 80, 200)
ORDERED = ("star", "wsr")
"""The p-values that feel the order of patients."""
TAUS = (0.6, 0.7, 0.8)
METHODS = (("star", "closed-e"), *product(("wsr", "hoeffding-bentkus"), ("sgt", "holm", "bonferroni")))


def main(data: Path, work: Path, encoder: str, mllm: str) -> None:
    """Print the error rates and write them as JSON."""
    path = data / "questions.jsonl"
    with open_run(path, work, mllm) as run:
        tables = [outcomes_of(run, split).table for split in ("calibrate", "test")]
    sizes = {name: len(set(tables[0].select(name).units)) for name in sorted(set(tables[0].domains))}
    population = OutcomeTable.join(tables)
    figures = error_rates(population, sizes, RESAMPLES)
    show(figures)
    (work / "validity.json").write_text(json.dumps(figures, indent=1) + "\n")


def worlds(runs: int, out: Path) -> None:
    """Print how often each order of testing leads to a false certificate, and write it as JSON."""
    error = math.sqrt(DELTA * (1 - DELTA) / runs)
    print(f"False certificates in {runs} calibrations, delta = {DELTA} (standard error at most {error:.3f})")
    print(f"{'ids sort':<15}{'order':<22}{'p-value':<10}" + "".join(f"{n:>7}" for n in PATIENTS) + "  patients")
    rows = []
    for (world, draw), (order, sort), name in product(WORLDS.items(), ORDERS.items(), ORDERED):
        rates = [false_rate(name, ordered_losses(draw, sort, n, runs, SEED)) for n in PATIENTS]
        rows.append({"world": world, "order": order, "p-value": name, "patients": PATIENTS, "false": rates})
        print(f"{world:<15}{order:<22}{name:<10}" + "".join(f"{rate:>7.3f}" for rate in rates), flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"runs": runs, "delta": DELTA, "alpha": ALPHA, "rows": rows}, indent=1) + "\n")


def false_rate(p_value: str, losses: FloatArray) -> float:
    """Share of the runs of ``losses`` [runs, patients, 1] that are certified at `DELTA`."""
    return float(np.mean(P_VALUES[p_value](losses, ALPHA, np.array([DELTA])) <= DELTA))


def error_rates(population: OutcomeTable, sizes: dict[str, int], resamples: int) -> list[dict[str, Any]]:
    """How often each method named a policy that is not valid, or any policy at all, at each alpha.

    Parameters
    ----------
    population
        Outcomes whose mean per policy is the truth.
    sizes
        Patients to draw of each domain, with replacement.
    resamples
        Calibrations of each method and alpha.
    """
    grid = PolicyGrid(population.max_k, taus=TAUS)
    rows = []
    for alpha in hard_alphas(population, sizes):
        tested = {name: tested_means(population.select(name), grid, alpha) for name in sizes}
        invalid = {name: values.mean(axis=0) > alpha for name, values in tested.items()}
        for p_value, procedure in METHODS:
            family = HypothesisFamily(alpha, DELTA, grid, list(sizes), procedure, p_value, None)
            rng = np.random.default_rng(SEED)
            wrong = some = 0
            for _ in range(resamples):
                drawn = [resample(tested[name], size, rng) for name, size in sizes.items()]
                _, certified = family.test(drawn)
                wrong += any((certified[row] & invalid[name]).any() for row, name in enumerate(sizes))
                some += bool(certified.any())
            rows.append(
                {
                    "alpha": alpha,
                    "p-value": p_value,
                    "procedure": procedure,
                    "resamples": resamples,
                    "invalid policies": int(sum(bad.sum() for bad in invalid.values())),
                    "wrong": wrong / resamples,
                    "certified": some / resamples,
                    "bound": DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / resamples),
                }
            )
    return rows


def tested_means(part: OutcomeTable, grid: PolicyGrid, alpha: float) -> FloatArray:
    """What is tested of each patient of one domain, ``[patients, policies]``: its mean at most alpha if the risk is."""
    return mean_per_unit(grid.read(part).tested(alpha), part.units)[0]


def resample(values: FloatArray, size: int, rng: np.random.Generator) -> FloatArray:
    """So many rows of ``values`` [patients, policies], drawn with replacement."""
    drawn: FloatArray = values[rng.integers(len(values), size=size)]
    return drawn


def hard_alphas(population: OutcomeTable, sizes: dict[str, int]) -> list[float]:
    """For each domain an alpha just below the risk of its best policy, where a certificate there is an error."""
    grid = PolicyGrid(population.max_k)
    best = []
    for name in sizes:
        risks = tested_means(population.select(name), grid, 0.5).mean(axis=0)
        best.append(math.floor(1000 * float(risks.min())) / 1000)
    return sorted(set(best))


def show(figures: Sequence[dict[str, Any]]) -> None:
    """Print a table."""
    print(f"{'alpha':<8}{'p-value':<20}{'procedure':<12}{'invalid':>8}{'wrong':>8}{'bound':>8}{'certified':>11}")
    for row in figures:
        print(
            f"{row['alpha']:<8}{row['p-value']:<20}{row['procedure']:<12}{row['invalid policies']:>8}"
            f"{row['wrong']:>8.3f}{row['bound']:>8.3f}{row['certified']:>11.3f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--worlds", action="store_true")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--work", type=Path, default=Path("bench"))
    parser.add_argument("--encoder", default="local-dir:samples/models/encoder")
    parser.add_argument("--mllm", default="samples/models/mllm")
    given = parser.parse_args()
    if given.worlds or given.data is None:
        worlds(given.runs, given.work / "worlds.json")
    if given.data is not None:
        main(given.data, given.work, given.encoder, given.mllm)
