"""The index folder: where its parts lie, and the manifest that marks it complete."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

from indexing.folder.lock import BusyError, is_being_built, swapped_out, wait_for_swap
from indexing.images.view import ImageView
from indexing.stores.settings import QUANTILE, StoreSettings
from titrate import InputError, hash_json, parse_json, read_bytes, unprintable, write_atomic

MANIFEST, LEDGER, CLASSIFIER, NOVELTY, SKIPPED = (
    "manifest.json",
    "ledger.sqlite",
    "domains.safetensors",
    "novelty.safetensors",
    "skipped.jsonl",
)
_DIGEST = "digest"
"""Beside the manifest's fields: `hash_json` of all others."""
ThresholdSource = Literal["prefer", "index", "none"]

THRESHOLD_SOURCES = {
    "prefer": "set by images of the prefer split",
    "index": "set by a fifth of the indexed patients, as the corpus has too few in a prefer split; more than 5 % of "
    "images may be refused if the encoder was trained on the indexed ones",
    "none": "refuses nothing, as the corpus has too few patients to set it by",
}
"""What each source of the threshold means, in words that follow 'threshold of "none of these":'."""

SCHEMA_VERSION = 6


@dataclass(frozen=True)
class Manifest:
    """What a complete index says about itself.

    Attributes
    ----------
    encoder
        What `Encoder.open` takes.
    encoder_fingerprint
        Of the encoder that made every vector here.
    records
        `Ledger.fingerprint`: of the encoder and of every record's content, domain, report and vectors.
    zero_shot
        Hash of the prompts of domains, for records that name none.
    classifier, detector
        SHA-256 of the files of the domain classifier and of the novelty detector.
    dimension
        Length of a vector.
    logit_scale, logit_bias
        The encoder's factor on cosines, and what it adds if it was trained with a sigmoid loss.
    domains
        Number of records of each domain.
    store
        Where the vectors are.
    view
        How its images were decoded, and queries are to be.
    pseudonym_key
        SHA-256 of the secret under which patients and studies of DICOM files are named; empty where there is none.
    files
        `Backend.checksums`: of each file of the collections. They are not in the fingerprint, since no two builds write
        the same.
    threshold_source
        Which images set the thresholds of "none of these": those of the ``prefer`` split, or those of patients of the
        ``index`` itself. With ``none`` there are too few of either, and nothing is refused.
    """

    encoder: str
    encoder_fingerprint: str
    records: str
    zero_shot: str
    classifier: str
    detector: str
    dimension: int
    logit_scale: float
    domains: dict[str, int]
    store: StoreSettings = field(default_factory=StoreSettings)
    view: ImageView = field(default_factory=ImageView)
    threshold_source: ThresholdSource = "none"
    pseudonym_key: str = ""
    files: dict[str, str] = field(default_factory=dict)
    logit_bias: float | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that says which records a query gets from this index; any change of the index changes it."""
        quantization = [self.store.quantization, QUANTILE if self.store.quantization == "int8" else None]
        parts = [self.records, self.zero_shot, self.classifier, self.detector, quantization, self.pseudonym_key]
        return hash_json(parts if self.logit_bias is None else [*parts, self.logit_bias])

    def save(self, index: Path) -> None:
        """Write into the index folder, whole or not at all."""
        value = asdict(self)
        text = json.dumps({**value, _DIGEST: hash_json(value)}, indent=2, ensure_ascii=False)
        write_atomic(index / MANIFEST, text + "\n")

    @classmethod
    def load(cls, index: Path) -> "Manifest":
        """Read from the index folder.

        Raises
        ------
        InputError
            If there is no index, it is unfinished, or its manifest is malformed.
        """
        path = index / MANIFEST
        try:
            value = parse_json(_read(index))
        except OSError as error:
            if is_being_built(index):
                raise BusyError(f"index {index} is busy: it is being built; wait for that to end") from error
            if os.path.exists(index / LEDGER):
                raise InputError(f"index {index} is unfinished; run `titrate index` again to complete it") from error
            if os.path.exists(swapped_out(index)):
                raise InputError(f"a rebuild of {index} was cut off; run `titrate index` again to mend it") from error
            raise InputError(f"no index in {index}; make one with `titrate index CORPUS --index {index}`") from error
        except ValueError as error:
            raise InputError(f"{path} is damaged; run `titrate index` again") from error
        version = value.get("schema_version") if isinstance(value, dict) else None
        if version != SCHEMA_VERSION:
            raise InputError(f"{path} has schema {version}, this version reads {SCHEMA_VERSION}; build the index again")
        if value.pop(_DIGEST, None) != hash_json(value):
            raise InputError(f"{path} is damaged or was edited; run `titrate index` again")
        try:
            parts = {"store": StoreSettings.parse(value.get("store")), "view": ImageView.parse(value.get("view"))}
            manifest = cls(**{**value, **parts})
        except (InputError, TypeError, ValueError, LookupError) as error:
            raise InputError(f"{path} is malformed; build the index again") from error
        hashes = (manifest.encoder_fingerprint, manifest.records, manifest.zero_shot)
        texts = (manifest.encoder, *hashes, manifest.classifier, manifest.detector, manifest.pseudonym_key)
        sound = (
            all(isinstance(text, str) for text in texts)
            and isinstance(manifest.dimension, int)
            and isinstance(manifest.logit_scale, (int, float))
            and isinstance(manifest.logit_bias, (int, float, type(None)))
            and isinstance(manifest.domains, dict)
            and bool(manifest.domains)
            and unprintable("".join(manifest.domains)) is None
            and all(isinstance(number, int) for number in manifest.domains.values())
            and isinstance(manifest.files, dict)
            and manifest.threshold_source in get_args(ThresholdSource)
        )
        if not sound:
            raise InputError(f"{path} is malformed; build the index again")
        return manifest


def _read(index: Path) -> bytes:
    """The manifest's bytes, also where the index is being swapped."""
    try:
        return read_bytes(index / MANIFEST)
    except FileNotFoundError:
        wait_for_swap(index)
        return read_bytes(index / MANIFEST)
