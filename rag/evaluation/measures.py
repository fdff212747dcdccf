"""Every figure of a set of answers, over questions and over patients, with intervals from a bootstrap over patients."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.judged import RIGHT_BELOW, Flags, Judged, Numbers, leaning
from rag.evaluation.metrics import Estimate
from rag.outcomes.losses import token_loss
from rag.questions import option_key
from rag.yes_no import says_yes

ROUNDS, BINS = 1000, 15
_CELLS = 4_000_000
"""Weights in memory at a time: 32 MB."""


@dataclass(frozen=True)
class Bin:
    """Answers given with about the same probability.

    Attributes
    ----------
    answers, probability, right
        How many, the mean of their probabilities, and the share that is right.
    """

    answers: int
    probability: float
    right: float


@dataclass(frozen=True)
class Measures:
    """All figures of one policy on some questions.

    Attributes
    ----------
    questions, patients, answered
        How many were asked, of how many patients, and how many got an answer.
    positive
        What precision, recall and F1 are about: ``"yes"`` where every question is answered by yes or no, else
        ``"macro"``, the mean over the answers that occur as references; ``"open"`` where there are no options.
    by_question
        By name, see `FIGURES`; every question counts once. None where there is no such figure: of no questions, of one
        class only, or where it was not measured.
    by_patient
        The same, every patient counting once: a question weighs one over the number of its patient's questions.
    bins
        The bins of the calibration error that hold answers, by rising probability, every question counting once; None
        where answers have no probabilities.
    """

    questions: int
    patients: int
    answered: int
    positive: str
    by_question: dict[str, Estimate | None]
    by_patient: dict[str, Estimate | None]
    bins: tuple[Bin, ...] | None = None


FIGURES = {
    "coverage": "share of questions answered; all else is about these",
    "accuracy": "share of right answers",
    "balanced_accuracy": "mean of the recalls of the answers that occur",
    "precision": "of the answers yes, the share that is right",
    "recall": "of the questions whose answer is yes, the share answered so",
    "f1": "harmonic mean of precision and recall",
    "auroc": "chance that a yes has a higher probability of yes than a no; yes or no only",
    "calibration_error": "expected calibration error: 15 equal bins of the probability of the answer given",
    "over_reliance": "of the wrong answers, the share that is right without contexts",
    "harm": "of those right without contexts, the share that is wrong",
    "help": "of those wrong without contexts, the share that is right",
    "exact_match": "open questions: share of answers that are the reference, but for case, spaces and a full stop",
    "token_f1": "open questions: mean F1 over the words of answer and reference",
    "copy_rate": "share of right answers when the image is noise and the contexts are the clean image's",
    "blind_accuracy": "share of right answers when the image is noise and there are no contexts",
    "mean_k": "contexts read",
    "prompt_tokens": "text tokens of the longest prompt read",
}
"""Each figure, and what it is."""


def measure_judged(judged: Judged, *, seed: int = 0, rounds: int = ROUNDS) -> Measures:
    """Measure answers in every way of `FIGURES`, each with a 95 % percentile interval.

    Parameters
    ----------
    judged
        The answers.
    seed, rounds
        Of the bootstrap, which draws patients with all their questions. A draw that has no such figure is left out.
    """
    units = [question.unit for question in judged.questions]
    sizes = Counter(units)
    shares = np.array([1 / sizes[unit] for unit in units])
    read = _Reading(judged)
    both: list[dict[str, Estimate | None]] = []
    for weights in (np.ones(len(units)), shares):
        drawn: dict[str, list[Numbers]] = {}
        for block in _draws(units, seed, rounds):
            for name, values in read.figures(block * weights).items():
                drawn.setdefault(name, []).append(values)
        both.append({name: _estimate(np.concatenate(drawn[name])) if name in drawn else None for name in FIGURES})
    answered = sum(answer is not None for answer in judged.answers)
    positive = "open" if judged.losses is not None else "yes" if read.says_yes is not None else "macro"
    return Measures(len(units), len(sizes), answered, positive, both[0], both[1], read.bins())


def measure_groups(
    judged: Judged, domains: Sequence[str], *, seed: int = 0, rounds: int = ROUNDS
) -> list[tuple[str | None, str | None, Measures]]:
    """Measure answers in each domain, of each source, and all together: ``(domain, source, measures)``.

    Parameters
    ----------
    judged
        The answers.
    domains
        Where each question was routed, ``[n]``.
    seed, rounds
        As for `measure_judged`.
    """
    sources = [question.source for question in judged.questions]
    named: list[tuple[str | None, str | None]] = [(domain, None) for domain in sorted(set(domains))]
    named += [(None, source) for source in sorted({source for source in sources if source})]
    found = []
    for domain, source in [*named, (None, None)]:
        rows = [row for row in range(len(domains)) if domain in (None, domains[row]) and source in (None, sources[row])]
        found.append((domain, source, measure_judged(judged.take(rows), seed=seed, rounds=rounds)))
    return found


def _draws(units: Sequence[str], seed: int, rounds: int) -> Iterator[Numbers]:
    """How often each question is drawn, ``[draws, n]`` at a time; the first draw is the sample itself."""
    names = sorted(set(units))
    place = {name: number for number, name in enumerate(names)}
    of = np.array([place[unit] for unit in units])
    rng = np.random.default_rng(seed)
    yield np.ones((1, len(units)))
    step = max(1, _CELLS // len(units))
    for start in range(0, rounds, step):
        counts = rng.multinomial(len(names), [1 / len(names)] * len(names), size=min(step, rounds - start))
        yield counts[:, of].astype(np.float64)


def _estimate(values: Numbers) -> Estimate | None:
    """The first value, with the interval of the others; None where it does not exist."""
    others = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]):
        return None
    low, high = np.quantile(others, [0.025, 0.975]) if len(others) else (values[0], values[0])
    return Estimate(float(values[0]), float(low), float(high))


class _Reading:
    """Answers as arrays, and every figure of them under given weights."""

    def __init__(self, judged: Judged) -> None:
        self.judged = judged
        self.given = np.array([answer is not None for answer in judged.answers])
        said = [None if answer is None else option_key(answer) for answer in judged.answers]
        references = [option_key(question.answer) for question in judged.questions]
        self.same = np.array([one == other for one, other in zip(said, references, strict=True)])
        self.right = self.same if judged.losses is None else self.given & (judged.losses < RIGHT_BELOW)
        self.says_yes: Flags | None = None
        self.confidences = self.chances = None
        if judged.losses is not None:
            pairs = zip(judged.answers, judged.questions, strict=True)
            self.overlap = np.array([0.0 if one is None else 1 - token_loss(one, q.answer) for one, q in pairs])
            return
        self.classes = [
            (np.array([one == name for one in said]), np.array([other == name for other in references]))
            for name in sorted(set(references))
        ]
        yes = [[says_yes(option) for option in question.options or ()] for question in judged.questions]
        if all(sorted(map(str, each)) == ["False", "True"] for each in yes):
            self.says_yes = np.array([answer is not None and bool(says_yes(answer)) for answer in judged.answers])
        self.is_yes = np.array([bool(says_yes(question.answer)) for question in judged.questions])
        known = [(one, q) for one, q in zip(judged.probabilities, judged.questions, strict=True) if one is not None]
        if len(known) == len(judged.questions):
            keys = [list(question.option_keys or ()) for question in judged.questions]
            self.confidences = np.array(
                [
                    0.0 if key is None else one[own.index(key)]
                    for (one, _), own, key in zip(known, keys, said, strict=True)
                ]
            )
            if self.says_yes is not None:
                self.chances = np.array([one[each.index(True)] for (one, _), each in zip(known, yes, strict=True)])

    @staticmethod
    def _bin_of(confidences: Numbers) -> NDArray[np.int64]:
        """Which bin each falls into; its upper end belongs to it."""
        return np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)

    def bins(self) -> tuple[Bin, ...] | None:
        """The bins that hold answers."""
        if self.confidences is None:
            return None
        sure, right = self.confidences[self.given], self.right[self.given]
        of = self._bin_of(sure)
        each = [of == number for number in sorted(set(of.tolist()))]
        return tuple(Bin(int(own.sum()), float(sure[own].mean()), float(right[own].mean())) for own in each)

    def figures(self, weights: Numbers) -> dict[str, Numbers]:
        """Each figure that there is, ``[draws]``, under weights ``[draws, n]``."""

        def share(of: Flags | Numbers, among: Flags) -> Numbers:
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.asarray((weights @ (of * among)) / (weights @ among.astype(np.float64)), dtype=np.float64)

        given, right, judged = self.given, self.right, self.judged
        found = {"coverage": share(given, np.ones_like(given))}
        if judged.losses is None:
            found |= {"accuracy": share(right, given), **self._by_class(weights)}
        else:
            found |= {"exact_match": share(self.same, given), "token_f1": share(self.overlap, given)}
        if self.chances is not None:
            found["auroc"] = _auroc(self.chances[given], self.is_yes[given], weights[:, given])
        if self.confidences is not None:
            excess = (self.confidences - right) * given
            gaps = (np.arange(BINS) == self._bin_of(self.confidences)[:, None]) * excess[:, None]
            with np.errstate(invalid="ignore"):
                found["calibration_error"] = np.abs(weights @ gaps).sum(1) / (weights @ given.astype(np.float64))
        if judged.alone is not None:
            for name, (of, among) in leaning(judged.alone, right).items():
                found[name] = share(of, among & given)
        counted: Mapping[str, NDArray[np.generic] | None] = {
            "copy_rate": judged.copied,
            "blind_accuracy": judged.blind,
            "mean_k": judged.contexts,
            "prompt_tokens": judged.tokens,
        }
        found |= {name: share(np.asarray(of, np.float64), given) for name, of in counted.items() if of is not None}
        return found

    def _by_class(self, weights: Numbers) -> dict[str, Numbers]:
        """Balanced accuracy, and precision, recall and F1 of yes, or their means over the references that occur."""
        recalls, precisions, f1s = [], [], []
        classes = self.classes if self.says_yes is None else [*self.classes, (self.says_yes, self.is_yes)]
        with np.errstate(invalid="ignore", divide="ignore"):
            for said, wanted in classes:
                hits = weights @ (said & wanted & self.given)
                told = weights @ (said & self.given)
                asked = weights @ (wanted & self.given)
                recalls.append(hits / asked)
                # Nothing said of a class that was asked for is no precision at all for yes, but 0 in a mean.
                precisions.append(hits / told)
                f1s.append(np.where(asked > 0, 2 * hits / (told + asked), np.nan))
        balanced = _mean_of_known(recalls[: len(self.classes)])
        if self.says_yes is not None:
            return dict(zip(_CLASSED, (balanced, precisions[-1], recalls[-1], f1s[-1]), strict=True))
        filled = [
            np.where(np.isnan(recall), np.nan, np.nan_to_num(one))
            for one, recall in zip(precisions, recalls, strict=True)
        ]
        return dict(zip(_CLASSED, (balanced, _mean_of_known(filled), balanced, _mean_of_known(f1s)), strict=True))


_CLASSED = ("balanced_accuracy", "precision", "recall", "f1")


def _mean_of_known(each: Sequence[Numbers]) -> Numbers:
    """The mean over classes ``[draws]``, of those that occur in a draw; NaN where none does."""
    values = np.stack(each)
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(0) / known.sum(0), dtype=np.float64)


def _auroc(scores: Numbers, positive: Flags, weights: Numbers) -> Numbers:
    """The area under the ROC curve ``[draws]``, ties counting half; NaN where only one class is drawn."""
    if not len(scores):
        return np.full(len(weights), np.nan)
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    ordered = weights[:, order]
    ones = np.add.reduceat(ordered * positive[order], starts, axis=1)
    noes = np.add.reduceat(ordered * ~positive[order], starts, axis=1)
    below = np.cumsum(noes, axis=1) - noes
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (ones * (below + noes / 2)).sum(1) / (ones.sum(1) * noes.sum(1))
    return np.asarray(area, dtype=np.float64)
