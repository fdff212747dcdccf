"""Kinds of input that once ended in a traceback: one line, before anything runs, and nothing written."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from preference.training.full_model import refuse_taken
from rag.models.checks import check_model_files
from tests.command_line import Run, refused
from titrate import InputError, TitrateError, one_line_errors


class PanicError(BaseException):
    """As libraries in Rust raise it."""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine", "q.jsonl", "--mllm", "m", "--seed", 2**32], "--seed"),
        (["train", "p.jsonl", "--mllm", "m", "--seed", 2**32], "--seed"),
        (["mine", "q.jsonl", "--mllm", "m", "--seed", "9" * 5000], "--seed"),
        (["ask", "x" * 256, "?", "--mllm", "m"], "File name too long"),
        (["index", "x" * 256], "File name too long"),
        (["index", "c.jsonl", "--index", "x" * 256], "File name too long"),
        (["info", "--index", "x" * 254], "no index in"),
        (["calibrate", "q.jsonl", "--mllm", "m", "--alpha", 0.1, "--outcomes", "x" * 256], "File name too long"),
        (["train", "p.jsonl", "--mllm", "m", "--out", "loop"], "symbolic links"),
        (["index", "c.jsonl", "--encoder", "local-dir:" + "x" * 256], "x" * 20),
        (["calibrate", "q.jsonl", "--mllm", "m", "--alpha", 0.1, "--gamma", 0.1, "--max-k", 1], "--max-k 2"),
        (["calibrate", "q.jsonl", "--mllm", "m", "--alpha", 0.1, "--gamma", 0.1, "--max-k", 0], "--max-k 2"),
    ],
)
def test_refused_in_one_line(run: Run, tmp_path: Path, words: list[object], said: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "p.jsonl").write_text("{}\n")
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith(("titrate: ", "Error: "))]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "p.jsonl"]


@pytest.mark.parametrize(
    "words",
    [
        ["train", "given.jsonl", "--mllm", "model", "--out", "a", "--merge", "./a/"],
        ["train", "given.jsonl", "--mllm", "model", "--out", "a", "--merge", "link to a"],
        ["train", "given.jsonl", "--mllm", "model", "--out", "model"],
        ["train", "given.jsonl", "--mllm", "model", "--merge", "../here/model/"],
        ["calibrate", "given.jsonl", "--mllm", "model", "--alpha", 0.1, "--out", "given.jsonl"],
        ["calibrate", "given.jsonl", "--mllm", "model", "--alpha", 0.1, "--out", "link.jsonl"],
        ["calibrate", "given.jsonl", "--mllm", "model", "--alpha", 0.1, "--out", "second name"],
        ["calibrate", "given.jsonl", "--mllm", "model", "--alpha", 0.1, "--report", "./certificate.json"],
        ["mine", "given.jsonl", "--mllm", "model", "--out", "x/../given.jsonl"],
        ["mine", "other.jsonl", "--mllm", "model", "--prompt", "given.jsonl", "--out", "given.jsonl"],
    ],
)
def test_nothing_is_written_over_what_is_read(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[object]
) -> None:
    here = tmp_path / "here"
    for name in ("a", "model", "x"):
        (here / name).mkdir(parents=True)
    monkeypatch.chdir(here)
    (here / "link to a").symlink_to("a")
    (here / "given.jsonl").write_text("{}\n")
    (here / "link.jsonl").symlink_to("given.jsonl")
    os.link(here / "given.jsonl", here / "second name")
    refused(run(*words), "one and the same")
    assert (here / "given.jsonl").read_text() == "{}\n" and not any((here / "a").iterdir())


@pytest.mark.parametrize("command", ["calibrate", "evaluate", "mine", "train"])
def test_a_named_pipe_is_not_waited_for(run: Run, tmp_path: Path, command: str) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    words = [command, "pipe.jsonl", "--mllm", "http://127.0.0.1:9/v1#m"]
    result = run(*words, *(["--alpha", 0.1] if command == "calibrate" else []))
    assert result.exit_code in (1, 2) and len(result.stderr.splitlines()) == 1, result.stderr


@pytest.mark.parametrize(
    "fault", [KeyError("a secret of a report"), PanicError("a secret"), RecursionError("a secret")]
)
def test_what_nobody_foresaw_is_one_line_that_says_how_to_see_more(
    monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(cli, "read_settings", fail)
    with pytest.raises(type(fault)):  # as tests run, so that none of them passes over a fault
        CliRunner().invoke(cli.main, ["info"], catch_exceptions=False)
    monkeypatch.setattr(cli, "read_settings", lambda *_: {})
    monkeypatch.setattr(cli.main.commands["info"], "callback", fail)
    monkeypatch.delenv(cli.DEBUG)
    result = CliRunner().invoke(cli.main, ["info"], catch_exceptions=False)
    assert result.exit_code == 1 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"titrate: unexpected {type(fault).__name__} in test_one_line.py, line ")
    assert "TITRATE_DEBUG=1" in line and "secret" not in line


def test_names_that_the_system_cannot_have(tmp_path: Path) -> None:
    for check in (check_model_files, lambda name: check_model_files("a/b", adapter=Path(name))):
        with pytest.raises(InputError, match=r"no model in|no adapter in"):
            check(str(tmp_path / ("x" * 256)))
    with pytest.raises(InputError, match="too long; give a shorter one"):
        refuse_taken(tmp_path / ("x" * 255))  # .xxx.part would have 261


def test_a_library_that_panics_is_one_line() -> None:
    with pytest.raises(InputError) as told, one_line_errors("cannot load m", "get another", InputError):
        raise PanicError("index out of bounds\n  at line 3")
    assert str(told.value) == "cannot load m: index out of bounds at line 3; get another"
    with pytest.raises(TitrateError, match=r"^PanicError$"), one_line_errors("x", "y"):
        raise TitrateError("PanicError")  # ours pass as they are
    with pytest.raises(KeyboardInterrupt), one_line_errors("x", "y"):
        raise KeyboardInterrupt
