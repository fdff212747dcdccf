"""What a user has named on this machine: encoders to load, servers to talk to.

An index says which encoder made it and which server keeps its vectors. Indexes are passed around, so what one says is
followed only if this user named the same before, as who builds an index does, or names it now. What was named is noted
as an empty file called by its hash, in ``$XDG_STATE_HOME/titrate/named`` (``~/.local/state``): there is nothing in it
to read, and two processes cannot harm each other's notes.
"""

import os
import warnings
from pathlib import Path

from titrate.errors import InputError, TitrateWarning
from titrate.files import hash_bytes
from titrate.text import one_line


def note_named(name: str) -> None:
    """Remember that the user named this encoder or server; if nothing can be noted here, that is told."""
    try:
        note = _note(name)
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        note.touch(mode=0o600)
    except (OSError, RuntimeError) as error:  # the latter where there is no home
        warnings.warn(
            f"cannot note that you named {name} ({one_line(error)}): name it again next time, or set XDG_STATE_HOME to "
            "a folder that can be written",
            TitrateWarning,
            stacklevel=2,
        )


def check_named(kind: str, name: str, option: str) -> None:
    """Refuse an encoder or a server that an index names, and this user never did.

    Parameters
    ----------
    kind
        What it is, for the message.
    name
        As `note_named` got it.
    option
        That names it.

    Raises
    ------
    InputError
        If the user never named it on this machine.
    """
    try:
        known = _note(name).exists()
    except (OSError, RuntimeError):
        known = False
    if not known:
        told = one_line(name)[:200]
        raise InputError(
            f"the index names the {kind} {told}, which you have not named on this machine: give {option} {told} if you "
            "trust it"
        )


def _note(name: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    folder = Path(state) if state else Path.home() / ".local/state"
    return folder / "titrate" / "named" / hash_bytes(name.encode(errors="surrogatepass"))
