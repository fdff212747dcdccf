"""The page's plots, as small SVG files."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.report.plots import plain_style
from titrate import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS, _SHAPES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7"), ("o", "s", "^", "D")  # Okabe and Ito's
_SIZE = (6.4, 4.0)  # inches


def plot_risks(path: Path, rows: Sequence[Mapping[str, Any]], alpha: float) -> None:
    """Draw the risk on `test` against k, a line for each domain, from the figures of `compare`."""
    fixed = [row for row in rows if row["comparator"] == "no retrieval" or row["comparator"].startswith("k = ")]
    fixed = [row for row in fixed if not row["comparator"].endswith("DPO")]

    def draw(axes: "Axes") -> None:
        for number, domain in enumerate(fixed[0]["domains"]):
            of = [row["domains"][domain]["risk"] for row in fixed]
            shift = [k + 0.08 * number for k in range(len(of))]
            colour = _COLOURS[number % len(_COLOURS)]
            axes.plot(shift, [one["value"] for one in of], color=colour, marker=_SHAPES[number % 4], label=domain)
            axes.vlines(shift, [one["low"] for one in of], [one["high"] for one in of], color=colour, linewidth=1)
        axes.axhline(alpha, color="black", linestyle=(0, (6, 3)), label=f"α = {alpha:g}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("reports read (k)")
        axes.set_ylabel("risk: mean over patients of their mean loss")

    _write(path, draw)


def plot_violations(path: Path, rows: Sequence[Mapping[str, Any]], alpha: float, delta: float) -> None:
    """Draw how often each comparator's risk is above alpha, and how often among those not drawn."""

    def draw(axes: "Axes") -> None:
        places = range(len(rows))
        for number, (way, label) in enumerate((("above", "risk"), ("seen", "risk among those not drawn"))):
            axes.barh(
                [place + 0.2 - 0.4 * number for place in places],
                [row[way] for row in rows],
                height=0.38,
                color=_COLOURS[number],
                hatch="" if number == 0 else "//",
                edgecolor="white",
                label=label,
            )
        axes.axvline(delta, color="black", linestyle=(0, (6, 3)), label=f"δ = {delta:g}")
        axes.set_yticks(list(places), [row["comparator"] for row in rows])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"share of resamples in which it is above α = {alpha:g}")

    _write(path, draw)


def plot_leaning(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw over-reliance and harm of each policy that reads K reports, before and after training."""

    def draw(axes: "Axes") -> None:
        places = range(len(rows))
        for number, what in enumerate(("over-reliance", "harm")):
            values = [row[what]["value"] or 0.0 for row in rows]
            at = [place + 0.2 - 0.4 * number for place in places]
            hatch = "" if number == 0 else "//"
            axes.barh(at, values, height=0.38, color=_COLOURS[number], hatch=hatch, edgecolor="white", label=what)
            known = [(y, row[what]) for y, row in zip(at, rows, strict=True) if row[what]["low"] is not None]
            axes.hlines([y for y, _ in known], [one["low"] for _, one in known], [one["high"] for _, one in known],
                        color="black", linewidth=1)  # fmt: skip
        names = [row["policy"] + (f", trained: {row['pairs']}" if row["pairs"] else "") for row in rows]
        axes.set_yticks(list(places), names)
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel("share")

    _write(path, draw)


def _write(path: Path, draw: "Callable[[Axes], None]") -> None:
    from matplotlib.figure import Figure

    with plain_style(path.stem), io.StringIO() as file:
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        drawn = file.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, drawn)
