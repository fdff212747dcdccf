"""A folder of DICOM files with their reports as text files beside them.

Of the header, only pseudonyms of patient and study come out. File names do become ids: an archive that puts patients'
names into file names needs renaming first.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from indexing.corpora.base import Corpus, open_failed
from indexing.corpora.columns import MAX_REPORT, name_of, text_of
from indexing.corpora.published import REPORT_FOLDERS, published_table
from indexing.images.files import read_image_bytes
from indexing.images.not_pictures import NoPictureError
from indexing.records import Record, SkippedRecord
from titrate import InputError, open_file, printable

_SUFFIXES = (".dcm", ".dicom")
_HEAD = 256
_OUTSIDE = "a link to a file outside the folder; copy the file here"
_REMEDY = "or index a .csv with columns image and report, whose images are these files"


class DicomFolder(Corpus):
    """Every DICOM file below a folder, in order of name, each folder's files before its subfolders.

    A file is DICOM if it is called ``.dcm`` or ``.dicom`` or begins like DICOM; ``DICOMDIR`` and all else is ignored.
    The report of ``NAME.dcm`` is ``NAME.txt`` or ``NAME.dcm.txt`` beside it, else ``report.txt`` in its folder, else
    the text file beside its folder and called like it, as MIMIC-CXR has ``s50414267.txt`` beside ``s50414267/``, or at
    the same place below ``mimic-cxr-reports``. What is no picture by its header (see `why_no_picture`) is skipped with
    the reason. Links to folders are not followed, and links to files only within the folder. The names of one folder
    are held in memory.

    Parameters
    ----------
    path
        The folder; image paths are relative to it.
    key
        Secret of at least 16 bytes for the pseudonyms, see `indexing.images.pseudonyms`; if None, a random one that is
        kept nowhere.

    Raises
    ------
    InputError
        If there is no DICOM file, or the key is too short.
    """

    def __init__(self, path: Path, key: bytes | None = None) -> None:
        from indexing.images.pseudonyms import SHORTEST_KEY  # pydicom is needed for folders of DICOM only

        if key is not None and len(key) < SHORTEST_KEY:
            raise InputError(f"the key for pseudonyms has {len(key)} bytes; it needs at least {SHORTEST_KEY}")
        self.path = self.root = path
        self._inside = os.path.realpath(path)
        self._key = secrets.token_bytes(32) if key is None else key
        if next(self._candidates(), None) is None:
            if (table := published_table(path)) is not None:
                unpacked = table.removesuffix(".gz")
                first = "" if table == unpacked else f"unpack {table} and "
                raise InputError(
                    f"{path} holds no DICOM files, but the list of its images; {first}index {path / unpacked}"
                )
            raise InputError(
                f"{path} holds no DICOM files; for other images, index a .jsonl, .csv or .parquet file that names them"
            )

    def __iter__(self) -> Iterator[Record | SkippedRecord]:
        for ordinal, (name, problem) in enumerate(self._candidates(), start=1):
            try:
                if problem is not None:
                    raise InputError(problem)
                yield self._record(name, ordinal)
            except InputError as error:
                yield SkippedRecord(ordinal, _printable(name), str(error), isinstance(error, NoPictureError))

    def __len__(self) -> int:
        return sum(1 for _ in self._candidates())

    def _record(self, name: str, ordinal: int) -> Record:
        from indexing.images.dicom import is_dicom, why_no_picture
        from indexing.images.pseudonyms import pseudonyms

        name_of(name, "image")
        path = self.path / name
        if not is_dicom(_head(path)):
            raise InputError("named like DICOM, but is not; replace or rename it")
        data = read_image_bytes(path)
        if (kind := why_no_picture(data, _printable(name))) is not None:
            raise NoPictureError(f"is no picture but {kind}; left out")
        report = self._report(name)
        patient, study = pseudonyms(data, self._key)
        return Record(_without_suffix(name), name, report, patient=patient, study=study, line=ordinal)

    def _report(self, name: str) -> str:
        bare = _without_suffix(name)
        folder = os.path.dirname(name)
        beside = (f"{bare}.txt", f"{name}.txt", os.path.join(folder, "report.txt"))
        apart = (os.path.join(top, f"{folder}.txt") for top in ("", *REPORT_FOLDERS))
        for sidecar in dict.fromkeys((*beside, *apart) if folder else beside):
            path = self.path / sidecar
            if not path.is_file():
                continue
            if self._leads_outside(str(path)):
                raise InputError(f"its report {sidecar} is {_OUTSIDE}")
            report = text_of(_head(path, 4 * MAX_REPORT + 4).removeprefix(b"\xef\xbb\xbf"), sidecar, limit=MAX_REPORT)
            if report is None:
                raise InputError(f"its report {sidecar} is empty")
            return report
        raise InputError(f"no report; write it to {bare}.txt, or to report.txt for the whole folder, {_REMEDY}")

    def _candidates(self) -> Iterator[tuple[str, str | None]]:
        """Path of each file that is or should be DICOM, and what is wrong with it; also of folders out of reach."""
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(self.path / folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                if not folder:
                    raise open_failed(self.path, error) from error
                yield folder, f"cannot read this folder: {error.strerror}"
                continue
            for entry in entries:
                name = os.path.join(folder, entry.name)
                if entry.is_symlink() and os.path.isdir(entry.path):
                    if self._leads_outside(entry.path):
                        yield name, "a link to a folder outside; index that folder itself"
                elif not entry.is_dir(follow_symlinks=False) and self._is_candidate(entry):
                    yield name, self._problem(entry.path)
            below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            waiting += [os.path.join(folder, name) for name in reversed(below)]

    def _is_candidate(self, entry: os.DirEntry[str]) -> bool:
        from indexing.images.dicom import is_dicom

        if entry.name.lower().endswith(_SUFFIXES):
            return True
        if entry.name == "DICOMDIR" or not os.path.isfile(entry.path) or self._leads_outside(entry.path):
            return False
        try:
            return is_dicom(_head(Path(entry.path)))
        except InputError:
            return False

    def _problem(self, path: str) -> str | None:
        if not os.path.isfile(path):
            return "not a file, or a link that leads nowhere"
        return _OUTSIDE if self._leads_outside(path) else None

    def _leads_outside(self, path: str) -> bool:
        """Whether it is a link out of the folder; what lies between is not, as links to folders are not followed."""
        return os.path.islink(path) and os.path.commonpath([self._inside, os.path.realpath(path)]) != self._inside


def _without_suffix(name: str) -> str:
    """Not `Path.stem`: many DICOM files are named by a UID, whose last part is no suffix."""
    return next((name[: -len(suffix)] for suffix in _SUFFIXES if name.lower().endswith(suffix)), name)


def _head(path: Path, size: int = _HEAD) -> bytes:
    try:
        with open_file(path) as file:
            return file.read(size)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error


def _printable(name: str) -> str:
    return printable(os.fsencode(name).decode("utf-8", "backslashreplace"))
