"""Whether an index folder still holds what its build put there.

The manifest names a checksum of every file that an answer depends on, and the ledger's fingerprint, which is made anew
from its rows. So a changed byte is noticed before anything is loaded, and before the engine maps a damaged file.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from indexing.folder.fixed_settings import load_fixed_settings, read_fixed_settings
from indexing.folder.ledger import Ledger
from indexing.folder.manifest import CLASSIFIER, NOVELTY, Manifest
from indexing.folder.pseudonym_key import known_pseudonym_key
from indexing.stores.backend import Backend
from indexing.stores.base import VectorStore
from titrate import InputError, hash_json, read_bytes


def check_contents(index: Path, manifest: Manifest, ledger: Ledger, backend: Backend) -> None:
    """Refuse an index of which any part is not as its build left it.

    Parameters
    ----------
    index
        Its folder, which the caller has locked.
    manifest, ledger
        The folder's.
    backend
        With no collection open yet.

    Raises
    ------
    InputError
        Naming the first part that was changed or is missing.
    """
    for name, expected in ((CLASSIFIER, manifest.classifier), (NOVELTY, manifest.detector)):
        if hash_file(index / name) != expected:
            raise InputError(f"{index / name} was changed since the index was built; build the index again")
    check_data(index, manifest, ledger, backend)


def check_data(index: Path, manifest: Manifest, ledger: Ledger, backend: Backend) -> None:
    """The same of what a further build takes over: all but the classifier and the detector, which it makes anew."""
    if hash_pseudonym_key(index) != manifest.pseudonym_key:
        raise InputError(
            f"the pseudonym key of index {index} is missing or was changed since the index was built: patients would "
            "not be recognised; put the right one back, or delete the index and build it again"
        )
    held = read_fixed_settings(ledger)
    fits = held is not None and (held.encoder, held.view, held.store, hash_json(held.zero_shot)) == (
        manifest.encoder_fingerprint,
        manifest.view,
        manifest.store,
        manifest.zero_shot,
    )
    if not (
        fits
        and ledger.is_current()
        and ledger.fingerprint(manifest.encoder_fingerprint) == manifest.records
        and ledger.counts() == manifest.domains
    ):
        raise InputError(
            f"the ledger of index {index} was changed since the index was built; delete the index and build it again"
        )
    found = backend.checksums()
    changed = sorted({*found.items()} ^ {*manifest.files.items()})
    if changed:
        raise InputError(
            f"file {changed[0][0]} of index {index} was changed since the index was built, by damage or by hand; build "
            "the index anew with --rebuild"
        )


def is_vouched_for(index: Path, ledger: Ledger, backend: Backend) -> bool:
    """Whether a finished index is taken over as its build left it; False for a new one, or a build that was cut off.

    Raises
    ------
    InputError
        If it is finished and was damaged or edited since: what is built on that would pass for sound.
    """
    try:
        manifest = Manifest.load(index)
    except InputError:
        return False
    check_data(index, manifest, ledger, backend)
    return True


def is_on_a_server(index: Path) -> bool:
    """Whether the vectors are where a build cannot copy them: it then changes them in place, while nobody reads."""
    held = load_fixed_settings(index)
    return held is not None and held.store.url is not None


@contextmanager
def open_collections(index: Path, manifest: Manifest, backend: Backend) -> Iterator[dict[str, VectorStore]]:
    """The collections of an index by domain, as long as the body runs.

    Raises
    ------
    InputError
        If one of them holds another number of records than the manifest says.
    TitrateError
        If one cannot be read.
    """
    with ExitStack() as stack:
        stores: dict[str, VectorStore] = {}
        for domain, number in manifest.domains.items():
            stores[domain] = store = backend.open(domain, manifest.dimension)
            stack.callback(store.close)
            held = store.count()
            if held != number:
                raise InputError(
                    f"index {index} is damaged: {domain} holds {held} records, its manifest says {number}; "
                    "delete it and build it again"
                )
        yield stores


def hash_file(path: Path) -> str:
    """SHA-256 of a part of an index.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; build the index again") from error


def hash_pseudonym_key(index: Path) -> str:
    """SHA-256 of the secret under which patients are named; empty where the index has none."""
    key = known_pseudonym_key(index)
    return "" if key is None else hashlib.sha256(key).hexdigest()
