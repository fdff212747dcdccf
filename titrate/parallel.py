"""Doing several things at once that mostly wait, such as requests."""

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


_LOOK_S = 0.5


def in_parallel(
    action: Callable[[_Item], _Result],
    items: Sequence[_Item],
    at_once: int,
    watch: Callable[[], None] | None = None,
) -> list[_Result]:
    """What an action gives for each item, in the order of these, with so many under way at a time.

    The first failure is raised at once, and so is Ctrl-C: nothing new is begun, and what is still under way neither
    holds up the caller nor the end of the program. What ``watch`` raises is a failure, too: it is called now and then,
    and can put an end to what takes too long.
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
            try:
                row, result, error = done.get(timeout=None if watch is None else _LOOK_S)
            except Empty:
                row, result, error = -1, [], None
            if watch is not None:
                watch()
            if row < 0:
                continue
            if error is not None:
                raise error
            [results[row]] = result
    finally:
        stopped.set()
    return [results[row] for row in range(len(items))]
