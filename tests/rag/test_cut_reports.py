"""Long reports at the command line: `index`, `calibrate` and `ask` tell what is cut, and the impression is read."""

import json
from pathlib import Path

import pytest

from indexing import CorpusOptions, Encoder, Manifest, build_index
from rag import PromptTemplate, SystemOptions
from rag.system import light_fingerprints
from tests.command_line import Run
from tests.rag.small import read_records
from titrate import InputError

BACKGROUND = "INDICATION: cough, fever and shortness of breath for " + "a very long time, " * 40 + "as was said.\n\n"
REPORT = BACKGROUND + "FINDINGS:\n\nMany small round nuclei.\n\nIMPRESSION:\n\nNuclei."
SHORT = "Few nuclei."


@pytest.fixture(scope="module")
def archive(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with an index of two long reports and a short one, a question and its image."""
    folder = tmp_path_factory.mktemp("archive")
    records = [record for record in read_records(samples) if record["domain"] == "pathology"][:4]
    corpus = [
        {
            "id": f"r{row}",
            "image": record["image"],
            "report": SHORT if row == 1 else REPORT,
            "patient": f"p{row}",
            "domain": "pathology",
        }
        for row, record in enumerate(records[:3])
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in corpus), encoding="utf-8")
    question: dict[str, object] = {
        "id": "q",
        "image": records[3]["image"],
        "question": "Are there nuclei?",
        "answer": "yes",
    }
    question |= {"options": ["yes", "no"], "patient": "p3", "split": "calibrate"}
    (folder / "questions.jsonl").write_text(json.dumps(question) + "\n", encoding="utf-8")
    encoder = Encoder.open(f"local-dir:{samples / 'models/encoder'}", "cpu")
    report = build_index(folder / "corpus.jsonl", folder / "index", encoder, CorpusOptions(root=samples))
    assert (report.embedded, report.long_reports) == (3, 2)
    return folder


def test_index_tells_of_long_reports(run: Run, archive: Path, samples: Path) -> None:
    said = run("index", archive / "corpus.jsonl", "--root", samples, "--dry-run").stderr
    assert "2 of 3 reports have more than 150 words: a model with a short context reads them cut" in said


def test_calibrate_tells_how_many_were_cut(run: Run, archive: Path, samples: Path, tmp_path: Path) -> None:
    words = ["calibrate", archive / "questions.jsonl", "--index", archive / "index", "--mllm", samples / "models/mllm"]
    words += ["--root", samples, "--alpha", 0.99, "--delta", 0.9, "--max-k", 3, "--report", tmp_path / "report.html"]
    done = run(*words, "--max-report-tokens", 60)
    assert "2 of the 3 reports retrieved are longer than 60 tokens and are read cut" in done.stderr
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2 of the 3 reports retrieved are longer than 60 tokens and were read cut" in page
    whole = run(*words, "--max-report-tokens", 1000, "--outcomes", "others")  # two looks are not the subject here
    assert "read cut" not in whole.stderr
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No report was cut: all of the 3 reports retrieved can be read whole." in page


def test_ask_shows_what_was_read(run: Run, archive: Path, samples: Path, tmp_path: Path) -> None:
    image = samples / json.loads((archive / "questions.jsonl").read_text())["image"]
    (tmp_path / "prompt.txt").write_text("Look at these cells.\n", encoding="utf-8")
    words = ["ask", image, "Are there nuclei?", "--options", "yes,no", "--index", archive / "index"]
    words += ["--mllm", samples / "models/mllm", "--k", 3, "--prompt", "prompt.txt", "--max-report-tokens", 60]
    value = json.loads(run(*words, "--json", "--show-prompt").stdout)
    read = {context["record"]: (context["report"], context["cut"]) for context in value["contexts"]}
    cut = ("… FINDINGS: Many small round nuclei. IMPRESSION: Nuclei.", True)
    assert read == {"r0": cut, "r1": (SHORT, False), "r2": cut}
    lines = value["prompt"].splitlines()
    assert lines[0] == "Look at these cells."
    assert lines[1:4] == [f"Report [{context['number']}]: {context['report']}" for context in value["contexts"]]
    page = run(*words).stdout
    assert "Reports read: 3; 2 of them cut" in page


def test_a_certificate_of_another_prompt_is_refused_before_a_model_is_loaded(
    archive: Path, samples: Path, tmp_path: Path, run: Run
) -> None:
    from calibration import OutcomeTable, certify

    (tmp_path / "prompt.txt").write_text("Look.\n", encoding="utf-8")
    known = light_fingerprints(Manifest.load(archive / "index"), PromptTemplate("Look.", 100), "image-image", None)
    prints = {**known, "mllm": "0" * 64, "questions": "0" * 64}
    table = OutcomeTable(["q"], ["p"], ["pathology"], [[0.0]], [[1.0]], [["yes"]])  # type: ignore[arg-type]
    certificate = certify(table, alpha=0.5, delta=0.5, fingerprints=prints)
    same = {"index": archive / "index", "mllm": str(samples / "models/mllm")}
    SystemOptions(**same, prompt=tmp_path / "prompt.txt", max_report_tokens=100).check(certificate)  # type: ignore[arg-type]
    for other in ({"prompt": tmp_path / "prompt.txt"}, {"max_report_tokens": 100}, {}):
        with pytest.raises(InputError, match="the prompt changed since calibration"):
            SystemOptions(**same, **other).check(certificate)  # type: ignore[arg-type]


def test_prompt_options_of_train_go_with_calibration(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("")
    refused = run("train", "pairs.jsonl", "--mllm", "none", "--max-report-tokens", 60)
    assert refused.exit_code == 2
    assert "--max-report-tokens go with --then-calibrate" in refused.stderr
