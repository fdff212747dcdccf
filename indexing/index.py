"""A finished index, opened to be searched."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from indexing.copies import KnownPictures
from indexing.folder.contents import check_contents, open_collections
from indexing.folder.held import Held
from indexing.folder.ledger import Ledger
from indexing.folder.manifest import CLASSIFIER, LEDGER, NOVELTY, Manifest
from indexing.folder.pseudonym_key import known_pseudonym_key
from indexing.folder.reading import read_index
from indexing.images.pseudonyms import pseudonym
from indexing.records import Record
from indexing.routing.classifier import DomainClassifier
from indexing.routing.novelty import NoveltyDetector
from indexing.sound_records import SoundRecords
from indexing.stores.base import Match, VectorStore
from indexing.stores.filters import Exclusion, FieldFilter
from indexing.stores.open import open_backend
from indexing.stores.points import VectorName
from titrate import InputError

if TYPE_CHECKING:
    from indexing.encoder import Encoder


class Index:
    """The collections and domain classifier of one index; a context manager.

    Several processes and threads may have it open. A build meanwhile puts another index into its place, and this one
    stays as it was opened.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        classifier: DomainClassifier,
        detector: NoveltyDetector,
        stores: dict[str, VectorStore],
        ledger: Ledger,
        resources: ExitStack,
    ) -> None:
        self.manifest = manifest
        self.classifier = classifier
        self.detector = detector
        self._stores, self._ledger = stores, ledger
        self._sound = SoundRecords(ledger, stores)
        self._held = Held(path, resources)
        self._key = known_pseudonym_key(path)

    @classmethod
    def open(cls, path: Path, api_key: str | None = None, url: str | None = None) -> "Index":
        """Open an index for searching.

        Parameters
        ----------
        path
            The index folder. If its vectors are on a server, that is where queries go.
        api_key, url
            Of that server: a key if it wants one; its address if it was never named before, see `StoreSettings.admit`.

        Raises
        ------
        InputError
            If there is no complete index in this folder, it is damaged or was edited, or a build is changing it.
        TitrateError
            If a collection cannot be read, or the server not reached.
        """

        def read(manifest: Manifest, resources: ExitStack) -> Index:
            manifest.store.admit(url)
            ledger = resources.enter_context(Ledger(path / LEDGER, read_only=True))
            backend = resources.enter_context(open_backend(manifest.store, path, api_key, reading=True))
            check_contents(path, manifest, ledger, backend)
            classifier = DomainClassifier.load(path / CLASSIFIER)
            detector = NoveltyDetector.load(path / NOVELTY)
            lengths = {classifier.weights.shape[1], detector.means.shape[1], manifest.dimension}
            if not classifier.domains == detector.domains == sorted(manifest.domains) or len(lengths) > 1:
                raise InputError(f"index {path} is inconsistent; run `titrate index` again")
            stores = resources.enter_context(open_collections(path, manifest, backend))
            return cls(path, manifest, classifier, detector, stores, ledger, resources)

        return read_index(path, read)

    def __enter__(self) -> "Index":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release files and the lock; see `Held.close`."""
        self._held.close()

    def check_usable(self) -> None:
        """Refuse to go on with an index that was closed, or opened before this process was forked; see `Held.check`."""
        self._held.check()

    @property
    def domains(self) -> list[str]:
        """The domains, sorted."""
        return sorted(self._stores)

    def patients(self) -> set[str]:
        """SHA-256 of each patient, or else study, that an indexed record belongs to."""
        self._held.check()
        return self._ledger.patients()

    def has_unnamed_records(self) -> bool:
        """Whether an indexed record names neither patient nor study."""
        self._held.check()
        return self._ledger.has_unnamed()

    def verify(self) -> int:
        """Read every record, report and vector and compare it with what was indexed; returns their number.

        Opening compares the files of an index in a folder, and every search what it returns.

        Raises
        ------
        TitrateError
            If a collection cannot be read, or holds something else.
        """
        self._held.check()
        return self._sound.check_all()

    def holds_study(self, study: str) -> bool:
        """Whether an indexed record belongs to a study, whoever its patient is.

        Raises
        ------
        TitrateError
            If a collection cannot be read.
        """
        anywhere = np.full((1, self.manifest.dimension), self.manifest.dimension**-0.5, np.float32)
        wanted = [FieldFilter("study", (study,))]
        return any(self.search(domain, anywhere, 1, filters=wanted)[0] for domain in self.domains)

    def recognise(self, exclusion: Exclusion) -> Exclusion:
        """The same study and patient, also by the pseudonyms that they have in an index of DICOM files."""
        if self._key is None:
            return exclusion
        study, patient = exclusion.study, exclusion.patient
        return replace(
            exclusion,
            study_pseudonym=study and pseudonym(study, "study", self._key),
            patient_pseudonym=patient and pseudonym(patient, "patient", self._key),
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the encoder, every record's content, and how queries are routed and searched."""
        return self.manifest.fingerprint

    @property
    def versions(self) -> dict[str, str]:
        """Of the library that searches the vectors."""
        library = "qdrant-edge-py" if self.manifest.store.url is None else "qdrant-client"
        return {library: version(library)}

    def route(self, vectors: NDArray[np.float32]) -> tuple[list[str], NDArray[np.float64]]:
        """The likeliest domain of each image embedding.

        Parameters
        ----------
        vectors
            Image embeddings, float32 [n, d].

        Returns
        -------
        tuple
            The n domains, and the probability of each of the m `domains`, [n, m].
        """
        self._check(vectors)
        probabilities = self.classifier.probabilities(vectors)
        return [self.classifier.domains[best] for best in probabilities.argmax(axis=1)], probabilities

    def in_domain(self, vectors: NDArray[np.float32], domains: Sequence[str]) -> NDArray[np.bool_]:
        """True where an image looks like the domain it was routed to, False for "none of these": bool [n].

        At most 5 % of new in-domain images are refused, where the build had held-out images to set the threshold by;
        see `NoveltyDetector`.
        """
        self._check(vectors)
        return self.detector.in_domain(vectors, domains)

    def copies(self, pictures: Sequence[bytes]) -> list[list[Record]]:
        """The indexed records whose image is a copy of a picture, in whatever domain, for each of several pictures.

        Parameters
        ----------
        pictures
            `perceptual_hash` of each.

        Raises
        ------
        TitrateError
            If a collection cannot be read.
        """
        self._held.check()
        known = self._pictures
        found: list[list[Record]] = []
        for picture in pictures:
            ids = known.copies_of(picture)
            found.append([record for name in sorted(ids) for record in self._sound.records(name, ids[name])])
        return found

    @cached_property
    def _pictures(self) -> KnownPictures:
        """Read at first use: 32 bytes a record."""
        return KnownPictures(self._ledger.pictures())

    def check_encoder(self, encoder: "Encoder") -> None:
        """Refuse an encoder that did not make this index.

        Raises
        ------
        InputError
            Naming the one that did.
        """
        # The scale is computed from the weights, which a GPU may round otherwise.
        same_scale = math.isclose(encoder.logit_scale, self.manifest.logit_scale, rel_tol=1e-5)
        if encoder.fingerprint != self.manifest.encoder_fingerprint or not same_scale:
            raise InputError(
                f"encoder {encoder.id} did not make this index, {self.manifest.encoder} did; "
                "use that one or build the index again"
            )

    def search(
        self,
        domain: str,
        vectors: NDArray[np.float32],
        limit: int,
        exclusions: Sequence[Exclusion] | None = None,
        using: VectorName = "image",
        filters: Sequence[FieldFilter] = (),
    ) -> list[list[Match]]:
        """The nearest records of each query within one domain, best first.

        Parameters
        ----------
        domain
            One of `domains`.
        vectors
            Queries, float32 [n, d], from the encoder that the manifest names.
        limit
            At most so many matches a query.
        exclusions
            For each query, the record, study and patient that must not come back; None for none.
        using
            Compare with the records' images or with their reports.
        filters
            That every match must pass.

        Raises
        ------
        InputError
            If the index has no such domain, or the queries come from another encoder.
        """
        self._check(vectors)
        if domain not in self._stores:
            raise InputError(f"the index has no domain {domain!r}; it has {', '.join(self.domains)}")
        own = None if exclusions is None else [self.recognise(exclusion) for exclusion in exclusions]
        found = self._stores[domain].search(vectors, using, limit, own, [self._renamed(each) for each in filters])
        self._sound.check(domain, (match.record for matches in found for match in matches))
        return found

    def _renamed(self, given: FieldFilter) -> FieldFilter:
        """The same filter, also by the pseudonyms of the patients and studies that it names."""
        if self._key is None or given.field not in ("patient", "study"):
            return given
        kind: Literal["patient", "study"] = "patient" if given.field == "patient" else "study"
        return replace(given, values=(*given.values, *(pseudonym(value, kind, self._key) for value in given.values)))

    def _check(self, vectors: NDArray[np.float32]) -> None:
        self._held.check()
        if vectors.ndim != 2 or vectors.shape[1] != self.manifest.dimension:
            raise InputError(
                f"queries of shape {list(vectors.shape)} do not fit this index of [n, {self.manifest.dimension}]; "
                f"embed them with its encoder, {self.manifest.encoder}"
            )
