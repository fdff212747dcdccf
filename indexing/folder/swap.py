"""The index folder as a whole: taking it into use, and clearing it."""

import shutil
from pathlib import Path

from indexing.folder.beside import finish_swap
from indexing.folder.fixed_settings import load_fixed_settings
from indexing.folder.ledger import Ledger
from indexing.folder.lock import LOCK, lock_index
from indexing.folder.manifest import LEDGER
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
    finish_swap(index)
    try:
        entries = [*index.iterdir()] if index.exists() else []
        for entry in entries:
            if entry.is_symlink():
                raise InputError(f"{entry} is a symbolic link, which no build makes; put in its place what it leads to")
        names = {entry.name for entry in entries}
        if names and LEDGER not in names and not names <= {LOCK, KEY}:
            raise InputError(f"{index} is neither empty nor an index; choose another folder")
        index.mkdir(mode=0o700, parents=True, exist_ok=True)  # it will hold reports
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
        store.admit(url if store.url == url else None)
        with open_backend(store, index, api_key if store.url == url else None) as backend:
            backend.drop_all()


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
