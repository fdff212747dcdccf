"""Options that become one value."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import main
from commands.click_parts import SectionedCommand, option, option_group, settings_of
from commands.options import make_view
from indexing import ImageView
from tests.command_line import Run, refused

HELD = ImageView((40.0, 400.0), 3)


def test_what_is_not_named_of_a_view_stays_as_it_is() -> None:
    assert make_view(None, None, lambda: HELD) is None
    assert make_view(None, 5, lambda: HELD) == ImageView((40.0, 400.0), 5)
    assert make_view((0.0, 80.0), None, lambda: HELD) == ImageView((0.0, 80.0), 3)
    assert make_view(None, 0, ImageView) == ImageView(None, 0)


def test_a_group_is_one_value_under_its_name() -> None:
    @click.command(cls=SectionedCommand)
    @option("--loud", is_flag=True, help="Loud.", section="Voice")
    @option_group(
        "place", lambda x, y: (x, y), (option("--x", type=int, help="X."), option("--y", type=int, help="Y."))
    )
    def say(loud: bool, place: tuple[int | None, int | None]) -> None:
        """Say where."""
        click.echo(f"{loud} {place}")

    assert CliRunner().invoke(say, ["--y", "2", "--loud"]).output == "True (None, 2)\n"
    assert [parameter.name for parameter in say.params] == ["loud", "x", "y"]


READ = {
    "index": {"root"},
    "info": {"index", "certificate"},
    "ask": {"index", "certificate", "questions", "root", "prompt"},
    "calibrate": {"index", "root", "prompt"},
    "evaluate": {"index", "root", "prompt", "certificate", "compare"},
    "mine": {"index", "root", "prompt", "regions"},
    "train": {"root", "index", "calibrate-root", "prompt", "then-calibrate"},
    "tune": {"root"},
    "demo": set[str](),
}
"""Options that name a file or folder which the command only reads."""

PERSONAL = {"mllm", "mllm-api-key", "api-key", "adapter", "encoder", "loss", "url", "prune", "rebuild"}


@pytest.mark.parametrize("name", list(main.commands))
def test_what_a_settings_file_found_by_chance_may_set(name: str) -> None:
    command = main.commands[name]
    settings = settings_of(command)
    paths = {
        each for each, setting in settings.items() for parameter in command.params
        if parameter.name == setting.parameter and isinstance(parameter.type, click.Path)
    }  # fmt: skip
    assert READ[name] <= paths
    personal = {each for each, setting in settings.items() if setting.personal}
    assert personal == (paths - READ[name]) | (PERSONAL & settings.keys())


def test_settings_are_called_as_on_the_command_line() -> None:
    for command in main.commands.values():
        for parameter in command.params:
            for name in parameter.opts:
                assert not name.startswith("--") or name.removeprefix("--") in settings_of(command)


def test_variables_are_called_as_on_the_command_line() -> None:
    @click.command(cls=SectionedCommand)
    @option("--json", "as_json", is_flag=True, help="Print JSON.")
    @option("--max-k", "most", type=int, help="At most.")
    @option("--key", envvar="OWN_KEY", help="Key.")
    def say(as_json: bool, most: int | None, key: str | None) -> None:
        """Say what was set."""
        click.echo(f"{as_json} {most} {key}")

    def said(**variables: str) -> str:
        return CliRunner().invoke(say, [], env=variables, auto_envvar_prefix="TITRATE_SAY").output

    assert said(TITRATE_SAY_JSON="1", TITRATE_SAY_MAX_K="3", OWN_KEY="k") == "True 3 k\n"
    assert said(TITRATE_SAY_JSON="0", TITRATE_SAY_MAX_K="") == "False None None\n"


@pytest.mark.parametrize("name", ["calibrate", "evaluate", "mine"])
def test_a_loss_that_runs_code_comes_from_the_command_line_only(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text("import os\nos.mkdir('sentinel')\n")
    words = [name, "questions.jsonl", "--mllm", "model", *(["--alpha", 0.2] if name == "calibrate" else [])]
    (tmp_path / "titrate.toml").write_text(f"[{name}]\nloss = 'evil.py:f'\n")
    refused(run(*words), "loss is taken only from a file that you name")
    refused(run("--config", "titrate.toml", *words), "evil.py:f", "command line only")
    (tmp_path / "titrate.toml").unlink()
    monkeypatch.setenv(f"TITRATE_{name.upper()}_LOSS", "os:popen")
    refused(run(*words), "os:popen", "command line only")
    monkeypatch.setenv(f"TITRATE_{name.upper()}_LOSS", "findings:names.txt")
    assert "command line only" not in run(*words).stderr
    assert not (tmp_path / "sentinel").exists()
