"""What an opened index holds, and who may use it: the process that opened it, until it closes it."""

import os
from contextlib import ExitStack
from pathlib import Path

from titrate import TitrateError


class Held:
    """Files, engines and locks of an opened index.

    Parameters
    ----------
    index
        Its folder, for messages.
    resources
        What `close` lets go of.
    """

    def __init__(self, index: Path, resources: ExitStack) -> None:
        self._index, self._resources = index, resources
        self._process, self._closed = os.getpid(), False

    def check(self) -> None:
        """Refuse to go on where the engine's threads, which no forked process has, would never answer.

        Raises
        ------
        TitrateError
            If it was closed, or opened before this process was forked.
        """
        if self._closed:
            raise TitrateError(f"index {self._index} was closed; open it again")
        if os.getpid() != self._process:
            raise TitrateError(
                f"index {self._index} was opened before this process was forked; open it, and the models, in each "
                "process of its own, or start processes with spawn"
            )

    def close(self) -> None:
        """Let go; in a process that was forked from the one that opened it, all of it stays that one's."""
        self._closed = True
        if os.getpid() == self._process:
            self._resources.close()
