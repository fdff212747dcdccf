"""Blends and gates beside fixed k on the research data, and the smallest alpha that each method certifies.

    python -m benchmarks.policies --data ../shared/data --work bench

On `test`: over-reliance, harm, help and accuracy of each policy, and their differences from reading all K reports, on
the same questions, with 95 % intervals from a bootstrap over patients. On `calibrate`: the smallest alpha, in steps of
0.01, at which anything is certified in a domain that is calibrated by itself, with the tests and policies of today and
with those before. Each alpha is a look of its own, so these are no promises; they compare methods.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.models import open_run
from calibration import BLENDS, FINGERPRINTS, OutcomeTable, Policy, PolicyGrid, certify, order_of_testing
from indexing import Encoder, build_index
from rag import QuestionRun

GATES, DRAWS, SEED, DELTA = (0.7, 0.8), 2000, 0, 0.1
DUMMY = dict.fromkeys(FINGERPRINTS, "smallest alpha")
BEFORE, NOW = "WSR + SGT, k alone", "STaR + closed-e, with blends and a gate"

Numbers = NDArray[np.float64]


def main(data: Path, work: Path, patients: int, encoder: str, mllm: str) -> None:
    """Print both tables and write them as JSON."""
    work.mkdir(parents=True, exist_ok=True)
    build_index(data / "corpus.jsonl", work / "index", Encoder.open(encoder))
    with open_run(data / "questions.jsonl", work, mllm) as run:
        figures: dict[str, Any] = {"patients": patients, "seed": SEED, "policies": leaning(some(run, "test", patients))}
        for row in figures["policies"]:
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        figures["alphas"] = smallest_alphas(some(run, "calibrate", patients))
        print(json.dumps(figures["alphas"], indent=1))
    (work / "policies.json").write_text(json.dumps(figures, indent=1) + "\n")


def some(run: QuestionRun, split: str, patients: int) -> OutcomeTable:
    """Outcomes of the closed questions of so many patients of each domain, the first by the hash of their ids."""
    found = run.retrieve(run.read(split), "accept")
    kept: set[tuple[str, str]] = set()
    for domain in sorted(set(found.domains)):
        units = sorted({q.unit for q, name in zip(found.questions, found.domains, strict=True) if name == domain})
        kept.update((domain, units[row]) for row in order_of_testing(units)[:patients])
    rows = [
        row
        for row, (question, domain) in enumerate(zip(found.questions, found.domains, strict=True))
        if (domain, question.unit) in kept
    ]
    return run.score(found.take(rows)).table


def leaning(table: OutcomeTable) -> list[dict[str, Any]]:
    """A row for each policy: what it came to, and how it differs from reading K reports."""
    grid = PolicyGrid(table.max_k, blends=BLENDS, gates=GATES)
    right = grid.read(table).losses < 0.5
    units = sorted(set(table.units))
    place = {unit: number for number, unit in enumerate(units)}
    of = np.array([place[unit] for unit in table.units])
    counts = np.random.default_rng(SEED).multinomial(len(units), [1 / len(units)] * len(units), size=DRAWS)
    draws = np.vstack([np.ones(len(units)), counts])[:, of].astype(np.float64)  # the first is the sample itself
    alone, all_read = right[:, 0], shares(right[:, grid.policies.index(Policy(table.max_k))], right[:, 0], draws)
    rows = []
    for column, policy in enumerate(grid.policies):
        row: dict[str, Any] = {"policy": repr(policy), "questions": len(of), "patients": len(units)}
        for name, values in shares(right[:, column], alone, draws).items():
            low, high = np.nanquantile(values[1:] - all_read[name][1:], [0.025, 0.975])
            row[name] = round(float(values[0]), 3)
            row[f"{name} against K"] = [round(float(low), 3), round(float(high), 3)]
        rows.append(row)
    return rows


def shares(right: NDArray[np.bool_], alone: NDArray[np.bool_], draws: Numbers) -> dict[str, Numbers]:
    """Each measure ``[draws]``, given how often each question was drawn, ``[draws, questions]``."""

    def share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> Numbers:
        with np.errstate(invalid="ignore"):
            return np.asarray((draws @ (of & among)) / (draws @ among), dtype=np.float64)

    every = np.ones_like(right)
    return {
        "over-reliance": share(alone, ~right),
        "harm": share(~right, alone),
        "help": share(right, ~alone),
        "accuracy": share(right, every),
    }


def smallest_alphas(table: OutcomeTable) -> dict[str, dict[str, Any]]:
    """By domain and method; None where nothing is certified at 0.6."""
    found: dict[str, dict[str, Any]] = {}
    for domain in sorted(set(table.domains)):
        part = table.select(domain)
        found[domain] = {"patients": len(set(part.units))}
        for method, settings in (
            (BEFORE, {"procedure": "sgt", "p_value": "wsr"}),
            ("STaR + closed-e, k alone", {}),
            (NOW, {"blends": BLENDS, "gates": (0.8,)}),
        ):
            certified = (
                alpha
                for alpha in np.arange(1, 61) / 100
                if certify(part, alpha=alpha, delta=DELTA, fingerprints=DUMMY, **settings).certified_domains
            )
            found[domain][method] = next(certified, None)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("bench"))
    parser.add_argument("--patients", type=int, default=100, help="of each domain and split")
    parser.add_argument("--encoder", default="local-dir:samples/models/encoder")
    parser.add_argument("--mllm", default="samples/models/mllm")
    given = parser.parse_args()
    main(given.data, given.work, given.patients, given.encoder, given.mllm)
