"""Plots of a measured run, as SVG files: risk against k, probability against accuracy, and what contexts do to answers.

Closed questions only, every question counting once.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from calibration import Policy
from rag.evaluation.measured import MeasuredRun, PolicyMeasures
from rag.evaluation.measures import BINS
from rag.evaluation.metrics import Estimate
from rag.evaluation.policies import CERTIFIED_POLICY
from rag.report.plots import COLOURS, LINES, SHAPES, Caption, draw_svg, whole_numbers
from rag.report.words import policy_name
from titrate import InputError, write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEWEST = 10
"""Answers in a bin whose mark is filled; of fewer, the share right says little."""


def save_plots(measured: MeasuredRun, folder: Path) -> list[Path]:
    """Draw each domain, and all closed questions together; the files' paths, in order.

    Each group has ``risk-NAME.svg`` (wrong answers against the number of reports), ``reliability-NAME.svg`` (share of
    right answers against the probability said) and ``reliance-NAME.svg`` (over-reliance, harm and help). What does not
    exist is not drawn: no reliability without probabilities, no reliance with no reports.

    Parameters
    ----------
    measured
        The run.
    folder
        Made if it is not there; files of these names are replaced.

    Raises
    ------
    InputError
        If the run has no closed questions, or the folder cannot be written.
    """
    groups: dict[str | None, list[PolicyMeasures]] = {}
    for row in measured.rows:
        if row.source is None and row.measures.positive != "open":
            groups.setdefault(row.domain, []).append(row)
    if not groups:
        raise InputError("plots are of questions with options, and there are none; leave out --plots")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {folder}: {error.strerror}; choose another folder") from error
    written: list[Path] = []
    for domain, rows in groups.items():
        name, title = _file_name(domain, written), "all closed questions" if domain is None else f"domain {domain}"
        by_name = {row.policy: row for row in rows}
        by_k = [by_name[policy_name(Policy(k))] for k in range(len(rows)) if policy_name(Policy(k)) in by_name]
        drawn = {
            "risk": _risk(title, by_k, by_name.get(CERTIFIED_POLICY)),
            "reliability": _reliability(title, [by_k[0], by_name.get(CERTIFIED_POLICY) or by_k[-1]]),
            "reliance": _reliance(title, by_k),
        }
        for kind, svg in drawn.items():
            if svg is not None:
                written.append(folder / f"{kind}-{name}.svg")
                write_atomic(written[-1], svg + "\n", private=True)
    return written


def _file_name(domain: str | None, written: Sequence[Path]) -> str:
    """A name of letters that every file system takes, another one for each domain."""
    name = "all" if domain is None else "domain-" + re.sub(r"[^A-Za-z0-9]+", "-", domain).strip("-").lower()[:60]
    taken, number = {path.stem.removeprefix("risk-") for path in written}, 2
    unique = name
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    return unique


def _series(axes: "Axes", number: int, label: str, points: Sequence[tuple[float, Estimate]]) -> None:
    """Marks with their intervals, joined by a line."""
    colour, places = COLOURS[number], [place + 0.1 * number for place, _ in points]
    values = [each for _, each in points]
    axes.vlines(places, [each.low for each in values], [each.high for each in values], color=colour, linewidth=1)
    line, mark = LINES[number], SHAPES[number]
    axes.plot(places, [each.value for each in values], mark, color=colour, linestyle=line, linewidth=1, label=label)


def _by_k(rows: Sequence[PolicyMeasures], figure: str) -> list[tuple[float, Estimate]]:
    found = ((float(k), row.measures.by_question[figure]) for k, row in enumerate(rows))
    return [(k, each) for k, each in found if each is not None]


def _risk(title: str, rows: Sequence[PolicyMeasures], certified: PolicyMeasures | None) -> str | None:
    points = [(k, Estimate(1 - each.value, 1 - each.high, 1 - each.low)) for k, each in _by_k(rows, "accuracy")]
    if not points:
        return None
    chosen = None if certified is None else certified.measures.by_question["accuracy"]

    def draw(axes: "Axes") -> None:
        _series(axes, 0, "fixed k", points)
        if chosen is not None:
            axes.axhline(1 - chosen.value, color=COLOURS[1], linewidth=1.4, linestyle=LINES[1], label=CERTIFIED_POLICY)
            axes.axhspan(1 - chosen.high, 1 - chosen.low, color=COLOURS[1], alpha=0.12, linewidth=0)
        _percent(axes, "wrong answers")
        axes.set_xlabel("reports read, at most (k)")
        whole_numbers(axes)

    said = ", ".join(f"{100 * each.value:.1f} % at {k:.0f}" for k, each in points)
    return draw_svg(Caption("risk", f"Risk against k, {title}", f"Wrong answers: {said} reports."), draw)


def _reliability(title: str, rows: Sequence[PolicyMeasures]) -> str | None:
    known = [row for row in {row.policy: row for row in rows}.values() if row.measures.bins]
    if not known:
        return None

    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=(0, (6, 3)), label="as sure as right")
        for number, row in enumerate(known):
            colour, mark = COLOURS[number], SHAPES[number]
            for counted, name in ((True, row.policy), (False, f"{row.policy}, fewer than {_FEWEST} answers")):
                bins = [each for each in row.measures.bins or () if (each.answers >= _FEWEST) == counted]
                points = [(each.probability, each.right) for each in bins]
                if points:
                    x, y = zip(*points, strict=True)
                    filling = colour if counted else "white"
                    axes.plot(x, y, mark, color=colour, markerfacecolor=filling, linestyle="none", label=name)
        _percent(axes, "right answers")
        axes.set_xlim(0, 1.02)
        axes.set_xlabel(f"mean probability of the answer given, in {BINS} equal bins")

    errors = [(row.policy, row.measures.by_question["calibration_error"]) for row in known]
    said = "; ".join(f"{name}: {each.value:.3f}" for name, each in errors if each is not None)
    return draw_svg(Caption("reliability", f"Reliability, {title}", f"Expected calibration error of {said}."), draw)


def _reliance(title: str, rows: Sequence[PolicyMeasures]) -> str | None:
    curves = {name: _by_k(rows, name) for name in ("over_reliance", "harm", "help")}
    curves = {name: [(k, each) for k, each in points if k > 0] for name, points in curves.items()}
    if not any(curves.values()):
        return None

    def draw(axes: "Axes") -> None:
        for number, (name, points) in enumerate(curves.items()):
            if points:
                _series(axes, number, name.replace("_", "-"), points)
        _percent(axes, "share")
        axes.set_xlabel("reports read, at most (k)")
        whole_numbers(axes)

    said = "; ".join(
        f"{name.replace('_', '-')} " + ", ".join(f"{100 * each.value:.1f} % at {k:.0f}" for k, each in points)
        for name, points in curves.items()
        if points
    )
    return draw_svg(Caption("reliance", f"What reports do to answers, {title}", f"{said} reports."), draw)


def _percent(axes: "Axes", label: str) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.set_ylim(-0.04, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel(label)
