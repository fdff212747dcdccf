"""How many requests a server gets at once: fewer where it says that they are too many, and more again as it answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

AT_ONCE = 16
"""Requests in flight at most; servers batch what comes together."""


class Gate:
    """Lets so many through at a time: additive increase, multiplicative decrease, as TCP does (Chiu and Jain, 1989).

    Attributes
    ----------
    limit
        How many may be inside now.
    """

    def __init__(self) -> None:
        self.limit = AT_ONCE
        self._inside, self._answered = 0, 0
        self._changed = Condition()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait for room, and take it until the end of the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._inside < self.limit)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def answered(self) -> None:
        """A request was answered: after as many as may be inside, one more may."""
        with self._changed:
            self._answered += 1
            if self._answered >= self.limit < AT_ONCE:
                self.limit, self._answered = self.limit + 1, 0
                self._changed.notify_all()

    def overloaded(self) -> None:
        """A request was too many: half as many may be inside.

        What was let in together fails together, and halves only once: not before as many were answered or failed.
        """
        with self._changed:
            if self._inside <= self.limit:
                self.limit, self._answered = max(1, self.limit // 2), 0
