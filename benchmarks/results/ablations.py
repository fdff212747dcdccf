"""What one thing done otherwise changes: the encoder, the collections, report vectors, the order of reports."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.results.archive import Archive
from benchmarks.results.measures import Bootstrap, Estimate, ratio
from benchmarks.results.system import MAX_K, Answered, Models, answer_splits, index_of, open_run
from rag import Trial
from rag.comparators.without_model import NEAREST, VOTE, WithoutModel
from titrate import read_jsonl, write_atomic

KS = (1, 2, 4, MAX_K)
AS_ABOVE, UNTUNED, ONE, FUSION, REPORTS, LAST = (
    "as above",
    "encoder not tuned",
    "one collection for all domains",
    "report vectors, too (fusion)",
    "report vectors alone",
    "most similar report last",
)

Right = dict[str, NDArray[np.bool_]]


def ablations(
    archive: Archive, models: Models, index: Path, answered: Answered, *, tuned: bool
) -> list[dict[str, Any]]:
    """Accuracy on `test` with each thing done otherwise, for one seed.

    Parameters
    ----------
    index, answered
        As it is done else.
    tuned
        Whether that is with a tuned encoder, beside which the untuned one is worth showing.

    Returns
    -------
    list
        By setting, ``columns`` with ``accuracy`` and its ``difference`` from what is done else, on the same questions.
    """
    found = {AS_ABOVE: _right(answered), **dict(_otherwise(archive, models, index, tuned))}
    order = sorted(answered.outcomes["test"].questions, key=lambda question: question.id)
    return compare_settings(found, [question.unit for question in order])


def compare_settings(found: Mapping[str, Right], units: list[str]) -> list[dict[str, Any]]:
    """Accuracy of each column of each setting, and its difference from the first setting's.

    Parameters
    ----------
    found
        By setting and column, whether each answer is right, ``[n]``.
    units
        The patient of each question.
    """
    boot = Bootstrap(units)
    asked = boot.total(np.ones(len(units)))
    base = next(iter(found.values()))
    return [
        {
            "setting": setting,
            "columns": {
                name: {
                    "accuracy": Estimate.over([ratio(boot.total(right), asked)]).to_json(),
                    "difference": Estimate.over(
                        [ratio(boot.total(right), asked) - ratio(boot.total(base[name]), asked)]
                    ).to_json(),
                }
                for name, right in columns.items()
            },
        }
        for setting, columns in found.items()
    ]


def one_collection(archive: Archive) -> Path:
    """The archive's corpus as if all records were of one domain."""
    path = archive.corpus.with_name("one-collection.jsonl")
    if not path.exists():
        rows = ({**value, "domain": "all"} for _, value in read_jsonl(archive.corpus))
        write_atomic(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), private=True)
    return path


def _otherwise(archive: Archive, models: Models, index: Path, tuned: bool) -> Iterator[tuple[str, Right]]:
    if tuned:
        untuned = index_of(archive, models.encoder, models.work)
        with open_run(archive, models, untuned) as run:
            yield UNTUNED, _right(answer_splits(run, archive, ("test",)))
    with open_run(archive, models, index) as run:
        encoder = run.system.index.manifest.encoder
        last = answer_splits(run, archive, ("test",), best_last=True)
    one = index_of(archive, encoder, models.work, one_collection(archive))
    with open_run(archive, models, one) as run:
        yield ONE, _right(answer_splits(run, archive, ("test",)))
    with open_run(archive, models, index, retrieval="fusion") as run:
        yield FUSION, _right(answer_splits(run, archive, ("test",)))
    with open_run(archive, models, index, retrieval="image-report") as run:
        yield REPORTS, _right(answer_splits(run, archive, ("test",)))
    # At a smaller k it read the least similar of them, which nobody asked for.
    yield LAST, {name: right for name, right in _right(last).items() if name == f"k = {MAX_K}"}


def _right(answered: Answered) -> Right:
    """By column, whether each answer to `test` is right, in the order of the questions' ids."""
    judged = answered.outcomes["test"]
    order = sorted(range(len(judged.questions)), key=lambda row: judged.questions[row].id)
    trial = Trial(judged, known=answered.known, near=answered.near)
    found = {f"k = {k}": judged.table.losses[order, k] < 0.5 for k in KS}
    return found | {name: WithoutModel(name).answer(trial).right(judged)[order] for name in (NEAREST, VOTE)}
