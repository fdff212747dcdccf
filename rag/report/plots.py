"""The plots of the calibration report, as SVG to put into a page, and what all drawings share.

Told apart by the shape and filling of their marks as well as by colour, so that they work in black and white. All text
drawn is ours: what comes from files goes into the title and the description only.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration import PolicyResult
from rag.report.markup import Html, element

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of Okabe and Ito's palette, told apart by the colour-blind and by their greys.
COLOURS, SHAPES = ("#0072b2", "#d55e00", "#009e73"), ("o", "s", "^")
LINES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (2, 2)), (0, (6, 2)))
_STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and copied
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}
_FONTS = "'DejaVu Sans', Verdana, sans-serif"  # of the same widths; the first comes with matplotlib
_SIZE = (6.4, 4.2)  # inches


@dataclass(frozen=True)
class Caption:
    """A plot's name, unique on its page, and the title and description for readers who do not see the plot."""

    name: str
    title: str
    description: str


@dataclass(frozen=True)
class Curve:
    """Policies to join by a line, in the order of their k, and the line's name (empty if it is the only one)."""

    label: str
    points: Sequence[PolicyResult]


def plot_risks(caption: Caption, curves: Sequence[Curve], shown: PolicyResult, shown_as: str, alpha: float) -> Html:
    """Draw the risk against k, with intervals; policies that answer nothing have none and are left out."""

    def draw(axes: "Axes") -> None:
        for number, curve in enumerate(curves):
            shift = 0.14 * number
            given = [one for one in curve.points if one.coverage > 0]
            places = [one.policy.k + shift for one in given]
            axes.plot(places, [one.risk for one in given], color=COLOURS[number], linestyle=LINES[number], linewidth=1)
            _mark(axes, places, given, number, curve.label)
            if shown in given:
                _ring(axes, shown.policy.k + shift, shown, shown_as)
        _promise(axes, alpha, [one for curve in curves for one in curve.points])
        most = max(one.policy.k for curve in curves for one in curve.points)
        axes.set_xlim(-0.5, most + 0.5)
        axes.set_xlabel("reports read, at most (k)")

    return draw_svg(caption, draw)


def plot_thresholds(
    caption: Caption, points: Sequence[PolicyResult], shown: PolicyResult, shown_as: str, alpha: float
) -> Html:
    """Draw the risk of each threshold against the share of questions that it leaves answered."""

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import PercentFormatter

        given = [one for one in points if one.coverage > 0]
        places = [one.coverage for one in given]
        axes.plot(places, [one.risk for one in given], color=COLOURS[0], linewidth=1)
        _mark(axes, places, given, 0, "")
        for number, one in enumerate(given):
            name = f"τ = {one.policy.tau:g}" if one.policy.tau else "no τ"
            offset = (7, 7) if number % 2 else (7, -14)
            axes.annotate(name, (one.coverage, one.risk), xytext=offset, textcoords="offset points", fontsize=9)
        if shown in given:
            _ring(axes, shown.coverage, shown, shown_as)
        _promise(axes, alpha, given)
        axes.set_xlim(0, 1.12)
        axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("questions answered (coverage)")

    return draw_svg(caption, draw)


def plot_contexts(caption: Caption, counts: Sequence[int]) -> Html:
    """Draw how many questions got 0, 1, …, K contexts."""

    def draw(axes: "Axes") -> None:
        bars = axes.bar(range(len(counts)), counts, width=0.7, color="#cfe3f1", edgecolor=COLOURS[0])
        axes.bar_label(bars, fontsize=9)
        axes.set_ylim(0, 1.12 * max(counts))
        axes.set_xlabel("reports that the question got")
        axes.set_ylabel("questions")
        whole_numbers(axes)

    return draw_svg(caption, draw)


def _mark(axes: "Axes", places: Sequence[float], given: Sequence[PolicyResult], number: int, label: str) -> None:
    colour, shape = COLOURS[number], SHAPES[number]
    axes.vlines(
        places, [one.interval[0] for one in given], [one.interval[1] for one in given], color=colour, linewidth=1
    )
    for ends in ([one.interval[0] for one in given], [one.interval[1] for one in given]):
        axes.plot(places, ends, marker="_", markersize=7, color=colour, linestyle="none")
    for certified, name, filling in ((True, "certified", colour), (False, "not certified", "white")):
        chosen = [(place, one.risk) for place, one in zip(places, given, strict=True) if one.certified == certified]
        if chosen:
            x, y = zip(*chosen, strict=True)
            called = f"{label}: {name}" if label else name
            axes.plot(x, y, shape, color=colour, markerfacecolor=filling, markersize=7, linestyle="none", label=called)


def _ring(axes: "Axes", place: float, shown: PolicyResult, shown_as: str) -> None:
    axes.plot([place], [shown.risk], "o", color="black", markerfacecolor="none", markersize=15, label=shown_as)


def _promise(axes: "Axes", alpha: float, points: Sequence[PolicyResult]) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.axhline(alpha, color="black", linewidth=1.4, linestyle=(0, (6, 3)), label=f"α = {100 * alpha:.6g} %")
    top = min(1.06, 1.15 * max([alpha, *(one.interval[1] for one in points if one.coverage > 0)]))
    axes.set_ylim(-0.06 * top, top)  # so that marks at 0 are seen whole
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("average error")
    whole_numbers(axes)


def whole_numbers(axes: "Axes") -> None:
    """Label the horizontal axis with whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))


@contextmanager
def plain_style(salt: str) -> Iterator[None]:
    """The same look and the same bytes whatever the reader's own settings of matplotlib."""
    from matplotlib import style

    with style.context(["default", {**_STYLE, "svg.hashsalt": salt}]):
        yield


def draw_svg(caption: Caption, draw: "Callable[[Axes], None]") -> Html:
    """One drawing, for a page or by itself, that says what it shows to those who do not see it."""
    from matplotlib.figure import Figure

    with plain_style(caption.name), io.StringIO() as file:
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        if axes.get_legend_handles_labels()[1]:
            figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        svg = file.getvalue()
    opening = re.search(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', svg)
    assert opening  # matplotlib begins every drawing so
    # Several drawings share a page, in which an id may come once only.
    inside = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{caption.name}-", svg[opening.end() :])
    inside = inside.replace("'DejaVu Sans'", _FONTS)
    names = f"{caption.name}-title", f"{caption.name}-description"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {opening[1]} '
        f'role="img" aria-labelledby="{" ".join(names)}">'
    )
    spoken = element("title", caption.title, id=names[0]) + element("desc", caption.description, id=names[1])
    return Html(head + spoken + inside.rstrip())
