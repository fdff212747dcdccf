"""What the index durably holds: one row a record, its domain and hashes of its content and of its point, in SQLite.

A row exists only for a point that its collection has flushed. Before a point is written or removed, its (id, domain)
goes into the table ``unconfirmed``, which after a kill names every collection where such a point may lie.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from titrate import InputError, TitrateError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL, domain TEXT NOT NULL, patient TEXT NOT NULL, picture BLOB NOT NULL,
    point BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unconfirmed (
    id TEXT NOT NULL, domain TEXT NOT NULL, PRIMARY KEY (id, domain)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS held_out (id TEXT PRIMARY KEY, hash TEXT NOT NULL, unit TEXT NOT NULL, vector BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS loose (domain TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_SEEN = "CREATE TEMP TABLE seen (id TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID;"
_LOOSEN = "INSERT OR IGNORE INTO loose SELECT domain FROM {} WHERE id = ?"
# All that a fingerprint takes, by table; what may be there beside it is on its way in or out.
_CONTENT = {
    "record": ("id", "hash", "domain", "patient", "picture", "point"),
    "held_out": ("id", "hash", "unit", "vector"),
}
_IDS_AT_ONCE = 500


class Ledger:
    """The open ledger; a context manager.

    Parameters
    ----------
    path
        Its file, made if it is not there; None for a temporary one that leaves nothing behind.
    read_only
        Open one that is there and that nobody changes, to read. Any thread may.

    Raises
    ------
    InputError
        If the file is not a ledger, or is to be read and not there.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self._path = path
        self._on_change: Callable[[], None] = lambda: None
        if path is not None and read_only and not path.is_file():
            raise InputError(f"{path} is missing, and nothing else vouches for the index; delete it and build again")
        try:
            if path is not None and read_only:
                # Immutable: a journal beside it is that of a build in the folder that has taken its place by now.
                place = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
                self._database = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)
            else:
                self._database = sqlite3.connect(path or "", isolation_level=None)
            try:
                self._database.execute("PRAGMA trusted_schema = OFF")
                if not read_only:
                    self._database.execute("PRAGMA synchronous = FULL")
                    self._database.execute("PRAGMA secure_delete = ON")  # of a removed record nothing stays
                    self._database.executescript(_SCHEMA + _SEEN)
                if self._one("SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view')") is not None:
                    raise InputError(f"ledger {path} does more than hold rows; delete the index folder and build again")
            except (sqlite3.Error, InputError):
                self._database.close()
                raise
        except (sqlite3.Error, UnicodeDecodeError) as error:  # its own message may be damaged
            raise InputError(f"cannot use ledger {path} ({error}); delete the index folder and build again") from error

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def on_change(self, call: Callable[[], None]) -> None:
        """Have this called before any record, indexed or held out, is written or removed."""
        self._on_change = call

    def settings(self) -> dict[str, str]:
        """The index's settings by name; empty until `fix` has been called, or a build has made its tables."""
        if self._one("SELECT 1 FROM sqlite_master LIMIT 1") is None:
            return {}
        return dict(self._rows("SELECT name, value FROM setting ORDER BY name"))

    def is_current(self) -> bool:
        """Whether this version's tables are in it; an earlier version's lack a column."""
        return {row[1] for row in self._rows("PRAGMA table_info(record)")} == set(_CONTENT["record"])

    def fix(self, settings: Mapping[str, str]) -> None:
        """Note settings of the index, all of them or, after a kill, none; replaces those that have these names."""
        self._write_all([("INSERT OR REPLACE INTO setting VALUES (?, ?)", [*settings.items()])])

    def first_line(self, id: str, line: int) -> int:
        """The line of this run's corpus that first used an id: ``line`` itself unless it is a duplicate."""
        self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (id, line))
        row = self._one("SELECT line FROM seen WHERE id = ?", id)
        return int(row[0]) if row else line

    def confirmed(self, id: str) -> str | None:
        """Content hash of a record that the index durably holds, or None."""
        row = self._one("SELECT hash FROM record WHERE id = ?", id)
        return row[0] if row else None

    def begin(self, places: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
        """Declare that points are about to be written at these (id, domain).

        Returns
        -------
        dict
            For each other domain, the ids whose older points must be removed from it.
        """
        ids = [(id,) for id, _ in places]
        self._write(
            [
                (_LOOSEN.format("record"), ids),
                (_LOOSEN.format("unconfirmed"), ids),
                ("INSERT OR IGNORE INTO unconfirmed SELECT id, domain FROM record WHERE id = ?", ids),
                ("INSERT OR IGNORE INTO unconfirmed VALUES (?, ?)", places),
                ("DELETE FROM record WHERE id = ?", ids),
            ]
        )
        stale: dict[str, list[str]] = {}
        for id, domain in places:
            for (other,) in self._rows("SELECT domain FROM unconfirmed WHERE id = ? AND domain <> ?", (id, domain)):
                stale.setdefault(other, []).append(id)
        return stale

    def confirm(self, rows: Sequence[tuple[str, str, str, str, bytes, bytes]]) -> None:
        """Record that points are flushed, and their older ones gone.

        Parameters
        ----------
        rows
            Of each its id, content hash, domain, hashed patient, `perceptual_hash` and `point_digest`.
        """
        self._write(
            [
                ("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?, ?)", rows),
                ("DELETE FROM unconfirmed WHERE id = ?", [(row[0],) for row in rows]),
            ]
        )

    def withdraw(self, id: str) -> bool:
        """Declare that a record is to leave the index; True if the index held it."""
        if self.confirmed(id) is None:
            return False
        self._write(
            [
                (_LOOSEN.format("record"), [(id,)]),
                ("INSERT OR IGNORE INTO unconfirmed SELECT id, domain FROM record WHERE id = ?", [(id,)]),
                ("DELETE FROM record WHERE id = ?", [(id,)]),
            ]
        )
        return True

    def pictures(self) -> list[tuple[str, str, bytes]]:
        """Of every confirmed record (id, domain, `perceptual_hash` of its image), in order of id."""
        return self._rows("SELECT id, domain, picture FROM record ORDER BY id")

    def points(self, ids: Sequence[str]) -> dict[str, tuple[str, bytes]]:
        """Domain and `point_digest` of the confirmed ones among some records, by id."""
        found: dict[str, tuple[str, bytes]] = {}
        for start in range(0, len(ids), _IDS_AT_ONCE):
            asked = ids[start : start + _IDS_AT_ONCE]
            marks = ", ".join("?" * len(asked))
            for id, domain, point in self._rows(f"SELECT id, domain, point FROM record WHERE id IN ({marks})", asked):
                found[id] = domain, point
        return found

    def patients(self) -> set[str]:
        """The hashed patients, or else studies, of all confirmed records that name any."""
        return {row[0] for row in self._rows("SELECT DISTINCT patient FROM record WHERE patient <> ''")}

    def has_unnamed(self) -> bool:
        """Whether a confirmed record names neither patient nor study."""
        return self._one("SELECT 1 FROM record WHERE patient = '' LIMIT 1") is not None

    def vanished(self) -> Iterator[str]:
        """Confirmed records that this run's corpus did not name, in pages, so that they may be withdrawn meanwhile."""
        query = "SELECT id FROM record WHERE id > ? AND id NOT IN (SELECT id FROM seen) ORDER BY id LIMIT 1000"
        last = ""
        while page := self._rows(query, (last,)):
            yield from (id for (id,) in page)
            last = page[-1][0]

    def held_out_hash(self, id: str) -> str | None:
        """Content hash of a held-out image whose embedding is kept, or None."""
        row = self._one("SELECT hash FROM held_out WHERE id = ?", id)
        return row[0] if row else None

    def keep_held_out(self, rows: Sequence[tuple[str, str, str, bytes]]) -> None:
        """Keep the embeddings of held-out images: (id, hash, patient or else study or id, float32 bytes)."""
        self._write([("INSERT OR REPLACE INTO held_out VALUES (?, ?, ?, ?)", rows)])

    def drop_held_out(self, id: str) -> None:
        """Forget a record's held-out embedding, if there is one."""
        if self.held_out_hash(id) is not None:
            self._write([("DELETE FROM held_out WHERE id = ?", [(id,)])])

    def held_out(self) -> list[tuple[str, bytes]]:
        """The held-out embeddings in order of their ids: (patient or else study or id, float32 bytes)."""
        return self._rows("SELECT unit, vector FROM held_out ORDER BY id")

    def unconfirmed(self) -> dict[str, list[str]]:
        """Per domain, the ids of points that may be there but are not confirmed."""
        places: dict[str, list[str]] = {}
        for id, domain in self._rows("SELECT id, domain FROM unconfirmed ORDER BY domain, id"):
            places.setdefault(domain, []).append(id)
        return places

    def clear_unconfirmed(self) -> None:
        """Record that no unconfirmed point is left anywhere."""
        self._write(
            [
                ("INSERT OR IGNORE INTO loose SELECT domain FROM unconfirmed", [()]),
                ("DELETE FROM unconfirmed", [()]),
            ]
        )

    def loose(self) -> list[str]:
        """Domains whose collections still hold what was removed from them or replaced in them, unseen, in order."""
        return [row[0] for row in self._rows("SELECT domain FROM loose ORDER BY domain")]

    def clear_loose(self) -> None:
        """Record that every collection was written anew, without what was removed."""
        self._write([("DELETE FROM loose", [()])])

    def counts(self) -> dict[str, int]:
        """Number of confirmed records of each domain, sorted by domain."""
        return dict(self._rows("SELECT domain, COUNT(*) FROM record GROUP BY domain ORDER BY domain"))

    def fingerprint(self, encoder: str) -> str:
        """SHA-256 of the encoder's fingerprint, and of every field of every record in order of id.

        That are its id, content hash, domain, patient, `perceptual_hash` and `point_digest`; and of each record that is
        held out for the thresholds its id, content hash, the patient or else study or id that it counts for, and its
        vector. Each field is hashed with its type: in a damaged file a text may have become something else.
        """
        digest = hashlib.sha256(encoder.encode())
        for table, columns in _CONTENT.items():
            fields = " || ' ' || ".join(f"typeof({name}) || ' ' || hex({name})" for name in columns)
            query = f"SELECT CAST('{table} ' || {fields} || x'0a' AS BLOB) FROM {table} ORDER BY id"
            for (line,) in self._pages(query):
                digest.update(line)
        return digest.hexdigest()

    def _one(self, query: str, *values: str) -> tuple[Any, ...] | None:
        rows = self._rows(query, values)
        return rows[0] if rows else None

    def _rows(self, query: str, values: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """What a query finds."""
        return [*self._pages(query, values)]

    def _pages(self, query: str, values: Sequence[str] = ()) -> Iterator[tuple[Any, ...]]:
        """The same, row by row; a damaged file is told of in one line."""
        try:
            yield from self._database.execute(query, values)
        except (sqlite3.Error, UnicodeDecodeError) as error:  # its own message may be damaged
            raise InputError(
                f"the index's ledger {self._path} cannot be read ({error}); delete the index folder and build again"
            ) from error

    def _write(self, statements: Iterable[tuple[str, Sequence[tuple[str | bytes, ...]]]]) -> None:
        self._on_change()
        self._write_all(statements)

    def _write_all(self, statements: Iterable[tuple[str, Sequence[tuple[str | bytes, ...]]]]) -> None:
        """Run all statements in one transaction: after a kill, all of them happened or none."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for statement, rows in statements:
                self._database.executemany(statement, rows)
            self._database.execute("COMMIT")
        except (sqlite3.Error, UnicodeDecodeError) as error:  # its own message may be damaged
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise TitrateError(f"cannot write the index's ledger: {error}; check free space") from error
