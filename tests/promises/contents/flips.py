"""One flipped byte in an index: refused, harmless, or other answers without a word?

    python -m tests.promises.contents.flips --index index --flips 600 --out bench/flips.json
    python -m tests.promises.contents.flips --vectors 40000 --flips 300

Every file of the index gets its share of the flips, half of them where the disk holds something and half anywhere.
After each, the index is opened anew and asked the same: routes, novelty, searches by both vectors with and without
exclusions, copies of pictures, patients, settings. With ``--vectors`` a synthetic index of so many is made, which is
large enough for a search graph and 8-bit vectors.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from indexing import Exclusion, Index
from titrate import TitrateError

SEED, QUERIES, LIMIT = 0, 6, 8
Outcome = Literal["refused", "harmless", "silent", "raw"]


@dataclass(frozen=True)
class Flip:
    """One byte that was changed, and what came of it: the error where there was one."""

    file: str
    place: int
    outcome: Outcome
    message: str


def flips(index: Path, number: int, scratch: Path) -> Iterator[Flip]:
    """Flip one byte at a time in a copy of an index, and ask.

    Parameters
    ----------
    index
        A finished index in a folder.
    number
        At least so many flips in all; each file gets as many as any other, but for empty ones.
    scratch
        Folder that does not exist yet.
    """
    _copy(index, scratch)
    truth = answers(scratch)
    rng = np.random.default_rng(SEED)
    files = sorted(path for path in index.rglob("*") if path.is_file() and path.stat().st_size)
    each = -(-number // len(files))
    for path in files:
        for place in _places(path, each, rng):
            shutil.rmtree(scratch)
            _copy(index, scratch)
            damaged = scratch / path.relative_to(index)
            with damaged.open("r+b") as file:
                file.seek(place)
                byte = file.read(1)[0]
                file.seek(place)
                file.write(bytes([byte ^ int(rng.integers(1, 256))]))
            outcome, message = _outcome(scratch, truth)
            yield Flip(str(path.relative_to(index)), place, outcome, message)


def answers(index: Path) -> str:
    """All that is asked of an index, as text."""
    with Index.open(index) as opened:
        manifest = opened.manifest
        vectors = np.random.default_rng(SEED).normal(size=(QUERIES, manifest.dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        domains, probabilities = opened.route(vectors)
        told: list[object] = [opened.fingerprint, manifest.view, manifest.logit_scale, manifest.encoder]
        told += [domains, probabilities.tolist(), opened.in_domain(vectors, domains).tolist()]
        told += [sorted(opened.patients()), opened.has_unnamed_records()]
        for domain in opened.domains:
            found = opened.search(domain, vectors, LIMIT)
            told += [found, opened.search(domain, vectors, LIMIT, using="text")]
            nearest = [Exclusion(row[0].record.id, patient=row[0].record.patient) for row in found]
            told.append(opened.search(domain, vectors, LIMIT, nearest))
        pictures = [bytes([row]) * 32 for row in range(1, 4)]
        told.append(opened.copies(pictures))
        return repr(told)


def _outcome(index: Path, truth: str) -> tuple[Outcome, str]:
    try:
        found = answers(index)
    except TitrateError as error:
        return ("refused" if "\n" not in str(error) else "raw"), str(error)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "raw", f"{type(error).__name__}: {error}"
    return ("harmless" if found == truth else "silent"), ""


def _places(path: Path, number: int, rng: np.random.Generator) -> list[int]:
    """Half of them where the disk holds something, which in a reserved file is little, and half anywhere."""
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            begin = os.lseek(file.fileno(), 0, os.SEEK_DATA)
            end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
        except OSError:  # nothing but a hole
            begin, end = 0, size
    filled = rng.integers(begin, min(end, size), size=-(-number // 2)).tolist()
    return [*filled, *rng.integers(0, size, size=number // 2).tolist()]


def _copy(index: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", "--sparse=always", str(index), str(target)], check=True)


def main() -> None:
    """Flip, and print how many of each outcome there were."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--index", type=Path)
    parser.add_argument("--vectors", type=int)
    parser.add_argument("--flips", type=int, default=306)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="titrate-flips-") as name:
        index = options.index
        if index is None:
            from benchmarks.synthetic import synthetic_index

            index = Path(name) / "index"
            index.mkdir()
            synthetic_index(index, options.vectors, "int8")
        found = [*flips(index, options.flips, Path(name) / "copy")]
    for flip in found:
        if flip.outcome in ("silent", "raw"):
            print(flip)
    print(len(found), "flips in", len({flip.file for flip in found}), "files:", dict(Counter(f.outcome for f in found)))
    if options.out is not None:
        options.out.write_text(json.dumps([asdict(flip) for flip in found], indent=1))


if __name__ == "__main__":
    main()
