"""An index is what its build put there: damage and edits are noticed, before they can change an answer."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as edge

from benchmarks.synthetic import synthetic_index
from indexing import Index, Manifest, index_info
from indexing.folder.contents import hash_pseudonym_key
from indexing.folder.ledger import Ledger
from indexing.folder.manifest import LEDGER
from indexing.folder.pseudonym_key import KEY
from indexing.stores.edge_backend import EdgeBackend
from indexing.stores.naming import collection_folder
from indexing.stores.points import point_id
from tests.command_line import Run, refused
from tests.promises.contents.flips import answers, flips
from titrate import InputError


@pytest.fixture
def index(index_folder: Path, tmp_path: Path) -> Path:
    """Give a copy of the samples' index."""
    return Path(shutil.copytree(index_folder, tmp_path / "index"))


@pytest.mark.slow
def test_no_flipped_byte_changes_an_answer_in_silence(
    index_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexing.folder.reading._PAUSE", 0)  # no build goes on that a second look would wait for
    found = [*flips(index_folder, 306, tmp_path / "copy")]
    outcomes = Counter(flip.outcome for flip in found)
    assert len(found) >= 306
    assert not [flip for flip in found if flip.outcome not in ("refused", "harmless")]
    assert outcomes["refused"] > 9 * outcomes["harmless"], "what is not refused is how JSON is written, or a note"
    assert all("index" in flip.message for flip in found if flip.outcome == "refused")


def test_a_synthetic_index_as_the_benchmarks_make_it_is_one(tmp_path: Path) -> None:
    synthetic_index(tmp_path, 600, "none")
    with Index.open(tmp_path) as opened:
        assert opened.verify() == 1600


def test_an_index_may_be_opened_copied_and_opened_again(index: Path, tmp_path: Path) -> None:
    truth = answers(index)
    assert answers(index) == truth
    shutil.copytree(index, tmp_path / "elsewhere")
    assert answers(tmp_path / "elsewhere") == truth
    with Index.open(index) as opened:
        assert opened.verify() == sum(opened.manifest.domains.values())


def test_info_reads_every_record_on_demand(index: Path, run: Run) -> None:
    assert "verified      537 records are as they were indexed" in run("info", "--index", index, "--verify").output
    assert "verified" not in run("info", "--index", index).output


def rewrite_reports(index: Path, domain: str) -> None:
    """Give every record of a domain another report, as somebody would who has the engine and not the ledger."""
    shard = edge.EdgeShard.load(str(collection_folder(index, domain)))
    with Ledger(index / LEDGER) as ledger:
        ids = [point_id(id) for id, where, _ in ledger.pictures() if where == domain]
    shard.update(edge.UpdateOperation.set_payload([*ids], {"report": "No finding."}))
    shard.flush()
    shard.close()


def test_rewritten_reports_are_refused_also_where_the_manifest_vouches_for_them(index: Path) -> None:
    made = Manifest.load(index)
    rewrite_reports(index, "radiology")
    for opened in (Index.open, index_info):
        with pytest.raises(InputError, match=r"file radiology-.* was changed since the index was built, by"):
            opened(index)
    backend = EdgeBackend(index, made.store)
    files = backend.seal(made.domains, made.dimension)
    Manifest(**{**vars(made), "files": files}).save(index)  # as if the build had said so
    with Index.open(index) as opened_index:
        assert opened_index.fingerprint == made.fingerprint, "what certificates know the index by has not changed"
        vector = np.eye(1, made.dimension, dtype=np.float32)
        with pytest.raises(InputError, match=r"record .* of radiology is not as it was indexed, by damage or by"):
            opened_index.search("radiology", vector, 3)
        assert len(opened_index.search("pathology", vector, 3)[0]) == 3
        with pytest.raises(InputError, match="of radiology is not as it was indexed"):
            opened_index.verify()


def test_a_vector_that_the_manifest_vouches_for_is_still_the_ledgers_to_know(index: Path) -> None:
    made = Manifest.load(index)
    with Index.open(index) as opened:
        vector = np.eye(1, made.dimension, dtype=np.float32)
        [[first, *_]] = opened.search("radiology", vector, 1)
    shard = edge.EdgeShard.load(str(collection_folder(index, "radiology")))
    turned = {"image": np.roll(vector[0], 1).tolist(), "text": vector[0].tolist()}
    shard.update(edge.UpdateOperation.update_vectors([edge.PointVectors(point_id(first.record.id), turned)]))
    shard.flush()
    shard.close()
    Manifest(**{**vars(made), "files": EdgeBackend(index, made.store).seal(made.domains, made.dimension)}).save(index)
    with (
        Index.open(index) as opened,
        pytest.raises(InputError, match=f"{first.record.id} of radiology is not as it"),
    ):
        opened.search("radiology", vector, 3, using="text")


def test_a_missing_ledger_is_an_error_everywhere(
    index: Path, samples: Path, few: Path, certificate: Path, run: Run
) -> None:
    (index / LEDGER).unlink()
    for opened in (Index.open, index_info):
        with pytest.raises(InputError, match=r"ledger\.sqlite is missing, and nothing else vouches for the index"):
            opened(index)
    system = ["--index", index, "--mllm", samples / "models/mllm", "--device", "cpu"]
    for words in (
        ["info", "--index", index],
        ["calibrate", few, "--root", samples, *system, "--alpha", 0.99],
        ["evaluate", few, "--root", samples, *system, "--certificate", certificate],
    ):
        refused(run(*words), "is missing, and nothing else vouches for the index")
    assert not (index / LEDGER).exists()


def test_the_key_of_pseudonyms_may_not_be_lost(index: Path) -> None:
    key = bytes(range(32))
    (index / KEY).write_bytes(key)
    with pytest.raises(InputError, match=r"the pseudonym key of index .* is missing or was changed since"):
        Index.open(index)
    made = Manifest.load(index)
    Manifest(**{**vars(made), "pseudonym_key": hash_pseudonym_key(index)}).save(index)
    Index.open(index).close()
    for content in (b"", bytes(32)):
        (index / KEY).write_bytes(content)
        with pytest.raises(InputError, match="put the right one back"):
            Index.open(index)
