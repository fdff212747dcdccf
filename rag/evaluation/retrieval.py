"""Retrieval by itself: do the cases found share the finding that is asked about? The modes side by side.

A record is relevant to a closed question if it was asked the same, in the same words or else of the same kind, and the
answer is the same. Records that were never asked count as irrelevant, so the figures compare modes and understate each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from indexing import Encoder, Exclusion, ImageView, Index, Record
from rag.comparators.baselines import Baselines
from rag.evaluation.metrics import Estimate, bootstrap_interval
from rag.evaluation.ranking_scores import NDCG_DEPTH, expected_scores, scores_of
from rag.questions import Question
from rag.retrieval.modes import MODES, RetrievalMode
from rag.retrieval.retriever import SimilarCaseRetriever
from rag.retrieval.routing import route_questions
from titrate import InputError

RANDOM, MEAN = "random records", "mean of domains"
REFERENCE: RetrievalMode = "image-image"


_NOTHING_KNOWN = "no question was also asked of an indexed record; give answered questions of the train split"


@dataclass(frozen=True)
class RetrievalScore:
    """How well one mode finds relevant records in one domain.

    Every figure is averaged per patient, and balanced: the mean of its means over the questions of either answer, since
    one answer is often frequent and so found by chance.

    Attributes
    ----------
    domain, mode
        ``mean of domains`` weighs every domain alike; ``random records`` is what drawing records by lot would give.
    questions, patients
        How many were judged, and of how many patients.
    left_out
        Questions to which no record of another patient in the domain is relevant.
    hit, precision
        At each k: whether any, and the share, of the first k is relevant.
    ndcg
        nDCG at 10 with binary gains (Järvelin and Kekäläinen 2002).
    gain
        ``ndcg`` minus that of image-image, question by question; None where that was not asked for.
    """

    domain: str
    mode: str
    questions: int
    patients: int
    left_out: int
    hit: Mapping[int, Estimate]
    precision: Mapping[int, Estimate]
    ndcg: Estimate
    gain: Estimate | None


def evaluate_retrieval(
    index: Index,
    encoder: Encoder,
    questions: Sequence[Question],
    known: Sequence[Question],
    modes: Sequence[RetrievalMode] = MODES,
    ks: Sequence[int] = (1, 2, 4, 8),
    *,
    view: ImageView | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[RetrievalScore]:
    """Judge what each mode retrieves for closed questions, per routed domain.

    Parameters
    ----------
    index, encoder
        The encoder must be the index's own.
    questions
        Closed questions, not of indexed patients.
    known
        Answered questions of the indexed records, which say what is relevant.
    modes
        To compare.
    ks
        Of hit@k and precision@k.
    view
        Of the questions' images; by default as the index's images were decoded.
    seed
        Of the bootstrap.
    progress
        Told how many questions are done, and how many there are.

    Raises
    ------
    InputError
        If an image cannot be read, the encoder is another one, or no question can be judged.
    """
    if not known:
        raise InputError(_NOTHING_KNOWN)
    judge, limit = RelevanceJudge(index, known), max(NDCG_DEPTH, *ks)
    retrievers = {mode: SimilarCaseRetriever(index, encoder, limit, mode) for mode in modes}
    judged: list[Judged] = []
    done, left_out = 0, dict.fromkeys(index.domains, 0)
    for part in route_questions(index, encoder, questions, view):
        texts = [question.text for question in part.questions]
        found = {
            mode: retriever.similar(part.vectors, part.domains, part.exclusions, limit, texts, part.copies)
            for mode, retriever in retrievers.items()
        }
        for row, (question, domain) in enumerate(zip(part.questions, part.domains, strict=True)):
            relevant, size = judge.relevant(question, domain, part.vectors[row])
            if not relevant:
                left_out[domain] += 1
                continue
            scores: dict[str, tuple[float, ...]] = {RANDOM: expected_scores(len(relevant), size, ks)}
            for mode, rows in found.items():
                hits = [match.record.id in relevant for match in rows[row]]
                scores[mode] = scores_of(hits, len(relevant), ks)
            judged.append(Judged(domain, question.answer, question.unit, scores))
        done += len(part.questions)
        if progress is not None:
            progress(done, len(questions))
    if not judged:
        raise InputError(_NOTHING_KNOWN)
    domains = sorted({item.domain for item in judged})
    parts = [(domain, [item for item in judged if item.domain == domain], left_out[domain]) for domain in domains]
    if len(domains) > 1:
        parts.append((MEAN, judged, sum(left_out.values())))
    return [_row(*part, mode, ks, seed) for part in parts for mode in (RANDOM, *modes)]


def format_retrieval(rows: Sequence[RetrievalScore]) -> str:
    """The rows as a plain table, a domain after the other."""
    if not rows:
        return "no domain, no figures"
    ks = list(rows[0].precision)
    heads = [f"{'domain':<16}{'retrieval':<17}{'n':>6}", *(f"{f'P@{k}':>7}" for k in ks)]
    heads += [f"{f'hit@{ks[-1]}':>8}{'nDCG@10':>9}{'95 % interval':>17}", f"  over {REFERENCE}"]
    lines = ["".join(heads)]
    for row in rows:
        cells = [f"{row.domain:<16}{row.mode:<17}{row.questions:>6}"]
        cells += [f"{row.precision[k].value:>7.3f}" for k in ks]
        interval = f"{row.ndcg.low:.3f} to {row.ndcg.high:.3f}"
        cells.append(f"{row.hit[ks[-1]].value:>8.3f}{row.ndcg.value:>9.3f}{interval:>17}")
        if row.gain is not None and row.mode != REFERENCE:
            cells.append(f"  {row.gain.value:+.3f} ({row.gain.low:+.3f} to {row.gain.high:+.3f})")
        lines.append("".join(cells))
    for domain, group in groupby(rows, key=lambda row: row.domain):
        left_out = next(group).left_out
        if left_out and domain != MEAN:
            lines.append(f"{domain}: {left_out} questions left out, to which no indexed record is relevant")
    return "\n".join(lines)


@dataclass(frozen=True)
class Judged:
    """A question's place in the averages, and for each mode what `scores_of` says."""

    domain: str
    answer: str
    patient: str
    scores: Mapping[str, tuple[float, ...]]


class RelevanceJudge:
    """Says which indexed records are relevant to a question, from what is known of them.

    Parameters
    ----------
    index
        Holds the records.
    known
        Answered questions of them.
    """

    def __init__(self, index: Index, known: Sequence[Question]) -> None:
        self._index, self._known = index, Baselines(known)
        self._records: dict[str, list[Record]] = {}
        self._answers: dict[tuple[str, str, str | None], dict[str, str]] = {}

    def relevant(self, question: Question, domain: str, vector: NDArray[np.float32]) -> tuple[set[str], int]:
        """Ids of the relevant records of other patients in the domain, and how many records of others it holds."""
        if domain not in self._records:
            # Nothing lists a collection; any query with room for all of it does.
            everything = self._index.search(domain, vector[None], self._index.manifest.domains[domain])[0]
            self._records[domain] = [match.record for match in everything]
        key = (domain, question.text, question.kind)
        if key not in self._answers:
            said = {record.id: self._known.answer_of(record.id, question) for record in self._records[domain]}
            self._answers[key] = {name: answer for name, answer in said.items() if answer is not None}
        named = self._index.recognise(Exclusion(question.record, question.study, question.patient))
        own = {record.id for record in self._records[domain] if _is_own(record, named)}
        agreeing = {name for name, answer in self._answers[key].items() if answer == question.answer}
        return agreeing - own, len(self._records[domain]) - len(own)


def _is_own(record: Record, own: Exclusion) -> bool:
    pairs = ((record.id, (own.record_id,)), (record.study, own.studies), (record.patient, own.patients))
    return any(theirs is not None and theirs in given for theirs, given in pairs)


def _row(
    domain: str, judged: Sequence[Judged], left_out: int, mode: str, ks: Sequence[int], seed: int
) -> RetrievalScore:
    scores = np.array([item.scores[mode] for item in judged])
    figures = [balanced(column, judged, seed) for column in scores.T]
    gain = None
    if REFERENCE in judged[0].scores:
        reference = np.array([item.scores[REFERENCE][-1] for item in judged])
        gain = balanced(scores[:, -1] - reference, judged, seed)
    patients = len({item.patient for item in judged})
    hit, precision = (dict(zip(ks, figures[start:], strict=False)) for start in (0, len(ks)))
    return RetrievalScore(domain, mode, len(judged), patients, left_out, hit, precision, figures[-1], gain)


def balanced(values: NDArray[np.float64], judged: Sequence[Judged], seed: int) -> Estimate:
    """Mean over domains of the mean over answers of the mean over patients of the mean over their questions.

    Parameters
    ----------
    values
        One a question, [n].
    judged
        The questions.
    seed
        Of the bootstrap.

    Returns
    -------
    Estimate
        The interval is exact to first order: the bootstrap draws patients by what each contributes to the mean.
    """
    of_patient: dict[tuple[str, str], dict[str, list[float]]] = {}
    for value, item in zip(values.tolist(), judged, strict=True):
        of_patient.setdefault((item.domain, item.answer), {}).setdefault(item.patient, []).append(value)
    domains = [domain for domain, _ in of_patient]
    cells = {cell: [fmean(own) for own in patients.values()] for cell, patients in of_patient.items()}
    weights = {cell: 1 / (len(set(domains)) * domains.count(cell[0])) for cell in cells}
    mean = sum(weights[cell] * fmean(means) for cell, means in cells.items())
    entries = sum(map(len, cells.values()))
    parts = [
        mean + (value - fmean(means)) * weights[cell] * entries / len(means)
        for cell, means in cells.items()
        for value in means
    ]
    patients = [patient for own in of_patient.values() for patient in own]
    return Estimate(mean, *bootstrap_interval(np.array(parts), patients, seed=seed))
