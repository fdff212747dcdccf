"""The calibration report, read back as a page: what it shows, and that nothing in it can harm or leak."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from calibration import FINGERPRINTS, Certificate, OutcomeTable, Policy, SequentialCertifier, certify
from calibration.units import risk_intervals
from rag.evaluation.metrics import bootstrap_interval
from rag.report.domain_summary import MMED_RAG_GAMMA, summarise
from rag.report.html import write_report
from rag.report.markup import element, text
from tests.rag.report_pages import Page, outcomes
from tests.results import with_certified
from titrate import InputError

PRINTS = dict.fromkeys(FINGERPRINTS, "0123456789abcdef" * 4)
HOSTILE = "<script src='http://evil.example/x.js'>alert(1)</script>\x00\u202e$\\frac{1}{0}$\ud800"


@pytest.fixture
def two_domains() -> OutcomeTable:
    """100 patients of radiology, half wrong at k = 0, none after; 20 of pathology, 7 of them wrong at every k."""
    losses = np.zeros((120, 3))
    losses[:50, 0] = 1
    losses[100:107] = 1
    return outcomes(losses, domains=["radiology"] * 100 + ["pathology"] * 20)


@pytest.fixture
def graded() -> OutcomeTable:
    """60 patients; reports help; confidence 0.9 where right and 0.4 where wrong; the second report is much worse."""
    losses = np.zeros((60, 4))
    losses[:30, 0] = 1
    losses[:6, 1:] = 1
    similarities = np.tile([5.0, 4.9, 4.8], (60, 1))
    similarities[:20, 1:] -= 2.0
    confidences = np.where(losses > 0, 0.4, 0.9)
    return outcomes(losses, confidences=confidences, similarities=similarities)


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., str]:
    """Write the report of a table certified at alpha = 0.4 unless told otherwise, and return its source."""

    def make(table: OutcomeTable, certificate: Certificate | None = None, **changes: Any) -> str:
        settings: dict[str, Any] = {"alpha": 0.4, "delta": 0.1, "fingerprints": PRINTS}
        write_report(tmp_path / "report.html", certificate or certify(table, **(settings | changes)), table)
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return make


def drawings(source: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg .*?</svg>", source, flags=re.DOTALL)]


def test_shows_the_promise_and_the_numbers(report: Callable[..., str], two_domains: OutcomeTable) -> None:
    certificate = certify(two_domains, alpha=0.4, delta=0.1, fingerprints=PRINTS)
    page = Page(report(two_domains, certificate))
    for domain in ("radiology", "pathology"):
        assert certificate.sentence(domain) in page.said
    assert (
        "Tested on 100 questions about 100 patients. Tried: every number of reports from 0 to 2 (3 choices" in page.said
    )
    assert ["Certified choice", "k = 1", "0.0% (0.0% to 0.0%)", "1.00", "100%", "yes"] in page.cells
    # 100 patients, half of them wrong: the mean of 100 coins lies within 0.5 -+ 1.96 * 0.05 = 0.40 to 0.60.
    row = [cells for cells in page.cells if cells[0] == "No reports"][1]
    assert (row[1], row[3:]) == ("k = 0", ["0.00", "100%", "no"])
    assert [float(number) for number in re.findall(r"[\d.]+", row[2])] == pytest.approx([50, 40, 60], abs=1.5)
    assert [
        "Least measured error, untested (RULE)",
        "k = 1",
        "0.0% (0.0% to 0.0%)",
        "1.00",
        "100%",
        "yes",
    ] in page.cells
    assert ["radiology", "certified", "k = 1", "0.0% (0.0% to 0.0%)", "100"] in page.cells
    assert "All the promises below hold together" in page.said


def test_says_why_nothing_is_certified(report: Callable[..., str], two_domains: OutcomeTable) -> None:
    certificate = certify(two_domains, alpha=0.4, delta=0.1, fingerprints=PRINTS)
    result = certificate.domains["pathology"]
    said = Page(report(two_domains, certificate)).said
    assert result.further_units is not None
    assert "The best choice tried, k = 0, had an average error of 35.0% (" in said
    # Six tests share delta = 0.1 evenly: 0.0167 each.
    assert f"is {result.policies[0].p_value:.2g}; on its own it would need 0.017 or less." in said
    assert f"about {result.further_units} of them, in addition to these, would certify some choice" in said
    hopeless = Page(report(outcomes(np.ones((30, 2))))).said
    assert "measured error is not below 40%, so more patients would not help" in hopeless
    close = outcomes(np.repeat([[0.0], [1.0]], [5001, 4999], axis=0))
    assert "ten thousand patients would not do" in Page(report(close, alpha=0.5001)).said


def test_thresholds_and_cuts(report: Callable[..., str], graded: OutcomeTable) -> None:
    page = Page(report(graded, gammas=(0.5, 3.0), taus=(0.6,)))
    # Without a threshold 6 of 60 are wrong; at 0.6 those 6 are left unanswered: 54 of 60 are answered, all right.
    assert next(row for row in page.cells if row[:1] == ["none"])[:2] == ["none", "100%"]
    assert ["0.6", "90%", "0.0% (0.0% to 0.0%)", "yes"] in page.cells
    # A cut of 0.5 stops after the first report for the 20 patients whose second is worse by 2.1, the others get all.
    certificate = certify(graded, alpha=0.4, delta=0.1, fingerprints=PRINTS, gammas=(0.5, 3.0), taus=(0.6,))
    chosen = with_certified(certificate.domains["radiology"], [7])
    assert chosen.policy == Policy(3, 0.5)
    summary = summarise(replace(certificate, domains={"radiology": chosen}), graded)[0]
    assert (summary.cut, summary.cut_counts) == (Policy(3, 0.5), (0, 20, 0, 40))
    said = Page(report(graded, replace(certificate, domains={"radiology": chosen}))).said
    assert "Under k = 3, γ = 0.5, the choice above." in said
    assert "1 report: 20 questions. 2 reports: 0 questions. 3 reports: 40 questions." in said


def test_mmed_rags_cut_is_shown_untested(report: Callable[..., str], graded: OutcomeTable) -> None:
    cells = Page(report(graded)).cells
    # 20 patients read one report, 40 read three: (20 + 120) / 60 = 2.33. Their errors are those of any k from 1 on.
    row = next(row for row in cells if row[0] == "Ratio cut, untested (MMed-RAG)")
    assert (row[1], row[2].split(" ")[0], row[3:]) == ("k = 3, γ = 0.405", "10.0%", ["2.33", "100%", "not tested"])
    assert pytest.approx(1.5) == math.exp(MMED_RAG_GAMMA)
    assert not [row for row in Page(report(replace(graded, similarities=None))).cells if "MMed-RAG" in row[0]]


def test_an_early_stop_is_reported_on_those_tested(report: Callable[..., str]) -> None:
    table = outcomes(np.zeros((100, 3)))
    certifier = SequentialCertifier(table.question_ids, table.units, table.domains, max_k=2, alpha=0.2, delta=0.1)
    row_of = {question: row for row, question in enumerate(table.question_ids)}
    asked: list[int] = []
    while questions := certifier.next(1):
        asked += (rows := [row_of[question] for question in questions])
        certifier.add(table.take(rows))
    certificate = certifier.certificate(PRINTS)
    whole, part = report(table, certificate), report(table.take(asked), certificate)
    assert whole == part
    said = Page(whole).said
    assert "Tested on 21 questions about 21 patients." in said
    assert "as soon as the evidence was enough: 79 of the 100 questions planned were never needed." in said
    assert "Stopped early where possible yes" in said
    with pytest.raises(InputError, match="50 patients in radiology, the certificate tested 21"):
        report(table.take(range(50)), certificate)


@pytest.mark.parametrize("columns", [1, 2])
def test_few_choices(columns: int, report: Callable[..., str]) -> None:
    similarities = np.zeros((30, columns - 1))
    page = Page(report(outcomes(np.zeros((30, columns)), similarities=similarities), taus=(0.7,)))
    assert ["0.7", "0%", "no answers given", "no"] in page.cells
    assert not [row for row in page.cells if "MMed-RAG" in row[0]]


def test_the_foot(tmp_path: Path, two_domains: OutcomeTable) -> None:
    certificate = certify(two_domains, alpha=0.4, delta=0.1, fingerprints=PRINTS, other_patient_hashes={"train": []})
    write_report(tmp_path / "a.html", certificate, two_domains, certificate_path=tmp_path / "mine.json")
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    for entry in (
        "Certificate mine.json",
        "Promised error α 0.4",
        "Chance δ that a promise is false 0.1",
        "Procedure closed testing by averaged capital",
        "p-value betting",
        "Prior uniform",
        "Independent unit patient",
        "Shares no patient with train",
        "Fingerprint: mllm 0123456789ab Fingerprint",
        f"Version: numpy {np.__version__}",
        f"Calibrated {certificate.created}",
        "Any single answer can be wrong",
        "another hospital",
        "up to a share of 0.1 may promise something that is not true",
    ):
        assert entry in page.said
    assert str(tmp_path) not in page.said
    prefer = outcomes(
        np.zeros((10, 3)), units=[f"x{row}" for row in range(10)], question_ids=[f"x{i}" for i in range(10)]
    )
    informed = certify(two_domains, alpha=0.4, delta=0.1, fingerprints=PRINTS, prior_outcomes=prefer)
    write_report(tmp_path / "b.html", informed, two_domains)
    source = (tmp_path / "b.html").read_text(encoding="utf-8")
    assert f"from the outcomes of other patients (table {prefer.fingerprint[:12]})" in source


def test_hostile_names_are_only_text(report: Callable[..., str], graded: OutcomeTable) -> None:
    source = report(replace(graded, domains=[HOSTILE] * 60), gammas=(0.5,), taus=(0.6,))
    page = Page(source)
    assert "script" not in page.tags
    assert "<script src='http://evil.example/x.js'>alert(1)</script>\\x00\\u202e$" in page.said
    assert not re.search("[\x00\u202e\ud800]", source)
    assert len(drawings(source)) == 3  # which parse as XML all the same


def test_needs_nothing_from_elsewhere_and_tells_no_secrets(report: Callable[..., str], graded: OutcomeTable) -> None:
    source = report(graded, gammas=(0.5,), taus=(0.6,))
    page = Page(source)
    assert {value for _, value in page.attributes if "//" in value} == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert {name for name, value in page.attributes if "//" in value} == {"xmlns", "xmlns:xlink"}
    targets = [value for name, value in page.attributes if name in ("href", "xlink:href", "src")]
    assert all(value.startswith("#") for value in targets)
    assert {value.removeprefix("#") for value in targets} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", source)) <= set(page.ids)
    assert not re.search(r"@import|url\((?!#)|<!DOCTYPE (?!html>)", source)
    assert not re.search(r"patient-\d|question-\d|secret", source)
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(page.tags)


def test_drawings_are_told_to_those_who_do_not_see_them(report: Callable[..., str], graded: OutcomeTable) -> None:
    risks, thresholds, contexts = drawings(report(graded, gammas=(0.5,), taus=(0.6,)))
    for drawing in (risks, thresholds, contexts):
        assert drawing.get("role") == "img"
        title, description = list(drawing)[:2]
        assert drawing.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert (title.text or "").endswith("radiology")
        assert len(description.text or "") > 20
    words = {"".join(node.itertext()) for node in risks.iter("{http://www.w3.org/2000/svg}text")}
    assert {"reports read, at most (k)", "average error", "α = 40 %", "chosen"} <= words


def test_the_same_input_gives_the_same_bytes(report: Callable[..., str], graded: OutcomeTable) -> None:
    certificate = certify(graded, alpha=0.4, delta=0.1, fingerprints=PRINTS, gammas=(0.5,), taus=(0.6,))
    order = np.random.default_rng(0).permutation(60).tolist()
    first = report(graded, certificate)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red"}):
        assert report(graded.take(order), certificate) == first


@pytest.mark.parametrize("change", ["losses", "patients", "domain", "fewer"])
def test_other_outcomes_are_refused(change: str, report: Callable[..., str], two_domains: OutcomeTable) -> None:
    certificate = certify(two_domains, alpha=0.4, delta=0.1, fingerprints=PRINTS)
    other, message = {
        "losses": (
            replace(two_domains, losses=1 - two_domains.losses),
            "in pathology are not what the certificate says",
        ),
        "patients": (replace(two_domains, units=[f"x{i}" for i in range(120)]), "outcomes are not those that"),
        "domain": (two_domains.select("radiology"), "outcomes are of other domains"),
        "fewer": (two_domains.take(range(119)), "19 patients in pathology, the certificate tested 20"),
    }[change]
    with pytest.raises(InputError, match=message):
        report(other, certificate)


def test_cannot_be_written(tmp_path: Path, two_domains: OutcomeTable) -> None:
    certificate = certify(two_domains, alpha=0.4, delta=0.1, fingerprints=PRINTS)
    with pytest.raises(InputError, match="cannot write"):
        write_report(tmp_path / "missing" / "report.html", certificate, two_domains)


def test_intervals_by_hand() -> None:
    rng = np.random.default_rng(1)
    errors = (rng.random((40, 2)) < 0.3).astype(np.float64)
    low, high = risk_intervals(errors, np.ones((40, 2)), seed=7)
    patients = [str(row) for row in range(40)]
    for column in range(2):
        # `bootstrap_interval` numbers patients by name, which changes nothing for its draws of places.
        ordered = errors[np.argsort(patients), column]
        same = bootstrap_interval(errors[:, column], patients, seed=7)
        expected = risk_intervals(ordered[:, None], np.ones((40, 1)), seed=7)
        assert same == pytest.approx((expected[0][0], expected[1][0]))
    assert (low < errors.mean(axis=0)).all() and (errors.mean(axis=0) < high).all()
    # Two patients, only one of them answered: drawn twice the other gives no answer, which counts as risk 1.
    low, high = risk_intervals(np.array([[0.0], [0.0]]), np.array([[1.0], [0.0]]))
    assert (low[0], high[0]) == (0.0, 1.0)


def test_markup_escapes_what_is_not_markup() -> None:
    assert element("p", '1 < 2 & "3"', element("br"), class_="a'b") == (
        '<p class="a&#x27;b">1 &lt; 2 &amp; &quot;3&quot;<br></p>'
    )
    assert text("a\x07b\u2066c") == r"a\x07b\u2066c"
    assert text(element("b", "x")) == "<b>x</b>"


def test_tells_the_error_over_questions_beside_that_over_patients(
    report: Callable[..., str],
) -> None:
    # One patient with three wrong answers and nine with a right one: 10 % of the patients' means, 3 of 12 questions.
    table = outcomes(np.array([[1.0]] * 3 + [[0.0]] * 9), units=["p"] * 3 + [f"p{row}" for row in range(9)])
    said = Page(report(table)).said
    assert "With every question counted once, instead of every patient, the error of k = 0 was 25.0%" in said
