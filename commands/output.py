"""What goes to the terminal: all of it passes through here, so that nothing of a stranger's can act on it.

Ids, file names, reports, servers' answers and models' answers were all written by others. Their control characters are
shown as escapes, see `titrate.printable`, and a line of theirs cannot pose as one of ours.
"""

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from titrate import TitrateWarning, printable, unprintable

if TYPE_CHECKING:
    from indexing import SkippedRecord

_LONGEST_PAGE = 1_000_000
_SHOWN = 5
"""Skipped records that are printed; all of them are in a file."""


def say(*lines: str, err: bool = False) -> None:
    """Print lines; a line break within one of them is written as an escape."""
    for line in lines:
        click.echo(printable(line), err=err)


def say_page(page: str) -> None:
    """Print a text of several lines, whose own line breaks stay."""
    click.echo(printable(page, lines=True, longest=_LONGEST_PAGE))


def show_skipped(problems: "Sequence[SkippedRecord]", skipped: int, no_pictures: int) -> None:
    """Print the first records that could not be used, how many more there are, and how many are no pictures."""
    for problem in problems[:_SHOWN]:
        say(f"line {problem.line}: {problem.reason}", err=True)
    if skipped > _SHOWN:
        say(f"and {skipped - _SHOWN} more", err=True)
    if no_pictures:
        say(f"{no_pictures} of those skipped are no pictures: masks, doses, documents, slide labels", err=True)


def say_json(value: Any) -> None:
    """Print a value as JSON that stays JSON: what does not show is written as JSON's own escapes."""
    written = json.dumps(value, ensure_ascii=False, indent=1)
    if unprintable(written) is not None:
        written = "".join(
            sign if sign == "\n" or unprintable(sign) is None else json.dumps(sign)[1:-1] for sign in written
        )
    click.echo(written)


def note(message: object) -> None:
    """Print a note on stderr, above a progress bar."""
    from tqdm import tqdm

    tqdm.write(f"titrate: note: {printable(message)}", file=sys.stderr)


@contextmanager
def readable_messages() -> Iterator[None]:
    """While it is entered, warnings and what libraries log can be read and do nothing else.

    Our own warnings are shown as a line without the source line; errors of the command line's own are made printable.
    """
    make_record = logging.getLogRecordFactory()

    def make_printable(*parts: Any, **more: Any) -> logging.LogRecord:
        record = make_record(*parts, **more)
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # a library's mistake, which its handler tells
            return record
        if unprintable(message) is not None:
            record.msg, record.args = printable(message, lines=True), None
        return record

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", TitrateWarning)
            # Of damaged images, which a line of ours tells of.
            warnings.filterwarnings("ignore", module=r"PIL\b")
            warnings.showwarning = partial(_show_warning, warnings.showwarning)
            logging.setLogRecordFactory(make_printable)
            yield
    except click.UsageError as error:
        said = printable(error.format_message(), lines=True)
        if said == error.format_message():
            raise
        raise click.UsageError(said, error.ctx) from None
    finally:
        logging.setLogRecordFactory(make_record)


def _show_warning(
    show: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any, **more: Any
) -> None:
    if issubclass(category, TitrateWarning):
        note(message)
    else:
        show(printable(message, lines=True), category, *where, **more)
