import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge

from indexing import (
    BuildReport,
    CorpusOptions,
    Encoder,
    Index,
    Manifest,
    Record,
    SkippedRecord,
    build_index,
    load_image,
)
from indexing.stores.naming import collection_folder
from titrate import InputError

CorpusMaker = Callable[[list[dict[str, Any]]], Path]
Built = tuple[Path, Path, BuildReport]


def contents(index: Path) -> dict[str, tuple[Record, list[float], list[float]]]:
    """Every record of an index with its two vectors, scrolled straight from the collections."""
    found: dict[str, tuple[Record, list[float], list[float]]] = {}
    for domain, number in Manifest.load(index).domains.items():
        shard = qdrant_edge.EdgeShard.load(str(collection_folder(index, domain)))
        page: Any = shard.scroll(qdrant_edge.ScrollRequest(limit=10_000, with_payload=True, with_vector=True))
        shard.close()
        assert len(page[0]) == number
        for point in page[0]:
            record = Record(**point.payload)
            assert record.id not in found
            vectors = [np.round(point.vector[name], 5).tolist() for name in ("image", "text")]
            found[record.id] = (record, vectors[0], vectors[1])
    return found


def test_builds_one_collection_per_domain(built: Built, encoder: Encoder, samples: list[dict[str, Any]]) -> None:
    index, corpus, report = built
    assert report == BuildReport(40, 0, 4, 0, 0, [], {"pathology": 20, "radiology": 20}, cut_reports=40)
    held = contents(index)
    assert held.keys() == {record["id"] for record in samples if record["split"] == "train"}
    one = samples[0]
    record, image, text = held[one["id"]]
    fields = ("id", "image", "report", "domain", "patient", "study", "split")
    assert record == Record(**{name: one[name] for name in fields})
    np.testing.assert_allclose(image, encoder.embed_images([load_image(corpus.parent / one["image"])])[0], atol=1e-4)
    np.testing.assert_allclose(text, encoder.embed_texts([one["report"]])[0], atol=1e-4)


def test_second_run_embeds_nothing_and_leaves_the_index_as_it_is(
    built: Built, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, corpus, _ = built
    before = (index / "manifest.json").stat()
    monkeypatch.setattr("indexing.building.reader.decode_image", lambda *_: pytest.fail("decoded an image again"))
    calls: list[tuple[int, int]] = []
    report = build_index(corpus, index, encoder, progress=lambda done, total: calls.append((done, total)))
    assert (report.embedded, report.unchanged) == (0, 40)
    assert calls[-1] == (44, 44) and calls == sorted(calls)
    assert (index / "manifest.json").stat().st_mtime_ns == before.st_mtime_ns


def test_only_what_changed_is_embedded(
    built: Built, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    index, _, _ = built
    before = Manifest.load(index)
    samples = [dict(record) for record in samples]
    samples[0]["report"] = "Another report."
    samples[1]["domain"] = "radiology"
    samples[2]["split"] = "test"
    report = build_index(write_corpus(samples), index, encoder)
    assert report == BuildReport(2, 37, 5, 1, 0, [], {"pathology": 18, "radiology": 21}, cut_reports=1)
    held = contents(index)
    assert held[samples[0]["id"]][0].report == "Another report."
    assert held[samples[1]["id"]][0].domain == "radiology"
    assert samples[2]["id"] not in held, "a record that moved to a held-out split must not be retrieved"
    assert Manifest.load(index).fingerprint != before.fingerprint


def test_bad_records_are_skipped_and_listed(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    broken = dict(samples[1], id="broken", image="broken.png")
    corpus = write_corpus([samples[0], dict(samples[0]), dict(samples[1], image="../x.png"), broken])
    (corpus.parent / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    report = build_index(corpus, tmp_path / "index", encoder)
    assert report.embedded == 1
    assert sorted(report.problems, key=lambda skipped: skipped.line) == [
        SkippedRecord(2, samples[0]["id"], "same id as line 1"),
        SkippedRecord(
            3, samples[1]["id"], "image ../x.png leads outside the corpus root; move it inside or set another root"
        ),
        SkippedRecord(4, "broken", "image broken.png is damaged and cannot be decoded; replace or remove it"),
    ]
    lines = (tmp_path / "index" / "skipped.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [vars(skipped) for skipped in report.problems]
    with Index.open(tmp_path / "index") as index:
        assert index.domains == [samples[0]["domain"]]


def test_records_without_domain_or_split(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    bare = [{name: record[name] for name in ("id", "image", "report")} for record in samples[:3]]
    report = build_index(write_corpus(bare), tmp_path / "index", encoder)
    assert report.counts == {"general": 3}
    with Index.open(tmp_path / "index") as index:
        assert index.route(np.ones((2, 16), np.float32))[0] == ["general", "general"]


def test_all_splits_when_asked(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    assert build_index(write_corpus(samples), tmp_path / "index", encoder, CorpusOptions(split=None)).embedded == 44


def test_nothing_usable_leaves_nothing(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    index = tmp_path / "index"
    cases = [
        ([], "is empty"),
        ([{"id": "a", "image": "a.png"}], 'line 1: "report" is missing'),
        ([samples[20]], "no record of split"),
    ]
    for records, reason in cases:
        with pytest.raises(InputError, match=reason):
            build_index(write_corpus(records), index, encoder)
        assert not index.exists()
    with pytest.raises(InputError, match="check the path"):
        build_index(tmp_path / "none.jsonl", index, encoder)
    assert not index.exists()


@pytest.mark.parametrize(
    "moment",
    [
        "indexing.stores.edge.EdgeStore.upsert",
        "indexing.stores.edge.EdgeStore.flush",
        "indexing.folder.ledger.Ledger.confirm",
        "indexing.routing.classifier.DomainClassifier.save",
    ],
)
def test_death_at_each_step_is_made_good(
    tmp_path: Path,
    encoder: Encoder,
    samples: list[dict[str, Any]],
    write_corpus: CorpusMaker,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Fail at the second call of each step, then change the corpus so that the unconfirmed records go elsewhere."""
    monkeypatch.setattr("indexing.building.embedding.BATCH", 8)
    corpus, index = write_corpus(samples), tmp_path / "index"
    owner, method = moment.rsplit(".", 1)
    module, name = owner.rsplit(".", 1)
    target = getattr(sys.modules[module], name)
    original, calls = getattr(target, method), iter(range(1000))
    first_fatal = 0 if method == "save" else 1

    def dies(*arguments: Any) -> Any:
        if next(calls) >= first_fatal:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(target, method, dies)
        with pytest.raises(KeyboardInterrupt):
            build_index(corpus, index, encoder)
    moved = [dict(record, domain="elsewhere") for record in samples[4:]]  # the first four have left the corpus
    report = build_index(write_corpus(moved), index, encoder)
    held = contents(index)
    assert sum(report.counts.values()) == len(held) == Manifest.load(index).domains.get("pathology", 0) + 36
    assert all(held[record["id"]][0].domain == "elsewhere" for record in moved if record["split"] == "train")
    fresh = tmp_path / "fresh"
    left = [record for record in samples[:4] if record["id"] in held]
    build_index(write_corpus(left + moved), fresh, encoder)
    again = contents(fresh)
    assert {name: record for name, (record, _, _) in again.items()} == {name: entry[0] for name, entry in held.items()}
    for name, (_, image, text) in held.items():  # rounding depends on what was embedded together
        np.testing.assert_allclose([image, text], again[name][1:], atol=1e-4)
    one, other = (
        replace(Manifest.load(folder), classifier="", detector="", records="", files={}) for folder in (index, fresh)
    )
    assert one == other
