"""Whether what an open index returns is what its ledger says: the answers of a store are not taken at their word."""

from collections.abc import Iterable, Mapping, Sequence

from indexing.folder.ledger import Ledger
from indexing.records import Record
from indexing.stores.base import VectorStore
from indexing.stores.points import payload_digest, payload_of
from titrate import InputError


class SoundRecords:
    """Compares records with the hash that the ledger holds of each.

    The vectors are read and compared the first time that a record is met; its text, patient and the rest, which come
    back with every search, each time.

    Parameters
    ----------
    ledger
        The index's, open as long as this is used.
    stores
        Its collections by domain.
    """

    def __init__(self, ledger: Ledger, stores: Mapping[str, VectorStore]) -> None:
        self._ledger, self._stores = ledger, stores
        self._sound: dict[str, bytes] = {}  # payload digest by record id

    def check(self, domain: str, records: Iterable[Record]) -> None:
        """Refuse records of a collection that are not as they were indexed.

        Raises
        ------
        InputError
            Naming the first of them.
        TitrateError
            If the collection cannot be read.
        """
        new = {}
        for record in records:
            digest = payload_digest(payload_of(record))
            if self._sound.get(record.id) != digest:
                new[record.id] = digest
        if not new:
            return
        self._compare(domain, self._stores[domain].digests(new))
        self._sound |= new

    def records(self, domain: str, ids: Sequence[str]) -> list[Record]:
        """The records of a collection with these ids, all of which it must hold, checked and in order of id.

        Raises
        ------
        InputError
            Naming the first that is missing or not as it was indexed.
        TitrateError
            If the collection cannot be read.
        """
        found = self._stores[domain].records(ids)
        if missing := sorted({*ids} - {record.id for record in found}):
            raise InputError(f"record {missing[0]} is missing from {domain}; build the index anew with --rebuild")
        self.check(domain, found)
        return found

    def check_all(self, *, unfinished: bool = False) -> int:
        """Read every point of every collection and compare it; returns their number.

        Parameters
        ----------
        unfinished
            True while a build is under way: there may be more points than are confirmed.

        Raises
        ------
        InputError
            Naming the first that is not as it was indexed, or a collection that lacks some or has more.
        TitrateError
            If a collection cannot be read.
        """
        counts = self._ledger.counts()
        for domain, expected in counts.items():
            number = 0
            for page in self._stores[domain].all_digests():
                held = self._ledger.points([*page])
                known = {id: page[id] for id in page if not unfinished or (id in held and held[id][0] == domain)}
                self._compare(domain, known)
                number += len(known)
            if number != expected:
                raise InputError(
                    f"collection {domain} holds {number} records where {expected} were indexed; build the index anew "
                    "with --rebuild"
                )
        return sum(counts.values())

    def _compare(self, domain: str, digests: Mapping[str, bytes]) -> None:
        held = self._ledger.points([*digests])
        for id in sorted(digests):
            if held.get(id) != (domain, digests[id]):
                raise InputError(
                    f"record {id} of {domain} is not as it was indexed, by damage or by hand; build the index anew "
                    "with --rebuild"
                )
