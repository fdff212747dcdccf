"""The manifest: what is damaged, unfinished or of an earlier version is told as that."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from indexing import BuildReport, Encoder, Index, Manifest, NoveltyDetector, StoreSettings, build_index, index_info
from indexing.folder.manifest import CLASSIFIER, MANIFEST, NOVELTY
from titrate import InputError, hash_json

Built = tuple[Path, Path, BuildReport]


def test_damaged_index_is_reported_and_mended_by_the_next_build(built: Built, encoder: Encoder, tmp_path: Path) -> None:
    index, corpus, _ = built
    with pytest.raises(InputError, match="no index in"):
        Index.open(tmp_path / "none")
    manifest = json.loads((index / "manifest.json").read_text())
    changes: list[tuple[dict[str, Any], str]] = [
        ({"schema_version": 9}, "schema 9"),
        ({"domains": {"pathology": 20, "radiology": 21}}, "damaged or was edited"),
        ({"logit_scale": 1.0}, "damaged or was edited"),
        ({"digest": None}, "damaged or was edited"),
    ]
    del manifest["digest"]
    replacements: list[tuple[dict[str, Any], str]] = [
        ({"domains": {"pathology": 20, "radiology": 21}}, "the ledger of index .* was changed since"),
        ({"domains": {"pathology": 20}}, "the ledger of index .* was changed since"),
        ({"records": "0" * 64}, "the ledger of index .* was changed since"),
        ({"pseudonym_key": "0" * 64}, "the pseudonym key of index .* is missing or was changed since"),
        (
            {"files": {}},
            r"file pathology-.*\.json of index .* was changed since .*; build the index anew with --rebuild",
        ),
        ({"dimension": "16"}, "malformed"),
        ({"surplus": 1}, "malformed"),
    ]
    for replaced, reason in replacements:
        edited = {**manifest, **replaced}
        changes.append(({**edited, "digest": hash_json(edited)}, reason))
    for change, reason in changes:
        (index / "manifest.json").write_text(json.dumps({**manifest, "digest": "0" * 64, **change}))
        with pytest.raises(InputError, match=reason):
            Index.open(index)
    os.unlink(index / "manifest.json")
    with pytest.raises(InputError, match="unfinished"):
        Index.open(index)
    (index / "domains.safetensors").write_bytes(b"")
    assert build_index(corpus, index, encoder).unchanged == 40
    Index.open(index).close()


def test_a_manifest_of_an_earlier_version_is_refused(built: Built, encoder: Encoder) -> None:
    index, corpus, _ = built
    value = json.loads((index / MANIFEST).read_text())
    assert (value["schema_version"], value["threshold_source"], value["view"]) == (
        6,
        "none",
        {"window": None, "frame": None},
    )
    old = {**value, "schema_version": 5, "threshold": value["threshold_source"]}
    del old["threshold_source"]
    (index / MANIFEST).write_text(json.dumps(old))
    with pytest.raises(InputError, match="has schema 5, this version reads 6; build the index again"):
        Manifest.load(index)
    assert build_index(corpus, index, encoder).unchanged == 40, "nothing is embedded again"
    for threshold_source in (None, "other"):
        edited = {**value, "threshold_source": threshold_source}
        del edited["digest"]
        (index / MANIFEST).write_text(json.dumps({**edited, "digest": hash_json(edited)}))
        with pytest.raises(InputError, match="malformed"):
            Manifest.load(index)
    assert build_index(corpus, index, encoder).embedded == 0
    assert Manifest.load(index).threshold_source == "none"


def test_an_edited_detector_or_classifier_is_refused_and_another_index_by_its_fingerprint(
    built: Built, encoder: Encoder
) -> None:
    index, corpus, _ = built
    made = Manifest.load(index)
    detector = NoveltyDetector.load(index / NOVELTY)
    replace(detector, means=detector.means + 1).save(index / NOVELTY)
    for opened in (Index.open, index_info):
        with pytest.raises(InputError, match=r"novelty\.safetensors was changed since the index was built; build the"):
            opened(index)
    assert build_index(corpus, index, encoder).embedded == 0
    assert Manifest.load(index) == made, "the next build makes the same detector again"
    os.unlink(index / CLASSIFIER)
    with pytest.raises(InputError, match=r"cannot read .*domains\.safetensors: No such file.*; build the index again"):
        Index.open(index)
    assert build_index(corpus, index, encoder).embedded == 0
    with Index.open(index) as opened_again:
        assert opened_again.fingerprint == made.fingerprint


def test_the_fingerprint_covers_routing_and_search(built: Built) -> None:
    made = Manifest.load(built[0])
    others = [
        replace(made, records="0" * 64),
        replace(made, zero_shot="0" * 64),
        replace(made, classifier="0" * 64),
        replace(made, detector="0" * 64),
        replace(made, pseudonym_key="0" * 64),
        replace(made, store=StoreSettings(quantization="int8")),
    ]
    assert len({manifest.fingerprint for manifest in (made, *others)}) == 7
    elsewhere = replace(made, store=StoreSettings(url="http://localhost:6333", shards=2))
    assert elsewhere.fingerprint == made.fingerprint, "where the vectors are changes no answer"
