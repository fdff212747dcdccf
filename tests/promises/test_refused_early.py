"""What can be refused without a model is refused before anything heavy is imported: in a moment, not in ten seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from calibration import Certificate, OutcomeTable, certify

HEAVY = ("torch", "transformers", "open_clip", "llama_index", "sklearn")
PROGRAM = f"""
import sys
sys.argv[0] = "titrate"
from cli import main
try:
    main()
finally:
    print([name for name in {HEAVY!r} if name in sys.modules])
"""


def run(repository: Path, folder: Path, *words: object) -> tuple[int, str, str]:
    """Exit code, the heavy modules that were imported, and what was said."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        cwd=folder,
        env={
            "PYTHONPATH": str(repository),
            "PATH": "/usr/bin:/bin",
            "HF_HUB_OFFLINE": "1",
            "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"],
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.fixture
def image(samples: Path) -> Path:
    with (samples / "corpus.jsonl").open(encoding="utf-8") as lines:
        return samples / str(json.loads(next(lines))["image"])


@pytest.fixture
def foreign_certificate(tmp_path: Path) -> Path:
    """Give a certificate that was made for another index."""
    names = ("encoder", "index", "prompt", "mllm", "questions", "retrieval", "view", "generation")
    table = OutcomeTable(["q"], ["p"], ["pathology"], [[0.0]], [[1.0]], [["yes"]])  # type: ignore[arg-type]
    made: Certificate = certify(table, alpha=0.5, delta=0.5, fingerprints=dict.fromkeys(names, "0" * 64))
    made.save(tmp_path / "certificate.json")
    return tmp_path / "certificate.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--k": None}, "nothing says how many reports to read"),
        ({"image": "nowhere.png"}, "cannot read image nowhere.png"),
        ({"image": "text.png"}, "is not PNG, JPEG, TIFF, WebP or DICOM"),
        ({"--options": "yes"}, "at least two options"),
        ({"question": " "}, "the question is empty"),
        ({"--mllm": "empty"}, "config.json is not there"),
        ({"--mllm": "http://127.0.0.1:1/v1", "--adapter": "empty"}, "a server loads adapters itself"),
        ({"--adapter": "empty"}, "adapter_config.json is not there"),
        ({"--encoder": "local-dir:empty"}, "open_clip_config.json or config.json is not there"),
        ({"--index": "empty"}, "no index in empty"),
        ({"--certificate": "certificate.json"}, "changed since calibration"),
        ({"--certificate": "none.json"}, "cannot read none.json"),
        ({"--prompt": "none.txt"}, "cannot read prompt none.txt"),
        ({"--prompt": "template.txt"}, "holds {question}, and nothing is filled in"),
        ({"--max-report-tokens": "15"}, "15 is not in the range x>=16"),
    ],
)
def test_refused_before_a_heavy_import(
    repository: Path,
    samples: Path,
    index_folder: Path,
    tmp_path: Path,
    image: Path,
    foreign_certificate: Path,
    change: dict[str, str | None],
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "template.txt").write_text("Look. {question}")
    given: dict[str, object] = {"image": image, "question": "Is it?", "--options": "yes,no", "--index": index_folder}
    given |= {"--mllm": samples / "models/mllm", "--k": None if "--certificate" in change else 1}
    given |= change
    words = [word for name, value in given.items() if name[0] == "-" and value is not None for word in (name, value)]
    code, imported, said = run(repository, tmp_path, "ask", given["image"], given["question"], *words)
    assert code == 2, said
    assert message in said
    assert imported == "[]"


@pytest.mark.parametrize("package", ["titrate", "calibration", "indexing", "rag", "preference"])
def test_packages_are_imported_in_a_moment(repository: Path, package: str) -> None:
    program = f"import sys, {package}; print([name for name in {(*HEAVY, 'numpy', 'scipy')!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
