"""Click with two things more: options in sections of the help, and groups of options that become one value."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_OTHERS = "Other options"


class SectionedOption(click.Option):
    """An option that stands under a heading of its command's help."""

    def __init__(self, *parts: Any, section: str = _OTHERS, **attributes: Any) -> None:
        super().__init__(*parts, **attributes)
        self.section = section


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
