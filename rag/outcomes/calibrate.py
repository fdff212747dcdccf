"""A run over a question file becomes a certificate."""

from dataclasses import dataclass

from calibration import Certificate, OutcomeTable, SequentialCertifier, certify
from rag.outcomes.losses import loss_fingerprint
from rag.outcomes.run import QuestionRun
from rag.prompt import ReportsRead
from rag.questions import Question, questions_fingerprint
from rag.retrieval.routing import Retrieved
from titrate import InputError

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
        See `calibration.certify`.
    gammas, taus
        Ratio cuts and confidence thresholds to try besides k alone.
    sequential
        Stop asking in a domain as soon as it is decided.

    Raises
    ------
    InputError
        If the p-value may not be looked at before the end, and ``sequential`` wants to.
    """

    alpha: float
    delta: float = 0.1
    prior_split: str | None = None
    procedure: str = "sgt"
    p_value: str = "wsr"
    gammas: tuple[float, ...] = ()
    taus: tuple[float, ...] = ()
    sequential: bool = False

    def __post_init__(self) -> None:
        if self.sequential and self.p_value != "wsr":
            raise InputError(
                f"p-values of {self.p_value} may be looked at once only; leave out --sequential, or take wsr"
            )


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
        As `QuestionRun.read`, `calibration.certify`.
    """
    read = run.read(split)
    asked = run.retrieve(read)
    prior_outcomes = None
    if options.prior_split is not None:
        prior_outcomes = run.score(run.retrieve(run.read(options.prior_split))).table
    fingerprints = {**run.system.fingerprints, "questions": questions_fingerprint(read)}
    if run.options.loss is not None:
        fingerprints["loss"] = loss_fingerprint(run.options.loss)
    others = run.other_patient_hashes(split)
    if options.sequential:
        return _sequential(run, asked, options, prior_outcomes, others, fingerprints)
    table = run.score(asked).table
    certificate = certify(
        table,
        alpha=options.alpha,
        delta=options.delta,
        fingerprints=fingerprints,
        procedure=options.procedure,
        p_value=options.p_value,
        gammas=options.gammas,
        taus=options.taus,
        prior_outcomes=prior_outcomes,
        other_patient_hashes=others,
    )
    return CalibrationResult(certificate, table, 0, run.reports_read(asked))


def _sequential(
    run: QuestionRun,
    asked: Retrieved[Question],
    options: CalibrationOptions,
    prior_outcomes: OutcomeTable | None,
    others: dict[str, set[str]],
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
        procedure=options.procedure,
        gammas=options.gammas,
        taus=options.taus,
        prior_outcomes=prior_outcomes,
        other_patient_hashes=others,
    )
    tables = []
    while chosen := certifier.next(_PATIENTS_AT_ONCE):
        tables.append(run.score(asked.take(sorted(row_of[name] for name in chosen))).table)
        certifier.add(tables[-1])
    return CalibrationResult(
        certifier.certificate(fingerprints),
        OutcomeTable.join(tables),
        certifier.questions_saved,
        run.reports_read(asked),
    )
