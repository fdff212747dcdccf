"""The calibration report: one page for a person, which needs no other file, no network and no script.

It shows what the certificate holds and what the outcomes say beside it. It promises nothing that the certificate does
not, and names no patient and quotes no question.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from calibration import Certificate, MeasuredPolicy, OutcomeTable, Policy, plural
from rag.prompt import ReportsRead
from rag.report.domain_summary import DomainSummary, summarise
from rag.report.markup import Html, element, listing, tabulate
from rag.report.plots import Caption, Curve, plot_contexts, plot_risks, plot_thresholds
from rag.report.style import CSS
from rag.report.words import (
    LIMITS,
    READING,
    counted,
    error_text,
    percent,
    policy_name,
    reports_sentence,
    settings,
    source_name,
    tried_sentences,
    verdict,
)
from titrate import write_atomic


def write_report(
    path: Path,
    certificate: Certificate,
    table: OutcomeTable,
    *,
    certificate_path: Path | None = None,
    reports_read: ReportsRead | None = None,
) -> None:
    """Write the report of a certificate, certified or not, whole or not at all.

    The same certificate and outcomes give the same bytes.

    Parameters
    ----------
    path
        HTML file to write.
    certificate
        What to report.
    table
        The calibration outcomes that it was computed from; after an early stop, of all patients or of those tested.
    certificate_path
        Where the certificate is kept, of which the page names the file.
    reports_read
        How many reports were retrieved for the questions, and how many of them were read cut; None leaves that out.

    Raises
    ------
    InputError
        If the outcomes are others, or the file cannot be written.
    """
    summaries = summarise(certificate, table)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        # Nothing is fetched and nothing runs, whatever a name in the page might hold.
        element("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "Calibration report"),
        element("style", Html(CSS)),
    )
    body = element(
        "body",
        element("h1", "Calibration report"),
        element("p", _lead(certificate)),
        *([] if reports_read is None else [element("p", reports_sentence(reports_read))]),
        _overview(certificate, summaries),
        *(_section(certificate, summary, number) for number, summary in enumerate(summaries, start=1)),
        _foot(certificate, certificate_path),
    )
    write_atomic(path, f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n")


def _lead(certificate: Certificate) -> str:
    several = " All the promises below hold together with this confidence." if len(certificate.domains) > 1 else ""
    return (
        f"How many reports of similar cases the model should read before it answers, so that its average error is at "
        f"most {percent(certificate.alpha)}, shown with {percent(1 - certificate.delta)} confidence.{several}"
    )


def _overview(certificate: Certificate, summaries: Sequence[DomainSummary]) -> Html:
    rows = []
    for summary in summaries:
        certified = summary.result.policy is not None
        rows.append(
            [
                summary.name,
                "certified" if certified else "nothing certified",
                policy_name(summary.shown.policy) + ("" if certified else " (best tried)"),
                error_text(summary.shown),
                str(summary.result.n_units),
            ]
        )
    head = ["Domain", "Result", "Choice", "Average error (95 % interval)", f"{certificate.unit.capitalize()}s tested"]
    return tabulate("Results by domain", head, rows)


def _section(certificate: Certificate, summary: DomainSummary, number: int) -> Html:
    result = summary.result
    parts = [
        element("h2", f"Domain: {summary.name}"),
        element("p", certificate.sentence(summary.name), class_="promise" if result.policy else "promise nothing"),
        element("p", tried_sentences(certificate, summary)),
    ]
    if result.policy is None:
        parts.append(_not_certified(certificate, summary))
    parts.append(element("div", _risks(certificate, summary, number), _choices(summary), class_="pair"))
    if result.grid.max_k:
        parts.append(_leaning(summary))
    if summary.sources:
        parts.append(_sources(certificate, summary))
    if result.grid.taus:
        parts.append(element("div", *_thresholds(certificate, summary, number), class_="pair"))
    if summary.cut is not None:
        parts.append(element("div", _contexts(summary, summary.cut, number), class_="pair"))
    return element("section", *parts)


def _not_certified(certificate: Certificate, summary: DomainSummary) -> Html:
    result, best = summary.result, summary.shown
    level, unit = best.weight * (certificate.delta - certificate.spent), plural(certificate.unit)
    if result.further_units is not None:
        how = "in addition to these" if certificate.goes_on else "calibrated by themselves"
        hope = (
            f"If the {unit} to come are like these, about {result.further_units} of them, {how}, would certify some "
            "choice with a chance of 80%: tried on draws from these outcomes, taken for the truth."
        )
    elif best.risk >= certificate.alpha:
        hope = (
            f"Its measured error is not below {percent(certificate.alpha)}, so more {unit} would not help: allow a "
            "higher error, or improve the model or the collection."
        )
    else:
        hope = f"Its measured error is so close to {percent(certificate.alpha)} that ten thousand {unit} would not do."
    return element(
        "div",
        element("strong", "Nothing is certified here. Do not rely on any number of reports in this domain."),
        element(
            "p",
            f"The best choice tried, {policy_name(best.policy)}, had an average error of {error_text(best)}. Its "
            f"p-value, at least the chance of evidence this good if the true error were above "
            f"{percent(certificate.alpha)}, is {best.p_value:.2g}; on its own it would need {level:.2g} or "
            f"less. {hope}",
        ),
        class_="warning",
    )


def _risks(certificate: Certificate, summary: DomainSummary, number: int) -> Html:
    shown, policy = summary.shown, summary.shown.policy
    curves = [Curve("", summary.by_k(math.inf, 0.0))]
    cut = policy.k > 1 and not math.isinf(policy.gamma)
    if cut or policy.tau > 0:
        own = Curve(policy_name(policy, with_k=False), summary.by_k(policy.gamma, policy.tau))
        curves = [Curve("all reports, all answered", curves[0].points), own]
    description = " ".join(
        f"{policy_name(one.policy)}: {error_text(one)}, {'' if one.certified else 'not '}certified."
        for curve in curves
        for one in curve.points
    )
    title = f"Average error against the number of reports read, {summary.name}"
    caption = Caption(f"risks-{number}", title, f"Promised at most {percent(certificate.alpha)}. {description}")
    return _figure(plot_risks(caption, curves, shown, _role(summary), certificate.alpha), READING["risks"])


def _choices(summary: DomainSummary) -> Html:
    shown, plain = summary.shown, summary.by_k(math.inf, 0.0)
    rows: list[tuple[str, MeasuredPolicy]] = [
        ("Certified choice" if summary.result.policy else "Best tried, not certified", shown),
        ("Least measured error, untested (RULE)", summary.least_error),
    ]
    if summary.mmed_rag is not None:
        rows.append(("Ratio cut, untested (MMed-RAG)", summary.mmed_rag))
    rows.append(("No reports", plain[0]))
    if len(plain) > 1:
        rows.append(("All reports", plain[-1]))
    head = ["Way to choose", "Choice", "Average error (95 % interval)", "Reports read, mean", "Answered", "Certified"]
    cells = [
        [
            why,
            policy_name(one.policy),
            error_text(one),
            f"{one.contexts:.2f}",
            f"{one.coverage:.0%}",
            verdict(one),
        ]
        for why, one in rows
    ]
    return _figure(tabulate(f"Ways to choose, {summary.name}", head, cells, frozenset({0})), READING["choices"])


def _leaning(summary: DomainSummary) -> Html:
    head = ["Choice", "Average error (95 % interval)", "Over-reliance", "Harm", "Help", "Certified"]
    cells = [
        [
            policy_name(one.policy),
            error_text(one),
            *map(_share, (lean.over_reliance, lean.harm, lean.help)),
            verdict(one),
        ]
        for one, lean in zip(summary.result.policies, summary.reliance, strict=True)
        if one.policy.tau == 0 and math.isinf(one.policy.gamma)
    ]
    return _figure(tabulate(f"Leaning on reports, {summary.name}", head, cells, frozenset()), READING["leaning"])


def _sources(certificate: Certificate, summary: DomainSummary) -> Html:
    unit = certificate.unit
    head = ["Source", f"{plural(unit).capitalize()}", "Questions", "Average error (95 % interval)", "Answered"]
    cells = [
        [source_name(row, unit), str(row.n_units), str(row.n_questions), error_text(row), f"{row.coverage:.0%}"]
        for row in summary.sources
    ]
    how = f"Of {policy_name(summary.shown.policy)}. {READING['sources'].format(units=plural(unit))}"
    return _figure(tabulate(f"By source, no part of the promise, {summary.name}", head, cells, frozenset()), how)


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"


def _thresholds(certificate: Certificate, summary: DomainSummary, number: int) -> tuple[Html, Html]:
    points = summary.by_tau()
    fixed = policy_name(replace(summary.shown.policy, tau=0.0))
    description = " ".join(f"τ = {one.policy.tau:g}: {one.coverage:.0%} answered, {error_text(one)}." for one in points)
    caption = Caption(f"thresholds-{number}", f"The price of each threshold in answers, {summary.name}", description)
    plot = plot_thresholds(caption, points, summary.shown, _role(summary), certificate.alpha)
    cells = [
        [f"{one.policy.tau:g}" if one.policy.tau else "none", f"{one.coverage:.0%}", error_text(one), verdict(one)]
        for one in points
    ]
    marked = frozenset(row for row, one in enumerate(points) if one == summary.shown)
    head = ["Threshold τ", "Answered", "Average error of the answers (95 % interval)", "Certified"]
    return (
        _figure(plot, READING["thresholds"]),
        _figure(
            tabulate(f"Thresholds, {summary.name}", head, cells, marked), f"The price of each threshold at {fixed}."
        ),
    )


def _contexts(summary: DomainSummary, cut: Policy, number: int) -> Html:
    counts = summary.cut_counts
    description = " ".join(f"{counted(k, 'report')}: {counted(times, 'question')}." for k, times in enumerate(counts))
    caption = Caption(f"contexts-{number}", f"Reports that each question got, {summary.name}", description)
    how = "the choice above" if cut == summary.shown.policy else "the best of the ratio cuts tried"
    return _figure(plot_contexts(caption, counts), f"Under {policy_name(cut)}, {how}. {READING['contexts']}")


def _foot(certificate: Certificate, certificate_path: Path | None) -> Html:
    entries: list[Html] = []
    for name, value in settings(certificate, certificate_path):
        entries += [element("dt", name), element("dd", value)]
    said = {"odds": f"{certificate.delta:.6g}", "unit": certificate.unit, "units": plural(certificate.unit)}
    limits = listing([limit.format(**said) for limit in LIMITS])
    return element(
        "footer",
        element("h2", "What is not promised"),
        limits,
        element("h2", "How it was computed"),
        element("dl", *entries),
    )


def _figure(content: Html, caption: str) -> Html:
    return element("figure", content, element("figcaption", caption))


def _role(summary: DomainSummary) -> str:
    return "chosen" if summary.result.policy else "best tried"
