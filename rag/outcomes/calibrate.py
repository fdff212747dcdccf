"""A run over a question file becomes a certificate."""

import warnings
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

from calibration import (
    ANYTIME,
    BLENDS,
    Blend,
    Certificate,
    OutcomeTable,
    QuestionKind,
    SequentialCertifier,
    SourceRisk,
    certify,
    choose_tests,
)
from rag.outcomes.contradictions import refuse_contradicting_table
from rag.outcomes.looks import Look, LookLedger
from rag.outcomes.losses import loss_fingerprint
from rag.outcomes.run import QuestionRun
from rag.outcomes.units import name_unit
from rag.prompt import ReportsRead
from rag.questions import Question, questions_fingerprint
from rag.retrieval.routing import Retrieved
from titrate import InputError, TitrateWarning

GATES = (0.8,)
"""Gates that are tried where none are named."""
_PATIENTS_AT_ONCE = 16


@dataclass(frozen=True)
class CalibrationOptions:
    """What is to be promised, and how it is tested. All of it is fixed before any outcome is seen.

    Attributes
    ----------
    alpha, delta
        The risk to promise, and the chance that the promise is false, both in (0, 1).
    prior_split
        Questions of other patients that say where certificates are likely; None spreads delta evenly.
    procedure, p_value
        See `calibration.certify`; None for what suits the questions, see `calibration.choose_tests`.
    gammas, taus
        Ratio cuts and confidence thresholds to try besides k alone.
    blends, gates
        Blends and gates to try; see `calibration.PolicyGrid`. None for `BLENDS` and `GATES`, where every question has
        options, and else for none.
    sequential
        Stop asking in a domain as soon as it is decided.

    Raises
    ------
    InputError
        If the tests may not be looked at before the end, and ``sequential`` wants to.
    """

    alpha: float
    delta: float = 0.1
    prior_split: str | None = None
    procedure: str | None = None
    p_value: str | None = None
    gammas: tuple[float, ...] = ()
    taus: tuple[float, ...] = ()
    blends: tuple[Blend, ...] | None = None
    gates: tuple[float, ...] | None = None
    sequential: bool = False

    def __post_init__(self) -> None:
        choose_tests(self.procedure, self.p_value, sequential=self.sequential, single_closed=False)


@dataclass(frozen=True, eq=False)
class CalibrationResult:
    """A certificate, certified or not, and the outcomes that it was computed from.

    Attributes
    ----------
    certificate
        What is promised.
    table
        The outcomes; after an early stop, of the patients tested.
    questions_saved
        Questions that an early stop left unasked.
    reports_read
        How many reports were retrieved for the questions, and how many of them are read cut.
    """

    certificate: Certificate
    table: OutcomeTable
    questions_saved: int
    reports_read: ReportsRead


def calibrate_run(run: QuestionRun, split: str, options: CalibrationOptions) -> CalibrationResult:
    """Answer the questions of a split at every k, test every policy, and put what holds into a certificate.

    Raises
    ------
    InputError
        As `QuestionRun.read`, `calibration.certify`, or if some questions have options and others are open.
    """
    read = run.read(split)
    closed = sum(question.options is not None for question in read)
    if 0 < closed < len(read):
        raise InputError(
            f"split {split} has {closed} questions with options and {len(read) - closed} open ones; their mean vouches "
            "for neither: leave out --loss, or calibrate the open ones from a file of their own"
        )
    asked = run.retrieve(read)
    system = run.system.fingerprints
    fingerprints = {**system, "questions": questions_fingerprint(read)}
    if run.options.loss is not None:
        fingerprints["loss"] = loss_fingerprint(run.options.loss)
    others = {**run.refuse_trained_on(read), **run.other_patient_hashes(split)}
    procedure, p_value = choose_tests(
        options.procedure,
        options.p_value,
        sequential=options.sequential,
        single_closed=_single_closed(asked) and not options.taus,
    )
    chosen: dict[str, Any] = {"procedure": procedure, "p_value": p_value, "other_patient_hashes": others}
    run.refuse_other_weights()
    with LookLedger(run.options.outcomes) as ledger:
        prior_questions = None if options.prior_split is None else _prior_questions(run, options.prior_split)
        every_option = all(question.options is not None for question in asked.questions)
        chosen["blends"] = options.blends if options.blends is not None else BLENDS if every_option else ()
        chosen["gates"] = options.gates if options.gates is not None else GATES if every_option else ()
        settings = {
            **asdict(options),
            "blends": chosen["blends"],
            "gates": chosen["gates"],
            "procedure": procedure,
            "p_value": p_value,
            "max_k": run.max_k,
            "loss": fingerprints.get("loss"),
            "prior": None if prior_questions is None else questions_fingerprint(prior_questions),
        }
        del settings["delta"]
        goes_on = p_value in ANYTIME and not options.sequential
        look = ledger.plan(asked.questions, system, settings, options.delta, goes_on=goes_on)
        _tell(look)
        prior = None if prior_questions is None else run.score(run.retrieve(prior_questions)).table
        if options.sequential:
            ledger.note(look, None, asked.questions)
            return _sequential(run, asked, options, prior, chosen, look, fingerprints)
        known = ledger.known(look, asked.questions)
        if known is not None:
            refuse_contradicting_table(asked.questions, known, run.loss, ledger.path.with_name(look.table_name))
        if known is not None and set(known.domains) != set(asked.domains):
            # The shares of delta, and so all bets, would be other ones than they were.
            added = ", ".join(sorted(set(asked.domains) ^ set(known.domains)))
            raise InputError(f"{added} was not calibrated before; leave its questions out, or calibrate them apart")
        done = set() if known is None else set(known.question_ids)
        new = [row for row, question in enumerate(asked.questions) if question.id not in done]
        tables = [] if known is None else [known]
        if new:
            tables.append(run.score(asked.take(new)).table)
        table = OutcomeTable.join(tables)
        ledger.note(look, table, asked.questions)
    certificate = certify(
        table,
        alpha=options.alpha,
        delta=options.delta,
        fingerprints=fingerprints,
        gammas=options.gammas,
        taus=options.taus,
        prior_outcomes=prior,
        earlier=look.earlier(asked.questions),
        look=look.number,
        spent=look.spent,
        **chosen,
    )
    return CalibrationResult(_complete(certificate, run, asked, table), table, 0, run.reports_read(asked))


def _complete(
    certificate: Certificate, run: QuestionRun, asked: Retrieved[Question], table: OutcomeTable
) -> Certificate:
    """Say in a certificate what the outcomes alone do not: what was asked, of whom and of whom not, by what."""
    of = {question.id: question for question in asked.questions}
    run.tell_unread([of[name] for name in table.question_ids], table.answers)
    kinds, sources = _asked(asked, table, certificate)
    return replace(
        certificate,
        unit=name_unit(asked.questions),
        declined=len(asked.declined),
        questions=kinds,
        sources=sources,
        versions={**certificate.versions, **run.system.versions},
    )


def _prior_questions(run: QuestionRun, split: str) -> list[Question]:
    """The questions that say where certificates are likely; told where the model knows their answers."""
    questions = run.read(split)
    run.tell_trained_on(
        questions, split, "they say little about where a certificate is likely; what is promised holds all the same"
    )
    return questions


def _asked(
    asked: Retrieved[Question], table: OutcomeTable, certificate: Certificate
) -> tuple[dict[str, tuple[QuestionKind, ...]], dict[str, tuple[SourceRisk, ...]]]:
    """The kinds of questions whose outcomes are in a table, for each domain, and its risk by their source."""
    of = {question.id: question for question in asked.questions}
    kinds, sources = {}, {}
    for domain, result in certificate.domains.items():
        part = table.select(domain)
        questions = [of[name] for name in part.question_ids]
        kinds[domain] = QuestionKind.collect((one.unit, one.text, one.option_keys) for one in questions)
        sources[domain] = SourceRisk.measure(part, [one.source for one in questions], result, certificate.alpha)
    return kinds, sources


def _single_closed(asked: Retrieved[Question]) -> bool:
    """Whether every patient has one question in a domain, with options."""
    each = Counter(zip(asked.domains, (question.unit for question in asked.questions), strict=True))
    return max(each.values()) == 1 and all(question.options is not None for question in asked.questions)


def _tell(look: Look) -> None:
    """Tell of the looks before this one."""
    *before, new = (len(names) for names in look.rounds)
    if before:
        warnings.warn(
            f"an earlier calibration goes on: {sum(before)} patients were tested before, {new} are new",
            TitrateWarning,
            stacklevel=3,
        )
    if look.number > 1:
        warnings.warn(
            f"{look.number - 1} other systems were calibrated on these patients: {look.spent:g} of delta is spent, "
            f"{look.delta - look.spent:g} is left for this one",
            TitrateWarning,
            stacklevel=3,
        )


def _sequential(
    run: QuestionRun,
    asked: Retrieved[Question],
    options: CalibrationOptions,
    prior: OutcomeTable | None,
    chosen: dict[str, Any],
    look: Look,
    fingerprints: dict[str, str],
) -> CalibrationResult:
    """Score patients in random order until every domain is decided."""
    row_of = {question.id: row for row, question in enumerate(asked.questions)}
    certifier = SequentialCertifier(
        list(row_of),
        [question.unit for question in asked.questions],
        asked.domains,
        max_k=run.max_k,
        alpha=options.alpha,
        delta=options.delta,
        procedure=chosen["procedure"],
        gammas=options.gammas,
        taus=options.taus,
        blends=chosen["blends"],
        gates=chosen["gates"],
        prior_outcomes=prior,
        other_patient_hashes=chosen["other_patient_hashes"],
        look=look.number,
        spent=look.spent,
    )
    tables = []
    while names := certifier.next(_PATIENTS_AT_ONCE):
        tables.append(run.score(asked.take(sorted(row_of[name] for name in names))).table)
        certifier.add(tables[-1])
    table = OutcomeTable.join(tables)
    certificate = certifier.certificate(fingerprints)
    certificate = _complete(certificate, run, asked, table)
    return CalibrationResult(certificate, table, certifier.questions_saved, run.reports_read(asked))
