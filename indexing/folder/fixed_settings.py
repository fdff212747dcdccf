"""What the first build of an index fixes for good: encoder, window and frame, store, and zero-shot prompts.

They say how records become vectors and where these lie, so that two builds with different ones would not fit together.
A later build keeps what it does not name, and is refused if it names something else. Which records are read (the
corpus, its columns, its image folder, the split) is free: one index may be filled from several corpora.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from indexing.folder.ledger import Ledger
from indexing.folder.manifest import LEDGER
from indexing.images.view import AS_THE_FILE_SAYS, ImageView
from indexing.stores.settings import StoreSettings
from titrate import InputError, parse_json, shorten

if TYPE_CHECKING:
    from indexing.encoder import Encoder

Prompts = Mapping[str, Sequence[str]]

# Names of the ledger's settings.
_ENCODER, _ENCODER_ID, _VIEW, _STORE, _ZERO_SHOT = "encoder", "encoder id", "view", "store", "zero-shot prompts"
_LONGEST_VALUE = 80


class OtherSettingsError(InputError):
    """A build names another value of a setting than the one that the index's first build fixed."""


@dataclass(frozen=True)
class FixedSettings:
    """The settings that the first build of an index fixed.

    Attributes
    ----------
    encoder
        Fingerprint of the encoder that makes every vector.
    encoder_id
        What `Encoder.open` takes to load it; empty if the build that fixed it did not note that.
    view
        Window and frame of every image.
    store
        Where the vectors are kept, and how.
    zero_shot
        Prompts of each domain, for records that name none; empty if such records go into the domain ``general``.
    """

    encoder: str
    encoder_id: str
    view: ImageView
    store: StoreSettings
    zero_shot: dict[str, list[str]]


def fix_settings(
    ledger: Ledger, encoder: "Encoder", view: ImageView | None, store: StoreSettings | None, zero_shot: Prompts | None
) -> FixedSettings:
    """Fix the settings of a new index, or hold those that a build names against the ones of an index that has some.

    Parameters
    ----------
    ledger
        Of the index.
    encoder
        The encoder of this build.
    view, store, zero_shot
        What this build names; None for what the index has, or else the default. Empty prompts name none at all.

    Returns
    -------
    FixedSettings
        What the index has from now on.

    Raises
    ------
    OtherSettingsError
        If the index has others, or an earlier version of this program began it and did not note all of them.
    """
    rows = ledger.settings()
    if not rows:
        fixed = FixedSettings(
            encoder=encoder.fingerprint,
            encoder_id=encoder.id,
            view=view or AS_THE_FILE_SAYS,
            store=(store or StoreSettings()).renewed(),
            zero_shot=_plain(zero_shot or {}),
        )
        ledger.fix(settings_rows(fixed))
        return fixed
    if _VIEW not in rows:
        raise OtherSettingsError(
            "an earlier version began this index and did not note all of its settings; build it anew with --rebuild, "
            "and name its window, frame and zero-shot domains again"
        )
    if not ledger.is_current():
        raise OtherSettingsError(
            "an earlier version began this index, without a hash of what a record holds; build it anew with --rebuild"
        )
    held = _from_rows(rows)
    if encoder.fingerprint != held.encoder:
        raise _other("encoder", f"{held.encoder_id} ({held.encoder[:8]})", f"{encoder.id} ({encoder.fingerprint[:8]})")
    for setting, has, named in _named(held, view, store, zero_shot):
        if has != named:
            raise _other(setting, _shown(has), _shown(named))
    if encoder.id != held.encoder_id:  # the same encoder in another place
        ledger.fix({_ENCODER_ID: encoder.id})
    return held


def load_fixed_settings(index: Path) -> FixedSettings | None:
    """What the first build of an index fixed, whether that build came to its end or not.

    Returns
    -------
    FixedSettings or None
        None if there is no index in this folder. Settings that an earlier version of this program did not note have
        their defaults.

    Raises
    ------
    InputError
        If the index's ledger cannot be read.
    """
    if not os.path.isfile(index / LEDGER):
        return None
    with Ledger(index / LEDGER, read_only=True) as ledger:
        return read_fixed_settings(ledger)


def read_fixed_settings(ledger: Ledger) -> FixedSettings | None:
    """The settings that a ledger holds; see `load_fixed_settings`."""
    rows = ledger.settings()
    return _from_rows(rows) if rows else None


def _named(
    held: FixedSettings, view: ImageView | None, store: StoreSettings | None, zero_shot: Prompts | None
) -> Iterator[tuple[str, object, object]]:
    """Each setting that a build names: how it is called, what the index has, and what the build wants."""
    if view is not None:
        yield "window", held.view.window, view.window
        yield "frame", held.view.frame, view.frame
    if store is not None:
        for name in ("url", "shards", "replicas", "quantization"):
            yield name, getattr(held.store, name), getattr(store, name)
    if zero_shot is not None:
        wanted = _plain(zero_shot)
        yield "zero-shot domains", [*held.zero_shot], [*wanted]
        for domain, prompts in wanted.items():
            yield f"zero-shot prompts of {domain}", held.zero_shot[domain], prompts


def _shown(value: object) -> str:
    """A setting's value for a message, as the command line takes it where that is possible."""
    match value:
        case None | []:
            return "none"
        case tuple():
            return ",".join(f"{number:.15g}" for number in value)
        case list():
            return shorten(", ".join(value), _LONGEST_VALUE)
    return str(value)


def _other(setting: str, has: str, named: str) -> OtherSettingsError:
    return OtherSettingsError(
        f"the index was built with {setting} {has}, not {named}; leave that out to keep what the index has, or build "
        "it anew with --rebuild"
    )


def _plain(zero_shot: Prompts) -> dict[str, list[str]]:
    return {domain: list(zero_shot[domain]) for domain in sorted(zero_shot)}


def settings_rows(fixed: FixedSettings) -> dict[str, str]:
    """As the ledger keeps them, by name."""
    return {
        _ENCODER: fixed.encoder,
        _ENCODER_ID: fixed.encoder_id,
        _VIEW: json.dumps(asdict(fixed.view)),
        _STORE: fixed.store.dumps(),
        _ZERO_SHOT: json.dumps(fixed.zero_shot),
    }


def _from_rows(rows: Mapping[str, str]) -> FixedSettings:
    """What `settings_rows` wrote, with the default of what is missing."""
    try:
        zero_shot = parse_json(rows.get(_ZERO_SHOT, "{}"))
        view = ImageView.parse(parse_json(rows[_VIEW])) if _VIEW in rows else AS_THE_FILE_SAYS
        if not all(isinstance(text, str) for texts in zero_shot.values() for text in texts):
            raise TypeError(zero_shot)
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError("the index's settings in its ledger are malformed; build the index again") from error
    return FixedSettings(
        encoder=rows.get(_ENCODER, ""),
        encoder_id=rows.get(_ENCODER_ID, ""),
        view=view,
        store=StoreSettings.loads(rows[_STORE]) if _STORE in rows else StoreSettings(),
        zero_shot=zero_shot,
    )
