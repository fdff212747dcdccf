"""Doing several things at once that mostly wait, such as requests."""

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parallel(action: Callable[[_Item], _Result], items: Sequence[_Item], at_once: int) -> list[_Result]:
    """What an action gives for each item, in the order of these, with so many under way at a time.

    The first failure is raised at once, and so is Ctrl-C: nothing new is begun, and what is still under way neither
    holds up the caller nor the end of the program.
    """
    rows, turn, stopped = iter(range(len(items))), Lock(), Event()
    done: SimpleQueue[tuple[int, list[_Result], BaseException | None]] = SimpleQueue()

    def work() -> None:
        while not stopped.is_set():
            with turn:
                row = next(rows, None)
            if row is None:
                return
            try:
                done.put((row, [action(items[row])], None))
            except BaseException as error:  # the caller's to judge, whatever it is
                done.put((row, [], error))

    results: dict[int, _Result] = {}
    try:
        for _ in range(min(at_once, len(items))):
            Thread(target=work, daemon=True).start()
        while len(results) < len(items):
            row, result, error = done.get()
            if error is not None:
                raise error
            [results[row]] = result
    finally:
        stopped.set()
    return [results[row] for row in range(len(items))]
