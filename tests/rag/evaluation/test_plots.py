"""Plots of a measured run, read back as SVG: what they say, and that nothing of a file ends up as mark-up."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from rag import FIGURES, Bin, MeasuredRun, Measures, PolicyMeasures, save_plots
from rag.evaluation.metrics import Estimate
from titrate import InputError

SVG = "{http://www.w3.org/2000/svg}"


def row(policy: str, domain: str | None, positive: str = "yes", **values: float) -> PolicyMeasures:
    figures = {name: Estimate(values[name], 0.0, 1.0) if name in values else None for name in FIGURES}
    bins = (Bin(12, 0.9, 0.75), Bin(3, 0.55, 1.0)) if "calibration_error" in values else None
    return PolicyMeasures(policy, domain, None, Measures(20, 10, 20, positive, figures, figures, bins))


def described(path: Path) -> tuple[str, str]:
    drawing = ElementTree.parse(path).getroot()  # well-formed as it stands
    title, description = drawing.find(f"{SVG}title"), drawing.find(f"{SVG}desc")
    assert title is not None and description is not None
    return str(title.text), str(description.text)


def test_what_is_drawn(tmp_path: Path) -> None:
    rows = [
        row("k = 0", "<b>Röntgen", accuracy=0.75, calibration_error=0.125),
        row("k = 1", "<b>Röntgen", accuracy=0.5, over_reliance=0.6, harm=0.4),
        row("k = 0", "b R?ntgen", accuracy=1.0),
        row("k = 0", None, accuracy=0.8),
        row("certified policy", None, accuracy=0.9),
        row("k = 0", None, "open", token_f1=0.5),
    ]
    written = save_plots(MeasuredRun({}, 0, rows, []), tmp_path / "plots")
    assert [path.name for path in written] == [
        "risk-domain-b-r-ntgen.svg", "reliability-domain-b-r-ntgen.svg", "reliance-domain-b-r-ntgen.svg",
        "risk-domain-b-r-ntgen-2.svg", "risk-all.svg",
    ]  # fmt: skip
    risk, reliability, reliance = (described(path) for path in written[:3])
    assert risk == ("Risk against k, domain <b>Röntgen", "Wrong answers: 25.0 % at 0, 50.0 % at 1 reports.")
    assert reliability[1] == "Expected calibration error of k = 0: 0.125."
    assert reliance[1] == "over-reliance 60.0 % at 1; harm 40.0 % at 1 reports."
    texts = [each.text for each in ElementTree.parse(written[1]).getroot().iter(f"{SVG}text")]
    assert {"k = 0", "k = 0, fewer than 10 answers", "as sure as right"} <= set(texts)
    assert "certified policy" in written[4].read_text()


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave out --plots"):
        save_plots(MeasuredRun({}, 0, [row("k = 0", None, "open", token_f1=0.5)], []), tmp_path / "plots")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="choose another folder"):
        save_plots(MeasuredRun({}, 0, [row("k = 0", None, accuracy=1.0)], []), tmp_path / "file")
