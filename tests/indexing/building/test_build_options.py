"""What a build can be asked for: pruning, rebuilding, limits, strictness, a dry run, zero-shot domains, a threshold."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import uid

from indexing import (
    BuildReport,
    CorpusOptions,
    Encoder,
    ImageView,
    Index,
    Manifest,
    build_index,
    check_corpus,
    load_image,
)
from indexing.corpora.json_corpora import JsonList
from indexing.folder.ledger import Ledger
from indexing.folder.manifest import LEDGER
from indexing.folder.pseudonym_key import KEY
from tests.indexing.dicom_files import image_file
from titrate import InputError

CorpusMaker = Callable[[list[dict[str, Any]]], Path]
Built = tuple[Path, Path, BuildReport]
PROMPTS = {"pathology": ["cells"], "radiology": ["lungs"]}


def test_pruning_removes_what_has_left_the_corpus(
    built: Built, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    index, _, _ = built
    fewer = write_corpus(samples[3:])
    assert build_index(fewer, index, encoder).counts == {"pathology": 20, "radiology": 20}
    report = build_index(fewer, index, encoder, prune=True)
    assert (report.removed, report.counts) == (3, {"pathology": 17, "radiology": 20})
    with Index.open(index) as opened:
        found = opened.search("pathology", np.ones((1, 16), np.float32), 50)[0]
    assert {match.record.id for match in found}.isdisjoint(record["id"] for record in samples[:3])
    with pytest.raises(InputError, match="pruning needs the whole corpus"):
        build_index(fewer, index, encoder, CorpusOptions(limit=1), prune=True)


def test_limit_and_field(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    renamed = [{"findings" if name == "report" else name: value for name, value in r.items()} for r in samples]
    corpus = write_corpus(renamed)
    report = build_index(corpus, tmp_path / "index", encoder, CorpusOptions(limit=5, fields={"report": "findings"}))
    assert report.counts == {"pathology": 5}
    with Index.open(tmp_path / "index") as index:
        assert index.search("pathology", np.ones((1, 16), np.float32), 1)[0][0].record.report in {
            record["report"] for record in samples
        }


def test_strict_stops_at_the_first_bad_record_and_names_it(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    corpus = write_corpus([samples[0], {"id": "b", "image": "b.png", "report": "none"}, samples[1]])
    with pytest.raises(InputError, match=r"line 2 .*b\.png does not exist"):
        build_index(corpus, tmp_path / "index", encoder, CorpusOptions(strict=True))
    assert not (tmp_path / "index").exists()


def test_dry_run_reads_everything_and_writes_nothing(
    tmp_path: Path, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    corpus = write_corpus([*samples, {"id": "b", "image": "b.png", "report": "none"}, {"id": "c", "image": "c.png"}])
    before = sorted(tmp_path.rglob("*"))
    report = check_corpus(corpus)
    assert (report.usable, report.other_split, report.skipped) == (40, 4, 2)
    assert [problem.line for problem in report.problems] == [
        46,
        45,
    ]  # what cannot be parsed is met before it is decoded
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(InputError, match="line 46"):
        check_corpus(corpus, CorpusOptions(strict=True))


def test_zero_shot_places_records_without_a_domain(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    bare = [{name: record[name] for name in ("id", "image", "report")} for record in samples]
    corpus, index = write_corpus(bare), tmp_path / "index"
    report = build_index(corpus, index, encoder, zero_shot=PROMPTS)
    assert sum(report.counts.values()) == 44
    assert set(report.counts) <= set(PROMPTS)
    with Index.open(index) as opened:
        vectors = encoder.embed_images([load_image(corpus.parent / record["image"]) for record in bare])
        routed, _ = opened.route(vectors)
        for domain in opened.domains:
            stored = {match.record.id for match in opened.search(domain, vectors[:1], 44)[0]}
            assert stored == {r["id"] for r, where in zip(bare, routed, strict=True) if where == domain}
    assert build_index(corpus, index, encoder).unchanged == 44, "without prompts, the index keeps its own"
    with pytest.raises(InputError, match="zero-shot domains pathology, radiology, not x"):
        build_index(corpus, index, encoder, zero_shot={"x": ["y"]})


def test_held_out_images_set_the_threshold_but_are_not_indexed(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    indexed = [record for record in samples if record["domain"] == "pathology" and record["split"] == "train"]
    held_out = [
        dict(record, id=f"h{number}", domain="pathology", split="prefer", patient=f"p{number}", study=None)
        for number, record in enumerate(samples[:25])
    ]
    index = tmp_path / "index"
    report = build_index(write_corpus(indexed + held_out), index, encoder)
    assert (report.embedded, report.other_split) == (20, 25)
    first = Manifest.load(index)
    with Index.open(index) as opened:
        assert opened.detector.units.tolist() == [25]
        assert np.isfinite(opened.detector.thresholds).all()
        images = encoder.embed_images([load_image(tmp_path / "corpus" / record["image"]) for record in held_out])
        # Of 25 at 5 %, the 25th smallest: the threshold is the greatest score, which rounding may push to either side.
        assert opened.in_domain(images, ["pathology"] * 25).sum() >= 24
        assert not opened.in_domain(-images, ["pathology"] * 25).any()
    assert build_index(write_corpus(indexed + held_out), index, encoder).embedded == 0
    assert Manifest.load(index) == first
    # Moved to another split, they no longer count; moved to the indexed one, they are indexed.
    moved = [dict(record, split="test" if number else "train") for number, record in enumerate(held_out)]
    assert build_index(write_corpus(indexed + moved), index, encoder).counts == {"pathology": 21}
    with Ledger(index / LEDGER) as ledger:
        assert ledger.held_out() == []


def test_a_folder_of_dicom_files(tmp_path: Path, encoder: Encoder) -> None:
    folder, index = tmp_path / "archive", tmp_path / "index"
    folder.mkdir()
    for name, patient in (("a", "DOE^1"), ("b", "DOE^1"), ("c", "ROE^2")):
        pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
        (folder / f"{name}.dcm").write_bytes(image_file(pixels, PatientID=patient, StudyInstanceUID=f"1.{len(name)}"))
        (folder / f"{name}.txt").write_text("No finding.")
    (folder / "d.dcm").write_bytes(b"no image")
    report = build_index(folder, index, encoder, CorpusOptions(view=ImageView(window=(40.0, 400.0))))
    assert (report.embedded, report.skipped) == (3, 1)
    assert Manifest.load(index).view == ImageView(window=(40.0, 400.0))
    with Index.open(index) as opened:
        found = {
            match.record.id: match.record for match in opened.search("general", np.ones((1, 16), np.float32), 9)[0]
        }
    assert found["a"].patient == found["b"].patient != found["c"].patient
    assert "DOE" not in str(found)
    assert ((index / KEY).stat().st_mode & 0o777) == 0o600
    again = build_index(folder, index, encoder, CorpusOptions(view=ImageView(window=(40.0, 400.0))))
    assert (again.embedded, again.unchanged) == (0, 3)
    assert build_index(folder, index, encoder).unchanged == 3, "a window that is not named is the index's"
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="check the path"):
        build_index(folder, index, encoder)


def test_a_json_list_is_read_twice_once_to_check_it_and_once_to_use_it(
    tmp_path: Path,
    encoder: Encoder,
    samples: list[dict[str, Any]],
    write_corpus: CorpusMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = write_corpus(samples[:3]).with_name("list.json")
    listed.write_text(json.dumps(samples[:3]))
    passes, entries = [], JsonList._entries

    def counted(corpus: JsonList) -> Any:
        passes.append(corpus)
        return entries(corpus)

    monkeypatch.setattr(JsonList, "_entries", counted)
    assert build_index(listed, tmp_path / "index", encoder).embedded == 3
    assert len(passes) == 2


def test_what_is_no_picture_is_counted(encoder: Encoder, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    kinds: dict[str, dict[str, Any]] = {
        "ct": {"SOPClassUID": uid.CTImageStorage},
        "dose": {"SOPClassUID": uid.RTDoseStorage},
        "form": {"SOPClassUID": uid.SecondaryCaptureImageStorage, "ConversionType": "SD"},
        "label": {"SOPClassUID": uid.VLWholeSlideMicroscopyImageStorage, "ImageType": ["ORIGINAL", "PRIMARY", "LABEL"]},
        "state": {"SOPClassUID": uid.GrayscaleSoftcopyPresentationStateStorage},
    }
    for name, tags in kinds.items():
        (folder / f"{name}.dcm").write_bytes(image_file(pixels, **tags))
    (folder / "report.txt").write_text("Nodule.")
    rows = [{"id": name, "image": f"{name}.dcm", "report": "r"} for name in kinds] + [{"image": "none", "report": "r"}]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for corpus, skipped in ((folder, 4), (folder / "corpus.jsonl", 5)):
        checked = check_corpus(corpus)
        assert (checked.usable, checked.skipped, checked.no_pictures) == (1, skipped, 4)
        report = build_index(corpus, tmp_path / f"index{skipped}", encoder)
        assert (report.embedded, report.skipped, report.no_pictures) == (1, skipped, 4)
