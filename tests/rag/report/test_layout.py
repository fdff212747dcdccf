"""No part of the report is cut off on a narrow screen; what this rests on can be told without a browser."""

import re
from pathlib import Path

import numpy as np
import pytest

from calibration import FINGERPRINTS, certify
from rag.report.html import write_report
from rag.report.style import CSS
from tests.rag.report_pages import Page, outcomes


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A report with every kind of table, of a domain whose name has nowhere to break."""
    losses = np.zeros((60, 4))
    losses[:6] = 1
    table = outcomes(losses, domains=["ophthalmology" * 9] * 60, similarities=np.tile([5.0, 4.9, 2.0], (60, 1)))
    prints = dict.fromkeys(FINGERPRINTS, "0")
    write_report(tmp_path / "a.html", certify(table, alpha=0.4, delta=0.1, fingerprints=prints, taus=(0.4,)), table)
    return (tmp_path / "a.html").read_text(encoding="utf-8")


def rule(selector: str) -> str:
    """The declarations of a selector outside of any media query."""
    found = re.search(rf"^{re.escape(selector)} {{([^}}]*)}}", CSS, flags=re.MULTILINE)
    assert found, f"no rule for {selector}"
    return " ".join(found[1].split())


def test_a_table_wider_than_the_page_scrolls_by_itself(source: str) -> None:
    boxes = re.findall(r'<div class="scroll" role="region" aria-label="([^"]+)" tabindex="0"><table>', source)
    assert len(boxes) == source.count("<table") == 4
    assert boxes == [
        "Results by domain",
        f"Ways to choose, {'ophthalmology' * 9}",
        f"Leaning on reports, {'ophthalmology' * 9}",
        f"Thresholds, {'ophthalmology' * 9}",
    ]
    assert "overflow-x: auto" in rule(".scroll")


def test_plot_and_table_share_a_row_only_where_the_widest_table_has_room(source: str) -> None:
    # In Chromium the table of six columns is 550 pixels wide at the least, and figures were given 416 (26 rem).
    assert max(len(row) for row in Page(source).cells) == 6
    basis = re.search(r"flex: 1 1 (\d+)rem", rule("figure"))
    assert basis
    assert int(basis[1]) * 16 >= 550


def test_cells_carry_the_heading_of_their_column_for_screens_without_room_for_columns(source: str) -> None:
    tables = re.findall(r"<thead>(.*?)</thead><tbody>(.*?)</tbody>", source)
    assert len(tables) == 4
    for head, body in tables:
        headings = re.findall(r"<th [^>]*>(.*?)</th>", head)
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body):
            assert re.findall(r'<td data-label="([^"]*)">', row) == headings[1:]
    assert "content: attr(data-label)" in CSS


def test_words_without_spaces_may_break() -> None:
    assert "overflow-wrap: anywhere" in rule("body")
    assert "overflow-wrap: anywhere" in rule("tbody th")
    assert "minmax(0, 1fr)" in rule("dl")
