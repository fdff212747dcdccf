"""Paths and seeds as options take them, and the refusal to write over what is read."""

import os
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from titrate import LARGEST_SEED, InputError, shorten

if TYPE_CHECKING:
    from rag import QuestionOptions, SystemOptions


class NamedPath(click.Path):
    """A path that the system can look up, whether something is there or not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; names that are too long, loops of links and folders that must not be entered are refused."""
        try:
            os.stat(value)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            self.fail(f"{shorten(str(value), 80)!r}: {error.strerror}", param, ctx)
        except ValueError:
            self.fail("holds a character that no path has", param, ctx)
        return super().convert(value, param, ctx)


FOLDER = NamedPath(path_type=Path)
FILE = NamedPath(path_type=Path, dir_okay=False)
SEED = click.IntRange(0, LARGEST_SEED)


def given_files(questions: "QuestionOptions", system: "SystemOptions") -> dict[str, Path | None]:
    """What the user named to be read, by option."""
    return {
        "QUESTIONS": questions.path,
        "--root": questions.root,
        "--outcomes": questions.outcomes,
        "--index": system.index,
        "--mllm": None if system.mllm is None or not os.path.exists(system.mllm) else Path(system.mllm),
        "--adapter": system.adapter,
        "--prompt": system.prompt,
    }


def refuse_overwriting(written: Mapping[str, Path | None], read: Mapping[str, Path | None]) -> None:
    """Refuse, before anything runs, to write over what is read, or two things into one place.

    Parameters
    ----------
    written
        What is to be written, by option; None where it is not.
    read
        What is to be read.

    Raises
    ------
    InputError
        If one of the first is the same as another path, however the two are spelt.
    """
    places = {name: os.path.realpath(path) for name, path in {**read, **written}.items() if path is not None}
    for one, other in combinations(places, 2):
        if other not in written:
            continue
        both = os.path.exists(places[one]) and os.path.exists(places[other])
        if places[one] == places[other] or (both and os.path.samefile(places[one], places[other])):
            raise InputError(f"{one} and {other} are one and the same, {written[other]}; give two names")
