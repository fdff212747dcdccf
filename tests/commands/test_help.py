"""The help: in the order of the work, every parameter explained, one example a command, and quick to come."""

import click
import pytest
from click.testing import CliRunner

from cli import ORDER, main
from commands.click_parts import SectionedOption

COMMANDS = sorted(main.commands)


def test_commands_come_in_the_order_of_the_work() -> None:
    assert tuple(main.list_commands(click.Context(main))) == ORDER
    assert set(ORDER) == set(main.commands)
    shown = CliRunner().invoke(main, ["--help"]).output
    places = [shown.index(f"\n  {name} ") for name in ORDER]
    assert places == sorted(places)
    assert "..." not in shown.split("Commands:")[1], "a command's first line is cut off in the list"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_is_explained_under_a_heading(name: str) -> None:
    command = main.commands[name]
    for parameter in command.params:
        assert isinstance(parameter, SectionedOption | click.Argument)
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"
        if isinstance(parameter, SectionedOption) and name != "demo":
            assert parameter.section != "Other options", f"{name}: --{parameter.name} stands under no heading"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example_that_parses(name: str) -> None:
    shown = CliRunner().invoke(main, [name, "--help"]).output
    assert shown.count("Example:") == 1
    assert shown.split("Example:")[1].strip().startswith(f"titrate {name} ")
