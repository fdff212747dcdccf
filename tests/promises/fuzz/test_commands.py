"""Malformed command lines, in process: each ends with a documented exit code and one line, and never in a traceback.

`TITRATE_DEBUG` is set in tests, so that what the command line's last guard would catch fails the test that met it.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import main
from tests.promises.fuzz.hostile import FACTOR
from tests.promises.fuzz.sound import PAIR, QUESTION, RECORD

LEAST = 300
"""Command lines within `make test`."""

VALUES = (
    "", " ", "-1", "0", "1", "2", "7.5", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 5000, str(2**32), str(2**63),
    "x" * 256, "x" * 255, "x/" * 3000, ".", "..", "/", "/dev/null", "/dev/zero", "pipe", "folder", "loop", "nowhere/x",
    "empty", "nul", "deep.json", "huge.json", "half.jsonl", "utf16.jsonl", "latin.jsonl", "list.json", "text.png",
    "questions.jsonl", "pairs.jsonl", "corpus.jsonl", "a.png", "--", "-", "a\nb", "\udcff", "é\u202e💥", "<image>",
    "{{ 7 * 7 }}", "%s%n", "a,b", ",", "40,400", "yes,no", "yes,Yes.", "tokens", "findings:deep.json", "findings:pipe",
    "os:system", "nowhere:x", "json:loads", ":", "cpu", "cuda:99", "http://", "http://[", "http://127.0.0.1:1/v1#m",
    "http://u:p@127.0.0.1/#", "ftp://x", "local-dir:folder", "local-dir:", "hf-hub:x", "x/y", "ipo=nan", "image=x",
)  # fmt: skip

# Whatever passes these is refused by the model's folder, so that no model is loaded hundreds of times.
BASES: dict[str, list[str]] = {
    "index": ["corpus.jsonl", "--index", "made", "--encoder", "local-dir:folder", "--device", "cpu"],
    "info": ["--index", "index"],
    "ask": ["a.png", "Any?", "--options", "yes,no", "--index", "index", "--mllm", "folder", "--k", "1"],
    "calibrate": ["questions.jsonl", "--index", "index", "--mllm", "folder", "--alpha", "0.3", "--max-k", "1"],
    "evaluate": ["questions.jsonl", "--index", "index", "--mllm", "folder", "--max-k", "1"],
    "mine": ["questions.jsonl", "--index", "index", "--mllm", "folder", "--max-k", "1", "--split", "prefer"],
    "train": ["pairs.jsonl", "--mllm", "folder", "--max-steps", "1"],
    "tune": ["corpus.jsonl", "--encoder", "local-dir:folder", "--device", "cpu", "--epochs", "1", "--out", "tuned"],
    "demo": ["--out", "pipe"],
}

NO_FOLDERS = ("pipe", "loop", "empty", "/dev/null", "/dev/zero", "x" * 256)
"""Where the demo cannot be; elsewhere it would run, which takes minutes."""


@pytest.fixture(scope="module")
def place(few_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a working directory with sound files, and some that are not."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("commands")
    Image.new("RGB", (32, 32), (90, 30, 200)).save(folder / "a.png")
    Image.new("RGB", (32, 32), (90, 130, 200)).save(folder / "b.png")
    (folder / "folder").mkdir()
    (folder / "index").symlink_to(few_records)
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "empty").touch()
    (folder / "nul").write_bytes(bytes(100))
    (folder / "text.png").write_text("not a picture")
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "huge.json").write_text('{"id": ' + "9" * 5000 + "}")
    (folder / "half.jsonl").write_text('{"id": "\\ud800", "question": "\\udc00"}\n')
    (folder / "utf16.jsonl").write_bytes(json.dumps(QUESTION).encode("utf-16"))
    (folder / "latin.jsonl").write_bytes('{"id": "é"}'.encode("latin-1"))
    (folder / "list.json").write_text("[1, null, {}]")
    questions = [
        {**QUESTION, "id": split, "patient": split, "split": split} for split in ("prefer", "calibrate", "test")
    ]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    (folder / "pairs.jsonl").write_text(json.dumps(PAIR))
    (folder / "corpus.jsonl").write_text(json.dumps(RECORD))
    return folder


def command_lines(number: int, seed: int) -> Iterator[list[str]]:
    """Sound command lines, of which one to three words are replaced, added or left out."""
    draw = random.Random(seed)
    names = list(BASES)
    for row in range(number):
        name = names[row % len(names)]
        command = main.commands[name]
        options = [word for parameter in command.params for word in parameter.opts if word.startswith("--")]
        words = list(BASES[name])
        for _ in range(draw.choice((1, 1, 2, 3))):
            match draw.choice(("option", "option", "option", "word", "drop", "twice")):
                case "option":
                    words += [draw.choice(options), draw.choice(VALUES)]
                case "word" if words:
                    words[draw.randrange(len(words))] = draw.choice(VALUES)
                case "drop" if words:
                    del words[draw.randrange(len(words))]
                case _:
                    words += words[-2:]
        if name != "demo" or (words[:1] == ["--out"] and words[-1] in NO_FOLDERS):
            yield [name, *words]


def refusals(stderr: str) -> list[str]:
    """The lines that say what is wrong."""
    lines = [line for line in stderr.splitlines() if not line.startswith("titrate: note: ")]
    return [line for line in lines if line.startswith(("titrate: ", "Error: ", "Aborted"))]


def test_no_command_line_ends_in_a_traceback(
    place: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    monkeypatch.chdir(place)
    seed = 0 if FACTOR == 1 else random.SystemRandom().randrange(2**32)
    ended = dict.fromkeys((0, 1, 2, 3), 0)
    faults = []
    for words in command_lines(LEAST * FACTOR + LEAST // 3, seed):
        try:
            result = CliRunner().invoke(main, words, catch_exceptions=False)
        except BaseException as error:
            faults.append(f"{type(error).__name__}: {error!s:.200} from titrate {[word[:60] for word in words]}")
            continue
        said = refusals(result.stderr)
        ended[result.exit_code] += 1
        if result.exit_code and (len(said) != 1 or "Traceback" in result.stderr):
            faults.append(f"{result.exit_code}, {len(said)} lines from titrate {[word[:60] for word in words]}")
    record_property("ended", ended)
    assert not faults, f"seed {seed}, {ended}: {len(faults)} faults\n" + "\n".join(faults[:20])
    assert sum(ended.values()) >= LEAST * FACTOR and ended[2] > LEAST // 2


@pytest.mark.parametrize(
    "words",
    [
        ["calibrate", "pipe", "--mllm", "folder", "--alpha", "0.1"],
        ["ask", "a.png", "?", "--mllm", "folder", "--certificate", "deep.json"],
        ["train", "half.jsonl", "--mllm", "folder"],
        ["index", "x" * 256, "--encoder", "local-dir:folder"],
        ["info", "--index", "\udcff"],
    ],
)
def test_the_program_itself(place: Path, repository: Path, words: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TITRATE_DEBUG"}
    done = subprocess.run(
        [sys.executable, str(repository / "cli.py"), *words],
        cwd=place,
        env=environment,
        capture_output=True,
        timeout=300,
        check=False,
    )
    stderr = done.stderr.decode(errors="replace")
    assert done.returncode == 2, stderr
    assert len(refusals(stderr)) == 1 and "Traceback" not in stderr and "unexpected" not in stderr, stderr


def test_every_command_is_tried() -> None:
    assert set(BASES) == set(main.commands)
    assert all(isinstance(command, click.Command) for command in main.commands.values())
