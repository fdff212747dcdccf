"""No identifier of a DICOM header, indexed or asked about, comes out of asking, calibrating or evaluating.

`test_identifiers` holds the same of indexing, and what the sentinels are.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from tests.preference.tiny import make_mllm
from tests.promises.test_identifiers import Sentinels, planted_file, write_corpus

INDEXED, CALIBRATED, TESTED = 6, 16, 6


@dataclass(frozen=True)
class Ward:
    """An index, a model and questions, all about DICOM files full of sentinels."""

    folder: Path
    sentinels: Sentinels
    canary: str
    """In the reports, which may be shown: where it is not found, the search is blind."""

    def run(self, *words: object) -> str:
        """What a command says on stdout and stderr."""
        result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout + result.stderr

    def models(self) -> list[object]:
        return ["--index", self.folder / "index", "--mllm", self.folder / "mllm", "--device", "cpu"]

    def found(self, text: str) -> set[str]:
        return self.sentinels.found_in(text.encode())


@pytest.fixture(scope="module")
def ward(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Ward:
    folder, sentinels = tmp_path_factory.mktemp("ward"), Sentinels()
    made = Ward(folder, sentinels, sentinels.text())
    indexed = {f"indexed-{number}": planted_file(sentinels) for number in range(INDEXED)}
    write_corpus(folder / "corpus", indexed, f"Report {made.canary}.")
    make_mllm(folder / "mllm", seed=3)
    encoder = f"local-dir:{samples / 'models/encoder'}"
    made.run("index", folder / "corpus", "--index", folder / "index", "--encoder", encoder, "--device", "cpu")
    lines = []
    for number in range(CALIBRATED + TESTED):
        (folder / f"asked-{number}.dcm").write_bytes(planted_file(sentinels))
        split = "calibrate" if number < CALIBRATED else "test"
        line = {"id": f"q{number}", "image": f"asked-{number}.dcm", "question": "Is it clear?", "split": split}
        line |= {"answer": "yes" if number % 2 else "no", "patient": sentinels.text(), "study": sentinels.uid()}
        lines.append(json.dumps({**line, "options": ["yes", "no"]}) + "\n")
    (folder / "questions.jsonl").write_text("".join(lines))
    return made


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Give a function that returns all that has been logged, down to the lowest level."""
    for name in ("", *logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name or None)
    return lambda: "\n".join(f"{r.getMessage()} {r.exc_text} {r.args}" for r in caplog.records)


def test_asking(ward: Ward, logged: Callable[[], str]) -> None:
    image = ward.folder / "asked-0.dcm"
    assert len(ward.sentinels.found_in(image.read_bytes())) > 50, "the sentinels are there to be found"
    words = ["ask", image, "Is it clear?", *ward.models(), "--k", 3, "--show-prompt"]
    whose = ["--patient", ward.sentinels.text(), "--study", ward.sentinels.uid()]
    for more in (["--options", "yes,no"], []):
        for shape in (["--json"], []):
            said = ward.run(*words, *whose, *more, *shape)
            assert ward.found(said) == {ward.canary}
            assert "indexed-" in said and "Report [1]: Report" in said
    assert ward.found(logged()) <= {ward.canary}


def test_calibrating_and_evaluating(
    ward: Ward, logged: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = [ward.folder / "questions.jsonl", *ward.models(), "--max-k", 2]
    texts = [ward.run("calibrate", *asked, "--alpha", 0.99, "--report", "report.html")]
    texts += [ward.run("evaluate", *asked, "--certificate", "certificate.json", *shape) for shape in ([], ["--json"])]
    words = ["ask", ward.folder / "asked-0.dcm", "Is it clear?", *ward.models(), "--options", "yes,no"]
    certified = ward.run(*words, "--certificate", "certificate.json", "--json")
    assert '"certified": true' in certified and ward.found(certified) <= {ward.canary}
    texts += [ward.run("info", "--index", ward.folder / "index", "--certificate", "certificate.json", "--json")]
    assert ward.found("\n".join(texts)) == set()
    assert ward.found(logged()) <= {ward.canary}
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert {Path("certificate.json"), Path("report.html")} < written
    kept = {name.name.split("-")[0]: name for name in written if name.parts[0] == "outcomes"}
    assert {"looks.jsonl", "look"} < set(kept)
    outcomes = [name for start, name in kept.items() if not start.startswith("look")]
    assert len(outcomes) == 1 and (tmp_path / outcomes[0]).read_text().count("\n") == CALIBRATED + TESTED
    for name in written:
        assert ward.sentinels.found_in((tmp_path / name).read_bytes()) == set(), name
    certificate = json.loads((tmp_path / "certificate.json").read_text())
    assert certificate["rounds"] == [CALIBRATED]
