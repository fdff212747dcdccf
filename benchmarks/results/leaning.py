"""How far answers lean on reports: policies without training, preference training alone, and both together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import lines
from benchmarks.policies import shares
from benchmarks.results.archive import Archive
from benchmarks.results.measures import Bootstrap, Estimate, Numbers
from benchmarks.results.pairs import CHOICES, mining_options, training_settings
from benchmarks.results.system import MAX_K, Answered, Models, answer_splits, open_run
from calibration import BLENDS, OutcomeTable, Policy, PolicyGrid
from preference import PreferencePair, mine_run, read_pairs, train_adapter, write_pairs
from rag import right_answers
from rag.outcomes.calibrate import GATES
from rag.report.words import policy_name
from titrate import hash_json

EVERYWHERE = "all domains"
Figures = dict[str, list[dict[str, Any]]]
RELATIVE = ("over-reliance", "harm")
"""Whose changes are shares of what they were; those of the others are differences."""


def after_training(archive: Archive, models: Models, index: Path, seed: int, name: str) -> Answered:
    """Mine pairs of a choice on `prefer`, train an adapter on them, and answer `calibrate` and `test` with it.

    Nothing is known of the trained model on `prefer`: it has seen the answers there.

    Raises
    ------
    InputError
        If no pair is found.
    """
    options = mining_options(CHOICES[name])
    with open_run(archive, models, index) as run:
        made_of = [run.system.fingerprints, archive.digest, MAX_K, name, repr(options)]
        path = models.work / "pairs" / f"{archive.world}-{name}-{hash_json(made_of)[:12]}.jsonl"
        if not path.exists():
            found = mine_run(run, "prefer", options, out_of_domain="accept").pairs
            path.parent.mkdir(parents=True, exist_ok=True)
            write_pairs(found, path, root=archive.root)
    pairs: list[PreferencePair] = read_pairs(path, root=archive.root)
    settings = training_settings(seed)
    key = hash_json([path.name, settings.describe()])[:12]
    adapter = models.work / "adapters" / f"{archive.world}-{name}-{key}-seed{seed}"
    if not (adapter / "adapter_config.json").exists():  # moved there last
        with lines("training") as progress:
            train_adapter(pairs, models.mllm, adapter, settings, progress=progress)
    with open_run(archive, models, index, adapter) as run:
        return answer_splits(run, archive, ("calibrate", "test"))


def leaning(before: Sequence[OutcomeTable], after: Mapping[str, Sequence[OutcomeTable]]) -> Figures:
    """Over-reliance, harm, help and accuracy of each policy that reads K reports, and changes from just reading them.

    Parameters
    ----------
    before
        Outcomes of `test` of each seed.
    after
        The same of models trained on a choice of pairs, by its name.

    Returns
    -------
    dict
        By domain, and for all of them, rows by policy and training. Measures of a trained model are against its own
        answers without reports.
    """
    domains = [EVERYWHERE, *sorted({name for table in before for name in table.domains})]
    found = {}
    for domain in domains:
        held = [seed for seed, table in enumerate(before) if domain in (EVERYWHERE, *table.domains)]
        trained = {name: [_of(tables[seed], domain) for seed in held] for name, tables in after.items()}
        found[domain] = _rows([_of(before[seed], domain) for seed in held], trained)
    return found


def _rows(before: Sequence[OutcomeTable], after: Mapping[str, Sequence[OutcomeTable]]) -> list[dict[str, Any]]:
    drawn = [Bootstrap(table.units).weights for table in before]
    base = [_measures(table, Policy(table.max_k), draws) for table, draws in zip(before, drawn, strict=True)]
    grid = _grid(before[0])
    rows = []
    for name, tables in (("", before), *after.items()):
        for policy in (one for one in grid.policies if one.k == grid.max_k):
            found = [_measures(table, policy, draws) for table, draws in zip(tables, drawn, strict=True)]
            row: dict[str, Any] = {"policy": policy_name(policy), "pairs": name}
            for what in base[0]:
                row[what] = Estimate.over([one[what] for one in found]).to_json()
                changes = [_change(what, one[what], then[what]) for one, then in zip(found, base, strict=True)]
                row[f"{what} change"] = Estimate.over(changes).to_json()
            rows.append(row)
    return rows


def _change(name: str, now: Numbers, then: Numbers) -> Numbers:
    if name not in RELATIVE:
        return now - then
    change: Numbers = np.divide(now, then, out=np.full(len(now), np.nan), where=then > 0) - 1
    return change


def _measures(table: OutcomeTable, policy: Policy, draws: Numbers) -> dict[str, Numbers]:
    grid = _grid(table)
    right = grid.read(table).losses[:, grid.policies.index(policy)] < 0.5
    return shares(right, right_answers(table)[:, 0], draws)


def _grid(table: OutcomeTable) -> PolicyGrid:
    known = table.choices is not None and None not in table.choices
    return PolicyGrid(table.max_k, blends=BLENDS if known else (), gates=GATES if known else ())


def _of(table: OutcomeTable, domain: str) -> OutcomeTable:
    return _sorted(table if domain == EVERYWHERE else table.select(domain))


def _sorted(table: OutcomeTable) -> OutcomeTable:
    """By the questions' ids, so that each draw takes the same patients in every seed."""
    ids = table.question_ids
    return table.take(sorted(range(len(ids)), key=lambda row: ids[row]))
