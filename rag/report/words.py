"""The words of the calibration report: how to read it, what it does not promise, how it was computed."""

import math
from pathlib import Path

from calibration import SMALLEST_SOURCE, Certificate, MeasuredPolicy, Policy, PolicyResult, SourceRisk, plural
from rag.prompt import ReportsRead
from rag.report.domain_summary import DomainSummary

READING = {
    "risks": (
        "Each mark is the average error measured with that many reports; the line through it, the 95 % interval from a "
        "bootstrap over patients, each interval by itself. Filled marks are certified: their true error is at most α "
        "(the dashed line) with the confidence promised, all of them together. A hollow mark below the dashed line "
        "only looks good: there is not enough evidence for it. Where no error at all was seen the interval shrinks to "
        "nothing, which does not mean that there can be none."
    ),
    "choices": (
        "Ways to choose the number of reports without a test are shown for comparison. The least of several measured "
        "errors looks better than it is, and nothing limits how much worse it may turn out in use."
    ),
    "leaning": (
        "Over-reliance: of the wrong answers, the share that are right without reports. Harm: of the questions that "
        "are answered right without reports, the share that the choice gets wrong. Help: of those that are answered "
        "wrong without, the share that it gets right. Blends (half alone, mean of 0 to k) and gates (reports are read "
        "only where the model is less sure without) are meant to lean less than all k reports do."
    ),
    "thresholds": (
        "With a threshold τ the model answers only where its confidence is at least τ. Further left, fewer questions "
        "are answered; further down, fewer of the answers are wrong. Marks as above."
    ),
    "sources": (
        "The choice by where the questions come from. This is no part of the promise, which is about the mean over all "
        "{units}: a source may do worse than that, and one of few {units} may look better or worse than it is."
    ),
    "contexts": (
        "A ratio cut γ stops reading where the similarity S of the next report falls by more than a factor of e to the "
        "γ, so questions get different numbers of reports."
    ),
}

STOPPED = {
    "certified": "as soon as the evidence was enough",
    "futile": "when no choice could be expected to be certified any more",
}

LIMITS = (
    "The promise is about the average over many {units}. Any single answer can be wrong, and for some kinds of "
    "question or {unit} the error may be higher than the average.",
    "It holds for new {units} like those tested. It does not carry over to another hospital, device, population or "
    "kind of question.",
    "It holds for exactly the system with the fingerprints below. With another model, prompt, encoder or index, "
    "calibrate again.",
    "The confidence is not certainty: of many calibrations like this one, up to a share of {odds} may promise "
    "something that is not true.",
    "It is about images that the index's classifier takes for the domain and that are not declined as unlike all of "
    "them, and about questions worded as those tested.",
    "Every {unit} counts once, however many questions there are: where those with many questions are harder, more of "
    "the answers are wrong than is promised of the average {unit}.",
    "Where a threshold is used, it says nothing about the questions left unanswered.",
    "An error is a difference from the reference answer. How much harm an error does is not measured.",
)

_P_VALUES = {
    "star": "betting that aims (Voráček and Orabona)",
    "wsr": "betting (Waudby-Smith and Ramdas)",
    "hoeffding-bentkus": "Hoeffding and Bentkus",
    "binomial": "exact binomial",
}
_PROCEDURES = {
    "closed-e": "closed testing by averaged capital",
    "sgt": "sequential graphical testing",
    "holm": "Holm",
    "bonferroni": "Bonferroni",
}
_PRIORS = {
    "uniform": "uniform: the same share of δ for every choice",
    "prefer": "from the outcomes of other patients",
}
_SHORT = 12  # hex digits, enough to tell fingerprints apart by eye


def settings(certificate: Certificate, certificate_path: Path | None) -> list[tuple[str, str]]:
    """Name and value of everything that the promise depends on, for the foot of the page."""
    prior = _PRIORS[certificate.prior]
    if certificate.prior_table is not None:
        prior += f" (table {certificate.prior_table[:_SHORT]})"
    entries = [
        ("Promised error α", f"{certificate.alpha:.6g}"),
        ("Chance δ that a promise is false", f"{certificate.delta:.6g}"),
        ("Procedure", _PROCEDURES.get(certificate.procedure, certificate.procedure)),
        ("p-value", _P_VALUES.get(certificate.p_value, certificate.p_value)),
        ("Prior", prior),
        ("Rounds", " + ".join(map(str, certificate.rounds)) + f" {plural(certificate.unit)}"),
        ("Systems calibrated on these", f"{certificate.look}; {certificate.spent:.6g} of δ went to others"),
        ("Stopped early where possible", "yes" if certificate.sequential else "no"),
        ("Independent unit", certificate.unit),
        ("Questions declined before the tests", str(certificate.declined)),
        ("Shares no patient with", ", ".join(certificate.disjoint_from) or "not checked"),
        *((f"Fingerprint: {name}", value[:_SHORT]) for name, value in sorted(certificate.fingerprints.items())),
        *((f"Version: {name}", value) for name, value in sorted(certificate.versions.items())),
        ("Calibrated", certificate.created),
    ]
    return entries if certificate_path is None else [("Certificate", certificate_path.name), *entries]


def reports_sentence(read: ReportsRead) -> str:
    """Say how many of the reports the model read whole."""
    if not read.cut:
        return f"No report was cut: all of the {counted(read.reports, 'report')} retrieved can be read whole."
    return (
        f"{read.cut} of the {counted(read.reports, 'report')} retrieved are longer than {read.tokens} tokens and were "
        "read cut: background first, then findings, and the impression last."
    )


def tried_sentences(certificate: Certificate, summary: DomainSummary) -> str:
    """Say what was tested, on whom, and whether it ended early."""
    result, unit = summary.result, certificate.unit
    grid = result.grid
    patients, questions = counted(result.n_units, unit), counted(result.n_questions, "question")
    tried = f"every number of reports from 0 to {grid.max_k}" if grid.max_k else "answers without reports"
    tried += "".join(
        f", {what} of {', '.join(f'{value:g}' for value in values)}"
        for what, values in (
            ("ratio cuts (γ)", grid.gammas),
            ("gates", grid.gates),
            ("confidence thresholds (τ)", grid.taus),
        )
        if values
    )
    tried += ", means of answers alone and with reports" if grid.blends else ""
    said = f"Tested on {questions} about {patients}. Tried: {tried} ({counted(len(result.policies), 'choice')} in all)."
    if summary.shown.coverage:
        said += (
            f" With every question counted once, instead of every {unit}, the error of "
            f"{policy_name(summary.shown.policy)} was {summary.shown.question_risk:.1%}; nothing is promised of that."
        )
    if result.stopped == "all":
        return said
    return (
        f"{said} The tests ended early, {STOPPED[result.stopped]}: {result.questions_saved} of the "
        f"{result.planned_questions} questions planned were never needed. Errors measured up to such a moment look "
        "somewhat better, or worse, than they are; the promise allows for it."
    )


def policy_name(policy: Policy, *, with_k: bool = True) -> str:
    """Name a policy by its k, and by its cut, blend, gate and threshold where it has them."""
    parts = [f"k = {policy.k}"] if with_k else []
    if not math.isinf(policy.gamma):
        parts.append(f"γ = {policy.gamma:.3g}")
    if policy.blend != "none":
        parts.append("half alone" if policy.blend == "pair" else "mean of 0 to k")
    if not math.isinf(policy.gate):
        parts.append(f"gate {policy.gate:g}")
    if policy.tau > 0:
        parts.append(f"τ = {policy.tau:g}")
    return ", ".join(parts)


def source_name(row: SourceRisk, unit: str) -> str:
    """Name a source, or what has none of its own."""
    if row.source is not None:
        return row.source
    return f"not named, or of fewer than {SMALLEST_SOURCE} {plural(unit)}"


def error_text(one: MeasuredPolicy | SourceRisk) -> str:
    """The average error with its 95 % interval."""
    if one.coverage == 0:
        return "no answers given"
    low, high = one.interval
    return f"{one.risk:.1%} ({low:.1%} to {high:.1%})"


def verdict(one: MeasuredPolicy) -> str:
    """Whether a policy is certified, or was not even tested."""
    if not isinstance(one, PolicyResult):
        return "not tested"
    return "yes" if one.certified else "no"


def percent(fraction: float) -> str:
    """A level as it was given, not rounded."""
    return f"{100 * fraction:.6g}%"


def counted(number: int, noun: str) -> str:
    """A number and a noun."""
    return f"{number} {noun if number == 1 else plural(noun)}"
