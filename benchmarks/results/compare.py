"""Every comparator on the same questions of `test`: what it gains over no retrieval, and whether it keeps its word."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.results.measures import (
    Bootstrap,
    Estimate,
    Numbers,
    mean_gain,
    ratio,
    realised_risk,
    relative_gains,
)
from rag import Answered, Outcomes
from titrate import InputError

NO_RETRIEVAL = "no retrieval"


def compare(
    seeds: Sequence[tuple[Outcomes, Sequence[Answered]]], sources: Mapping[str, str], alpha: float
) -> list[dict[str, Any]]:
    """Figures of each comparator, over seeds.

    Parameters
    ----------
    seeds
        For each seed the outcomes judged, and what each comparator answered, by the same comparators in one order.
    sources
        Of each question by id.
    alpha
        What certificates promise.

    Returns
    -------
    list
        By comparator: ``accuracy`` of the answers given, ``right`` of all questions, ``difference`` in accuracy from no
        retrieval on the questions answered, ``gain`` (relative, mean over sources), ``answered``, ``contexts``;
        ``sources`` with accuracy and gain in each; ``domains`` with the realised risk, what each seed chose, and in
        how many seeds a promise was made and the measured risk is above alpha; ``note`` where it answers nothing.

    Raises
    ------
    InputError
        If the seeds were asked different questions, or compared differently.
    """
    ids = [sorted(question.id for question in judged.questions) for judged, _ in seeds]
    names = [[one.comparator for one in answered] for _, answered in seeds]
    if any(other != ids[0] for other in ids) or any(other != names[0] for other in names):
        raise InputError("the seeds are not about the same questions and comparators; compare like with like")
    by_id = {question.id: question for question in seeds[0][0].questions}
    boot = Bootstrap([by_id[name].unit for name in ids[0]])
    source = np.array([sources[name] for name in ids[0]])
    bases = [_sorted(judged, answered[names[0].index(NO_RETRIEVAL)])[0] for judged, answered in seeds]
    figures = []
    for place, name in enumerate(names[0]):
        measured = [
            _measure(judged, answered[place], base, source, boot)
            for (judged, answered), base in zip(seeds, bases, strict=True)
        ]
        row: dict[str, Any] = {"comparator": name}
        for what in ("accuracy", "right", "difference", "gain", "answered", "contexts"):
            row[what] = Estimate.over([one[what] for one in measured]).to_json()
        row["sources"] = {
            key: {
                what: Estimate.over([one["sources"][key][what] for one in measured]).to_json()
                for what in ("accuracy", "gain")
            }
            for key in measured[0]["sources"]
        }
        row["domains"] = _domains([one["domains"] for one in measured], [a[place] for _, a in seeds], alpha)
        row["note"] = seeds[0][1][place].note
        figures.append(row)
    return figures


def _sorted(judged: Outcomes, answered: Answered) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Numbers, list[int]]:
    """Whether right and whether answered, contexts read, in the order of the questions' ids; and that order."""
    order = sorted(range(len(judged.questions)), key=lambda row: judged.questions[row].id)
    return (
        answered.right(judged)[order],
        answered.answered[order],
        answered.contexts[order].astype(np.float64),
        order,
    )


def _measure(
    judged: Outcomes, answered: Answered, base: NDArray[np.bool_], source: NDArray[np.str_], boot: Bootstrap
) -> dict[str, Any]:
    right, given, contexts, order = _sorted(judged, answered)
    every = boot.total(np.ones_like(given))
    accuracy = ratio(boot.total(right & given), boot.total(given))
    gains = relative_gains(right, base, given, source, boot)
    domain = np.array([judged.table.domains[row] for row in order])
    return {
        "accuracy": accuracy,
        "right": boot.total(right & given) / every,
        "difference": accuracy - ratio(boot.total(base & given), boot.total(given)),
        "gain": mean_gain(gains),
        "answered": boot.total(given) / every,
        "contexts": ratio(boot.total(contexts * given), boot.total(given)),
        "sources": {
            name: {
                "accuracy": ratio(boot.total(right & given & (source == name)), boot.total(given & (source == name))),
                "gain": gain,
            }
            for name, gain in gains.items()
        },
        "domains": {
            name: realised_risk((~right).astype(np.float64), given, domain == name, boot)
            for name in sorted(set(domain.tolist()))
        },
    }


def _domains(
    risks: Sequence[Mapping[str, Numbers]], answered: Sequence[Answered], alpha: float
) -> dict[str, dict[str, Any]]:
    found = {}
    for name in sorted({name for one in risks for name in one}):
        own = [(one[name], given.choices.get(name)) for one, given in zip(risks, answered, strict=True) if name in one]
        found[name] = {
            "risk": Estimate.over([risk for risk, _ in own]).to_json(),
            "chosen": [None if choice is None else choice.told for _, choice in own],
            "promised": sum(choice is not None and choice.promised for _, choice in own),
            "above": sum(bool(risk[0] > alpha + 1e-12) for risk, _ in own),
            "broken": sum(
                bool(choice is not None and choice.promised and risk[0] > alpha + 1e-12) for risk, choice in own
            ),
        }
    return found
