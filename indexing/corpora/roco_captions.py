"""ROCO's ``captions.txt``: an id, a tab and a caption a line, without header or quoting.

As published with Pelka et al., Radiology Objects in COntext (doi 10.1007/978-3-030-01364-6_20).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from indexing.corpora.base import Corpus, open_failed
from indexing.corpora.columns import ColumnMap
from indexing.records import Record, SkippedRecord
from titrate import open_file

MAX_LINE = 1 << 20
"""Bytes of a line."""

_BEGINNING = re.compile(rb"(?:\xef\xbb\xbf)?\s*ROCO\w*_\d+\s*\t")


def is_roco(beginning: bytes) -> bool:
    """Whether a file begins like these."""
    return _BEGINNING.match(beginning) is not None


class RocoCaptions(Corpus):
    """The images ``images/ID.jpg`` with their captions.

    Parameters
    ----------
    path, root
        The file, and the folder that holds ``images``, or the images themselves.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path, self.root = path, root
        self._folder = "images/" if (root / "images").is_dir() else ""

    def __iter__(self) -> Iterator[Record | SkippedRecord]:
        columns = ColumnMap()
        for number, line in self._lines():
            name, tab, caption = line.partition("\t")
            if not (tab and name.strip().startswith("ROCO")) or len(line) >= MAX_LINE:
                yield SkippedRecord(number, None, "not an id of ROCO, a tab and a caption")
            else:
                image = f"{self._folder}{name.strip()}.jpg"
                yield from columns.read({"id": name, "image": image, "report": caption}, number)

    def __len__(self) -> int:
        return sum(1 for _ in self._lines())

    def _lines(self) -> Iterator[tuple[int, str]]:
        try:
            # Bytes, because text files end lines at characters that captions may hold.
            with open_file(self.path) as file:
                for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), start=1):
                    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
                    if text.strip():
                        yield number, text
        except OSError as error:
            raise open_failed(self.path, error) from error
