"""The page: every figure with the command that makes it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results.archive import OTHER
from samples.build.worlds import WORLDS
from titrate import write_atomic

PAGE = "unseen.md"
_WAYS = {"above": "risk above α", "broken": "promised, and above α", "seen": "above α among those not drawn"}
_MEASURES = ("accuracy", "difference", "gain", "right", "answered", "contexts")


def write_page(folder: Path, worlds: Mapping[str, Mapping[str, Any]], command: str) -> Path:
    """Write Markdown; the plots beside it are there already.

    Parameters
    ----------
    folder
        Of the page.
    worlds
        The figures of each.
    command
        That makes the page again.
    """
    parts = [_opening(command)]
    for world, figures in worlds.items():
        parts += _world(world, figures, f"{command} WORLDS={world}")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / PAGE, "\n\n".join(parts) + "\n")
    return folder / PAGE


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """A figure; a dash where there is none.

    >>> number(0.25), number(-0.1, signed=True), number(None)
    ('0.250', '−0.100', '–')
    """
    if value is None:
        return "–"
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def estimate(figure: Mapping[str, Any], *, signed: bool = False, percent: bool = False, interval: bool = True) -> str:
    """A figure with its interval.

    >>> estimate({"value": 0.25, "low": 0.2, "high": 0.3}, signed=True, percent=True)
    '+25.0 % (+20.0 to +30.0)'
    """
    value, low, high = (figure[name] for name in ("value", "low", "high"))
    if percent:
        value, low, high = (None if one is None else 100 * one for one in (value, low, high))
    digits = 1 if percent else 3
    shown = number(value, digits, signed=signed) + (" %" if percent and value is not None else "")
    if value is None or low is None or not interval:
        return shown
    return f"{shown} ({number(low, digits, signed=signed)} to {number(high, digits, signed=signed)})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _opening(command: str) -> str:
    return "\n".join(
        [
            "# Archives that the models have never seen",
            "",
            f"Written by `{command}`; change nothing by hand. The sources of the data are parted into two worlds",
            "(`samples/build/worlds.py`). The encoder and the reader of a world were trained on its own sources; the",
            "archive here is the **other** world's, which they have never seen. Everything is chosen on `prefer` and",
            "`calibrate`, and judged once on `test`, closed questions only, about images out of domain, too.",
            "",
            "α, unless it is given, is the least multiple of 0.05 that is 0.05 above the risk of the best k on",
            "`prefer`, in the domain where that is worst.",
            "",
            "Intervals in brackets: 95 %, bootstrap over patients (2,000 draws, seed 0), paired where two are",
            "compared; the figure is the mean over the seeds, and each draw takes the same patients for all of them.",
        ]
    )


def _world(world: str, figures: Mapping[str, Any], command: str) -> list[str]:
    made = figures["made"]
    of = made["sizes"]
    parts = [
        f"## World {world}: trained on {', '.join(WORLDS[world])}",
        f"Archive: {', '.join(WORLDS[OTHER[world]])}. `test` has {of['questions']:,} closed questions of "
        f"{of['patients']:,} patients; K = {made['max_k']}, α = {made['alpha']:g}, δ = {made['delta']:g}, seeds "
        f"{', '.join(map(str, made['seeds']))}.\n\n"
        f"- The encoder {'is tuned on the train split of it' if made['tuned'] else 'is not tuned on it'}.\n"
        f"- Fingerprints: encoder before tuning {made['encoder'][:12]}, reader {made['mllm'][:12]}\n"
        f"- Command: `{command}`",
        "### What each way of answering comes to",
        _comparators(figures["comparators"]),
        "*Accuracy* is of the answers given, *difference* and *gain* are against no retrieval on the same questions; "
        "the gain is relative, its mean over sources in which anything is answered. *Right* is the share of all "
        "questions that get the right answer, so that who declines is no better for it.",
        "### By source",
        _sources(figures["comparators"]),
        "Accuracy of the answers given, and relative gain over no retrieval on the same questions.",
        "### What was chosen, and the risk that came of it",
        _risks(figures["comparators"], made),
        f"Risk: mean over patients of their mean loss, of the answers given, on `test`; promised is at most "
        f"{made['alpha']:g}. The last columns count seeds.",
    ]
    parts.append(f"![Risk against the number of reports](risks-{world}.svg)")
    if "leaning" in figures:
        parts += _leaning(figures["leaning"], made)
        parts += [f"Not trained on {name}: {why}." for name, why in figures.get("not trained", {}).items()]
        parts.append(f"![Over-reliance and harm](leaning-{world}.svg)")
    if "violations" in figures:
        parts += _violations(figures["violations"], made)
        parts.append(f"![How often the risk is above α](violations-{world}.svg)")
    if "ablations" in figures:
        parts += _ablations(figures["ablations"], made)
    return parts


def _comparators(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("", "accuracy", "difference", "gain", "right, of all", "answered", "mean k", "gain, each seed")
    cells = []
    for row in rows:
        if row["note"]:
            cells.append([row["comparator"], row["note"], *[""] * (len(head) - 2)])
            continue
        each = ", ".join("–" if one is None else number(100 * one, 1, signed=True) for one in row["gain"]["seeds"])
        cells.append(
            [
                row["comparator"],
                estimate(row["accuracy"]),
                estimate(row["difference"], signed=True),
                estimate(row["gain"], signed=True, percent=True),
                estimate(row["right"], interval=False),
                estimate(row["answered"], percent=True, interval=False),
                number(row["contexts"]["value"], 1),
                each,
            ]
        )
    return table(head, cells)


def _sources(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(rows[0]["sources"])
    return table(
        ["", *names],
        [
            [row["comparator"]]
            + [
                f"{estimate(row['sources'][name]['accuracy'], interval=False)}, "
                f"{estimate(row['sources'][name]['gain'], signed=True, percent=True)}"
                for name in names
            ]
            for row in rows
            if not row["note"]
        ],
    )


def _risks(rows: Sequence[Mapping[str, Any]], made: Mapping[str, Any]) -> str:
    cells = []
    for row in rows:
        for name, of in row["domains"].items():
            if row["note"] or not any(of["chosen"]):
                continue
            chosen = "; ".join(dict.fromkeys(str(told) for told in of["chosen"]))
            cells.append(
                [row["comparator"], name, chosen, estimate(of["risk"]), str(of["promised"]), str(of["above"]),
                 str(of["broken"])]
            )  # fmt: skip
    several = f"of {len(made['seeds'])}"
    head = ("", "domain", "chosen", "risk", f"promised, {several}", f"above α, {several}", f"broken, {several}")
    return table(head, cells)


def _violations(found: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    parts = ["### How often the risk is above α, had other patients been there to choose by"]
    for alpha, rows in found["alphas"].items():
        head = (f"α = {float(alpha):g}", *_WAYS.values(), "answers something", "promises something")
        parts.append(
            table(
                head,
                [
                    [
                        row["comparator"],
                        *(number(row[way]) for way in _WAYS),
                        number(row["chosen"]),
                        number(row["promised"]),
                    ]
                    for row in rows
                ],
            )
        )
    parts.append(
        f"Shares of {found['resamples']:,} resamples, seed {made['seeds'][0]}. The patients of `calibrate` and `test` "
        "together are the population, so the risk of everything chosen is known; each resample draws as many patients "
        "of every domain as `calibrate` has, with replacement. A promise may be false in a share "
        f"{made['delta']:g} of them. (Patients of `calibrate` drawn again and judged on `test` would be stand-ins for "
        "patients that nobody met.) *Among those not drawn* is what a check on new patients shows: a guess, which may "
        "be above α though the promise is true."
    )
    return parts


def _leaning(domains: Mapping[str, Sequence[Mapping[str, Any]]], made: Mapping[str, Any]) -> list[str]:
    head = ("domain", "policy", "pairs trained on", "over-reliance", "harm", "help", "accuracy")
    cells = [
        [name, row["policy"], row["pairs"] or "–"]
        + [
            f"{number(row[what]['value'])}; {estimate(row[f'{what} change'], signed=True, percent=relative)}"
            for what, relative in (("over-reliance", True), ("harm", True), ("help", False), ("accuracy", False))
        ]
        for name, rows in domains.items()
        for row in rows
    ]
    return [
        "### Leaning on reports",
        table(head, cells),
        f"*Over-reliance*: of the wrong answers, the share that the same model gets right without reports. *Harm*: of "
        f"those right without, the share that is wrong. *Help*: of those wrong without, the share that is right. After "
        f"the semicolon the change from reading all {made['max_k']} reports untrained, relative for the first two. "
        "Pairs are mined on `prefer`; trained with IPO (`benchmarks/results/pairs.py`).",
    ]


def _ablations(rows: Sequence[Mapping[str, Any]], made: Mapping[str, Any]) -> list[str]:
    names = list(rows[0]["columns"])
    cells = [
        [row["setting"]]
        + [
            f"{number(own['accuracy']['value'])}; {estimate(own['difference'], signed=True)}" if own else ""
            for own in (row["columns"].get(name) for name in names)
        ]
        for row in rows
    ]
    how = "the tuned encoder" if made["tuned"] else "the encoder as it is"
    return [
        "### One thing done otherwise",
        table(("", *names), cells),
        f"Accuracy on `test`, and the difference from the first row; seed {made['seeds'][0]}. *As above*: {how}, a "
        "collection for each domain, images compared with images (no report vectors), the most similar report first.",
    ]
