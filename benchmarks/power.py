"""How likely each method is to certify anything, against the number of patients, and what stopping early saves.

    python -m benchmarks.power --out bench/power.json

Simulated patients of known risk, seeded; the same patients for every method. RULE's method is Hoeffding–Bentkus with
Bonferroni. The prior comes from 300 further patients, as a `prefer` split would give it.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calibration import HypothesisFamily, OutcomeTable, PolicyGrid, SequentialCertifier
from calibration.checks import FloatArray

ALPHA, DELTA, SEED = 0.2, 0.1, 0
SIZES = (50, 100, 200, 300, 400, 600, 800, 1000, 1500)
PREFER = 300
RISKS = (0.25, 0.2, 0.17, 0.15, 0.14, 0.15, 0.17, 0.2, 0.22, 0.24, 0.25)
"""U-shaped over k = 0..10, the best not far below alpha, which is where methods differ."""
WORLDS = {"one question a patient": (1, 0.0), "five questions a patient, correlation 0.3": (5, 0.3)}
RULE, BONFERRONI, PRIOR = "HB + Bonferroni (RULE)", "WSR + Bonferroni", "WSR + SGT, prior from prefer"
METHODS = {
    RULE: ("hoeffding-bentkus", "bonferroni", False),
    BONFERRONI: ("wsr", "bonferroni", False),
    "WSR + Holm": ("wsr", "holm", False),
    "WSR + SGT, uniform": ("wsr", "sgt", False),
    "HB + SGT, prior from prefer": ("hoeffding-bentkus", "sgt", True),
    PRIOR: ("wsr", "sgt", True),
}


def main(runs: int, out: Path) -> None:
    """Print both tables and write them as JSON."""
    figures: dict[str, Any] = {"alpha": ALPHA, "delta": DELTA, "risks": RISKS, "runs": runs, "seed": SEED}
    figures["power"] = {name: power(questions, correlation, runs) for name, (questions, correlation) in WORLDS.items()}
    for name, table in figures["power"].items():
        print(f"\nChance to certify at least one of {len(RISKS)} policies, {name} (standard error at most "
              f"{0.5 / runs**0.5:.3f})\n{'patients':<30}" + "".join(f"{n:>7}" for n in SIZES))  # fmt: skip
        for method, row in table.items():
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


def draw(
    risks: Sequence[float], patients: int, questions: int, correlation: float, rng: np.random.Generator
) -> FloatArray:
    """0/1 losses ``[patients * questions, k]``, correlated within a patient and across k."""
    truth = np.array(risks)
    chance = np.broadcast_to(truth, (patients, len(truth)))
    if correlation:
        spread = 1 / correlation - 1
        chance = rng.beta(truth * spread, (1 - truth) * spread, chance.shape)
    losses = rng.random((patients, questions, 1)) < chance[:, None]
    return losses.reshape(-1, len(truth)).astype(np.float64)


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


def power(questions: int, correlation: float, runs: int) -> dict[str, list[float]]:
    """Share of the runs in which each method certified something, at each of `SIZES`."""
    rng, grid = np.random.default_rng(SEED), PolicyGrid(len(RISKS) - 1)
    found = {method: np.zeros(len(SIZES)) for method in METHODS}
    for _ in range(runs):
        prefer = table_of(draw(RISKS, PREFER, questions, correlation, rng), questions, "prefer")
        losses = draw(RISKS, max(SIZES), questions, correlation, rng)
        means = losses.reshape(-1, questions, len(RISKS)).mean(axis=1)
        for method, (p_value, procedure, informed) in METHODS.items():
            family = HypothesisFamily(
                ALPHA, DELTA, grid, ["radiology"], procedure, p_value, prefer if informed else None
            )
            for column, n in enumerate(SIZES):
                found[method][column] += family.certify(family.p_values(0, means[:n])[None]).any()
    return {method: (times / runs).tolist() for method, times in found.items()}


def saving(alpha: float, patients: int, share: float, runs: int, *, informed: bool) -> dict[str, Any]:
    """What a sequential pass over these patients saved, ten patients at a time."""
    rng = np.random.default_rng([SEED, patients, int(1000 * alpha), int(100 * share)])
    risks = [min(1.0, share * alpha * (1 + abs(k - 4) / 4)) for k in range(11)]
    saved, certified = [], 0
    for _ in range(runs):
        table = table_of(draw(risks, patients, 1, 0.0, rng), 1, "calibrate")
        prefer = table_of(draw(risks, PREFER, 1, 0.0, rng), 1, "prefer") if informed else None
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
        "best risk": min(risks), "saved": float(np.mean(saved)),
        "saved in nine of ten": float(np.quantile(saved, 0.1)), "certified": certified / runs,
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("bench/power.json"))
    arguments = parser.parse_args()
    main(arguments.runs, arguments.out)
