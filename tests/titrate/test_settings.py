"""Settings files: what they may hold, and what only one that the user names may."""

import os
import warnings
from pathlib import Path

import pytest

from titrate import InputError, Setting, TitrateWarning, read_settings

OPTIONS = {
    "ask": {"k": Setting("k"), "json": Setting("as_json"), "mllm": Setting("mllm", personal=True)},
    "calibrate": {"gamma": Setting("gammas", repeatable=True), "max-k": Setting("max_k")},
}


def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> dict[str, object]:
    monkeypatch.chdir(tmp_path)
    Path("titrate.toml").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TitrateWarning)
        return read_settings(None, OPTIONS)


def test_names_are_those_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[ask]\njson = true\n[calibrate]\ngamma = [0.1, 0.2]\nmax-k = 4\n"
    wanted = {"ask": {"as_json": True}, "calibrate": {"gammas": [0.1, 0.2], "max_k": 4}}
    assert found(tmp_path, monkeypatch, text) == wanted
    assert found(tmp_path, monkeypatch, text.replace("max-k", "max_k")) == wanted
    for name in ("gammas", "as_json", "as-json"):
        table = "calibrate" if name == "gammas" else "ask"
        with pytest.raises(InputError, match=f"no option {name}; it can be"):
            found(tmp_path, monkeypatch, f"[{table}]\n{name} = 1\n")


def test_one_value_of_a_repeatable_option_needs_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(tmp_path, monkeypatch, "[calibrate]\ngamma = 0.3\n") == {"calibrate": {"gammas": [0.3]}}


@pytest.mark.parametrize("value", ["[1]", "{a = 1}", "2020-01-01", "[[1]]"])
def test_values_that_no_option_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(InputError, match=r"\[ask\] k must be text, a number, true or false$"):
        found(tmp_path, monkeypatch, f"[ask]\nk = {value}\n")
    if value != "[1]":
        with pytest.raises(InputError, match="or a list of these"):
            found(tmp_path, monkeypatch, f"[calibrate]\ngamma = {value}\n")


def test_a_file_that_was_not_named_is_told_and_sets_nothing_personal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("titrate.toml")
    file.write_text("[ask]\nk = 3\njson = true\n[calibrate]\nmax-k = 4\n")
    with pytest.warns(TitrateWarning, match=r"titrate.toml in this folder sets \[ask\] k, json; \[calibrate\] max-k$"):
        read_settings(None, OPTIONS)
    assert read_settings(file, OPTIONS)["ask"] == {"k": 3, "as_json": True}  # named: nothing to tell
    file.write_text("[ask]\nmllm = 'http://stranger:1/v1#m'\n")
    with pytest.raises(InputError, match=r"\[ask\] mllm is taken only from a file that you name: give --config"):
        read_settings(None, OPTIONS)
    assert read_settings(file, OPTIONS) == {"ask": {"mllm": "http://stranger:1/v1#m"}}


def test_no_file_is_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings(None, OPTIONS) == {}


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="not TOML"):
        found(tmp_path, monkeypatch, "a = " + "[" * 20_000)
    with pytest.raises(InputError, match="larger than a settings file"):
        found(tmp_path, monkeypatch, "#" * ((1 << 20) + 1))
    Path("titrate.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not TOML"):
        read_settings(None, OPTIONS)
    Path("titrate.toml").unlink()
    os.mkfifo("titrate.toml")
    with pytest.raises(InputError, match="is no file"):
        read_settings(None, OPTIONS)
    with pytest.raises(InputError, match="check the path"):
        read_settings(Path("missing.toml"), OPTIONS)
