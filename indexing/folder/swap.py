"""The index folder as a whole: taking it into use, rebuilding it beside the old one, and swapping the two."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexing.folder.fixed_settings import load_fixed_settings
from indexing.folder.ledger import Ledger
from indexing.folder.lock import LOCK, lock_index
from indexing.folder.manifest import LEDGER, swapped_out
from indexing.folder.pseudonym_key import KEY
from indexing.stores.backend import Backend
from indexing.stores.open import open_backend
from indexing.stores.settings import StoreSettings
from titrate import InputError, TitrateError


def claim_folder(index: Path) -> bool:
    """Make the folder if need be; True if there is no index in it yet.

    Raises
    ------
    InputError
        If it cannot be made, or is a folder of something else.
    """
    _finish_swap(index)
    try:
        names = {entry.name for entry in index.iterdir()} if index.exists() else set()
        if names and LEDGER not in names and not names <= {LOCK, KEY}:
            raise InputError(f"{index} is neither empty nor an index; choose another folder")
        index.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make index folder {index}: {error.strerror}; choose another folder") from error
    return LEDGER not in names


def remove_if_empty(index: Path) -> None:
    """Remove a new index that holds no confirmed record, so that a failed first try leaves nothing behind."""
    try:
        with lock_index(index, exclusive=True), Ledger(index / LEDGER) as ledger:
            if ledger.counts():
                return
            shutil.rmtree(index, ignore_errors=True)
    except InputError:  # somebody else is building there by now
        return


def drop_unused_collections(ledger: Ledger, backend: Backend) -> bool:
    """Drop the collections of a new index that holds no confirmed record; True if none of them is left.

    Where a server no longer answers the folder must stay: it alone knows which of the server's collections are its own.
    """
    if ledger.counts():
        return False
    try:
        backend.drop_all()
    except TitrateError:
        return False
    return True


def drop_collections(index: Path, store: StoreSettings, api_key: str | None, url: str | None) -> None:
    """Delete an index's collections from its server, if they are on one.

    Parameters
    ----------
    index
        Its folder.
    store
        Where they are.
    api_key, url
        The key is that of this server, and sent to no other.

    Raises
    ------
    TitrateError
        If the server cannot be reached.
    """
    if store.url is not None:
        with open_backend(store, index, api_key if store.url == url else None) as backend:
            backend.drop_all()


@contextmanager
def rebuilding(index: Path) -> Iterator[Path]:
    """A folder beside the index to build a new one in, which takes the old one's place when the body ends well.

    The old index can be read all the while, but not built on. An interrupted rebuild is taken up again by the next.

    Raises
    ------
    InputError
        If there is no index, or a build is changing it; at the end, if somebody is still reading it.
    """
    _finish_swap(index)
    aside = index.with_name(f".{index.name}.rebuilt")
    with lock_index(index, exclusive=False):
        aside.mkdir(exist_ok=True)
        if (index / KEY).exists():
            shutil.copy2(index / KEY, aside / KEY)  # the same patients keep their pseudonyms
        yield aside
    with lock_index(index, exclusive=True):
        old = swapped_out(index)
        shutil.rmtree(old, ignore_errors=True)
        os.rename(index, old)
        os.rename(aside, index)
    shutil.rmtree(old, ignore_errors=True)


def clear_folder(index: Path, api_key: str | None, url: str | None) -> None:
    """Empty a folder that is being built in, but for the key of its pseudonyms; see `drop_collections`.

    Raises
    ------
    TitrateError
        If its server cannot be reached.
    """
    held = load_fixed_settings(index)
    try:
        if held is not None:
            drop_collections(index, held.store, api_key, url)
    except TitrateError as error:
        raise TitrateError(f"{error}; or delete {index} and leave its collections on that server") from error
    for entry in index.iterdir():
        if entry.name != KEY:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _finish_swap(index: Path) -> None:
    """If a kill came between the two renames of a swap, put the old index back into its place."""
    if not index.exists() and swapped_out(index).exists():
        os.rename(swapped_out(index), index)
