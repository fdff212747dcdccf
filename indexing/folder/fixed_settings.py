"""What an index is tied to from its first build on: its encoder, its store, and its zero-shot domains."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexing.encoder import Encoder
from indexing.folder.ledger import Ledger
from indexing.folder.manifest import LEDGER
from indexing.stores.settings import StoreSettings
from titrate import InputError

_ENCODER, _STORE, _ZERO_SHOT = "encoder", "store", "zero-shot domains"


class BoundElsewhereError(InputError):
    """The index is tied to something else than what is asked for."""


@dataclass(frozen=True)
class Bound:
    """What an index is tied to, besides its encoder."""

    store: StoreSettings
    zero_shot: dict[str, list[str]] | None


def bind(
    ledger: Ledger,
    encoder: Encoder,
    store: StoreSettings | None,
    zero_shot: Mapping[str, Sequence[str]] | None,
) -> Bound:
    """Tie an index to these; where None is given, to what it is tied to already.

    Raises
    ------
    BoundElsewhereError
        If it is tied to others.
    """
    if ledger.bind(_ENCODER, encoder.fingerprint) != encoder.fingerprint:
        raise _elsewhere(_ENCODER)
    held_store = StoreSettings.loads(ledger.bind(_STORE, (store or StoreSettings()).renewed().dumps()))
    if store is not None and not store.agrees(held_store):
        raise _elsewhere(_STORE)
    wanted = {domain: list(prompts) for domain, prompts in (zero_shot or {}).items()} or None
    held: dict[str, list[str]] | None = json.loads(ledger.bind(_ZERO_SHOT, json.dumps(wanted, sort_keys=True)))
    if wanted is not None and wanted != held:
        raise _elsewhere(_ZERO_SHOT)
    return Bound(held_store, held)


def bound_store(index: Path) -> StoreSettings:
    """Where an index keeps its vectors."""
    with Ledger(index / LEDGER) as ledger:
        return StoreSettings.loads(ledger.bind(_STORE, StoreSettings().dumps()))


def _elsewhere(what: str) -> BoundElsewhereError:
    return BoundElsewhereError(
        f"the index was built with another {what}; use that one, another folder, or --rebuild to build it anew"
    )
