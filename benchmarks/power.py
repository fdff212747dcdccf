"""How likely each method is to certify anything, rightly or wrongly, and what stopping early saves.

    python -m benchmarks.power --out bench/power.json

Simulated patients of known risk, seeded; the same patients for every method. RULE's method is Hoeffding–Bentkus with
Bonferroni. The prior comes from 300 further patients, as a `prefer` split would give it.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration import HypothesisFamily, OutcomeTable, PolicyGrid, SequentialCertifier, closed_betting
from calibration.checks import FloatArray

ALPHA, DELTA, SEED = 0.2, 0.1, 0
SIZES = (50, 100, 200, 400, 800)
PREFER, CHUNK = 300, 20


@dataclass(frozen=True)
class World:
    """Patients of one domain.

    Attributes
    ----------
    risks
        Of each k = 0, 1, ….
    shared
        The chance that one draw decides about an answer at all k, as a model's own mistakes do.
    questions, correlation
        Questions a patient, and how far two of them agree.
    """

    risks: tuple[float, ...]
    shared: float = 1.0
    questions: int = 1
    correlation: float = 0.0


U = (0.25, 0.2, 0.14, 0.12, 0.14, 0.2, 0.2, 0.22, 0.25)
WORLDS = {
    "U, best 0.12": World(U),
    "U, five questions a patient": World(U, questions=5, correlation=0.3),
    "all k alike, 0.12": World((0.12,) * 9, shared=0.8),
    "null: all k at alpha": World((ALPHA,) * 9, shared=0.8),
    "null: all k at alpha, apart": World((ALPHA,) * 9, shared=0.0),
    "null: alpha and above": World((0.2, 0.21, 0.22, 0.25, 0.3, 0.25, 0.22, 0.21, 0.2)),
    "null: five questions": World((ALPHA,) * 9, questions=5, correlation=0.3),
}
"""In the last four every certificate is false."""
METHODS = {
    "HB + Bonferroni (RULE)": ("hoeffding-bentkus", "bonferroni", False),
    "WSR + SGT": ("wsr", "sgt", False),
    "STaR + SGT": ("star", "sgt", False),
    "STaR + closed-e": ("star", "closed-e", False),
    "binomial + SGT": ("binomial", "sgt", False),
    "WSR + SGT, prior": ("wsr", "sgt", True),
    "STaR + closed-e, prior": ("star", "closed-e", True),
    "binomial + SGT, prior": ("binomial", "sgt", True),
}
"""The default is STaR with closed-e, binomial with SGT where every patient has one question with options; up to 0.1.0
it was WSR with SGT."""


def main(runs: int, out: Path) -> None:
    """Print both tables and write them as JSON."""
    figures: dict[str, Any] = {"alpha": ALPHA, "delta": DELTA, "runs": runs, "seed": SEED, "power": {}}
    for name, world in WORLDS.items():
        figures["power"][name] = power(world, runs)
        print(f"\nChance to certify at least one of {len(world.risks)} policies, {name} (standard error at most "
              f"{0.5 / runs**0.5:.3f})\n{'patients':<30}" + "".join(f"{n:>7}" for n in SIZES))  # fmt: skip
        for method, row in figures["power"][name].items():
            print(f"{method:<30}" + "".join(f"{chance:>7.3f}" for chance in row), flush=True)
    figures["early stopping"] = [
        saving(alpha, patients, share, runs // 10, informed=informed)
        for informed in (False, True)
        for alpha in (0.1, 0.2)
        for patients in (400, 1000)
        for share in (0.5, 0.25, 1.5)
    ]
    print("\nQuestions saved by stopping early, 11 policies, the best at a share of alpha")
    print(f"{'prior':<9}{'alpha':<7}{'patients':<10}{'best risk':<11}{'saved':<7}{'least 90 %':<12}certified")
    for row in figures["early stopping"]:
        print(f"{row['prior']:<9}{row['alpha']:<7}{row['patients']:<10}{row['best risk']:<11.3g}{row['saved']:<7.2f}"
              f"{row['saved in nine of ten']:<12.2f}{row['certified']:.2f}")  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=1) + "\n")


def draw(world: World, runs: int, patients: int, rng: np.random.Generator) -> FloatArray:
    """0/1 losses ``[runs, patients, questions, k]``."""
    truth = np.array(world.risks)
    shape = (runs, patients, world.questions, len(truth))
    chance = np.broadcast_to(truth, (runs, patients, 1, len(truth)))
    if world.correlation:
        spread = 1 / world.correlation - 1
        chance = rng.beta(truth * spread, (1 - truth) * spread, chance.shape)
    own, common = rng.random(shape), rng.random((*shape[:-1], 1))
    return (np.where(rng.random(shape) < world.shared, common, own) < chance).astype(np.float64)


def table_of(losses: FloatArray, questions: int, split: str) -> OutcomeTable:
    """One domain's outcomes, so many questions a patient."""
    rows = range(len(losses))
    return OutcomeTable(
        question_ids=[f"{split} {row}" for row in rows],
        units=[f"{split} {row // questions:06}" for row in rows],
        domains=["radiology"] * len(losses),
        losses=losses,
        confidences=np.ones_like(losses),
        answers=[[""] * losses.shape[1]] * len(losses),
    )


def power(world: World, runs: int) -> dict[str, list[float]]:
    """Share of the runs in which each method certified something, at each of `SIZES`."""
    rng, grid = np.random.default_rng(SEED), PolicyGrid(len(world.risks) - 1)
    single = world.questions == 1
    methods = {name: method for name, method in METHODS.items() if single or method[0] != "binomial"}
    found = {method: np.zeros(len(SIZES)) for method in methods}
    for _ in range(runs // CHUNK):
        elsewhere = draw(world, 1, PREFER, rng).reshape(-1, len(world.risks))
        prefer = table_of(elsewhere, world.questions, "prefer")
        means = draw(world, CHUNK, max(SIZES), rng).mean(axis=2)
        for method, (p_value, procedure, informed) in methods.items():
            family = HypothesisFamily(
                ALPHA, DELTA, grid, ["radiology"], procedure, p_value, prefer if informed else None
            )
            for column, n in enumerate(SIZES):
                found[method][column] += certified(family, means[:, :n])
    return {method: (times / (runs // CHUNK * CHUNK)).tolist() for method, times in found.items()}


def certified(family: HypothesisFamily, means: FloatArray) -> int:
    """In how many of the runs ``[runs, patients, policies]`` anything is certified."""
    if family.procedure == "closed-e":
        tables = (closed_betting([capital], DELTA, family.prior.weights) for capital in family.log_capital(0, means))
        return sum(bool(table.any()) for table in tables)
    return sum(bool(family.certify(row[None]).any()) for row in family.p_values(0, means))


def saving(alpha: float, patients: int, share: float, runs: int, *, informed: bool) -> dict[str, Any]:
    """What a sequential pass over these patients saved, ten patients at a time."""
    rng = np.random.default_rng([SEED, patients, int(1000 * alpha), int(100 * share)])
    world = World(tuple(min(1.0, share * alpha * (1 + abs(k - 4) / 4)) for k in range(11)))
    saved, certified = [], 0
    for _ in range(runs):
        table = table_of(draw(world, 1, patients, rng)[0, :, 0], 1, "calibrate")
        prefer = table_of(draw(world, 1, PREFER, rng)[0, :, 0], 1, "prefer") if informed else None
        row_of = {question: row for row, question in enumerate(table.question_ids)}
        certifier = SequentialCertifier(
            table.question_ids, table.units, table.domains, max_k=10, alpha=alpha, delta=DELTA, prior_outcomes=prefer
        )
        while asked := certifier.next(10):
            certifier.add(table.take([row_of[question] for question in asked]))
        saved.append(certifier.questions_saved / patients)
        certified += bool(certifier.certified["radiology"])
    return {
        "prior": "prefer" if informed else "uniform", "alpha": alpha, "patients": patients,
        "best risk": min(world.risks), "saved": float(np.mean(saved)),
        "saved in nine of ten": float(np.quantile(saved, 0.1)), "certified": certified / runs,
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("bench/power.json"))
    arguments = parser.parse_args()
    main(arguments.runs, arguments.out)
