"""Click with three things more: options in sections of the help, options that only the user may set, and groups of
options that become one value.
"""

import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click

from titrate import Setting

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_OTHERS = "Other options"


class SectionedOption(click.Option):
    """An option that stands under a heading of its command's help, and is called by one name wherever it is set."""

    def __init__(self, *parts: Any, section: str = _OTHERS, personal: bool = False, **attributes: Any) -> None:
        super().__init__(*parts, **attributes)
        self.section, self.personal = section, personal

    @property
    def names(self) -> list[str]:
        """Its long names, without the leading hyphens."""
        return [name.removeprefix("--") for name in self.opts if name.startswith("--")]

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Read its variable, which is named after the option, not as click does after the code's name for it."""
        value = super().resolve_envvar_value(ctx)
        if value is None and self.allow_from_autoenv and ctx.auto_envvar_prefix is not None:
            for name in self.names:
                value = value or os.environ.get(f"{ctx.auto_envvar_prefix}_{name.upper().replace('-', '_')}")
        return value or None


def settings_of(command: click.Command) -> dict[str, Setting]:
    """What a settings file can set of a command: its options by their names on the command line."""
    return {
        name: Setting(parameter.name or name, parameter.multiple, parameter.personal)
        for parameter in command.params
        if isinstance(parameter, SectionedOption)
        for name in parameter.names
    }


class SectionedCommand(click.Command):
    """A command whose help lists its options by section, in the order in which sections are first met."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section after section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):  # these have a section of their own
                sections.setdefault(getattr(parameter, "section", _OTHERS), []).append(record)
        others = sections.pop(_OTHERS, [])
        for name, records in [*sections.items(), (_OTHERS, others)]:
            with formatter.section(name):
                formatter.write_dl(records)


def option(*declarations: str, section: str = _OTHERS, **attributes: Any) -> Decorator:
    """`click.option` in a section of the help."""
    return click.option(*declarations, cls=SectionedOption, section=section, **attributes)


def personal_option(*declarations: str, **attributes: Any) -> Decorator:
    """`option`, but one that is not taken from a settings file that the user did not name; see `Setting`."""
    return option(*declarations, personal=True, **attributes)


def example(line: str) -> str:
    """The end of a command's help: one command line to start from."""
    return f"\b\nExample:\n  {line}"


def option_group(name: str, make: Callable[..., Any], options: Sequence[Decorator]) -> Decorator:
    """Add options to a command, which gets them as one value.

    Parameters
    ----------
    name
        Under which the command gets the value.
    make
        Called with the options' values by their names; what it returns is the value.
    options
        What `option` or `click.argument` returned.
    """

    def probe() -> None:
        """Collects the parameters, to learn their names."""

    for each in options:
        each(probe)
    names = {parameter.name for parameter in vars(probe)["__click_params__"]}

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(*arguments: Any, **given: Any) -> Any:
            own = {key: value for key, value in given.items() if key in names}
            rest = {key: value for key, value in given.items() if key not in names}
            return command(*arguments, **rest, **{name: make(**own)})

        decorated: Callable[..., Any] = call
        for each in reversed(options):
            decorated = each(decorated)
        return decorated

    return add
