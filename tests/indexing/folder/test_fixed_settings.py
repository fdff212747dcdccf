"""What a first build fixes: kept by builds that do not name it, refused to those that name another."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli import main
from indexing import (
    BuildReport,
    CorpusOptions,
    Encoder,
    ImageView,
    Manifest,
    Record,
    StoreSettings,
    build_index,
    load_fixed_settings,
)
from indexing.building.reader import content_hash
from indexing.folder.lock import LOCK
from indexing.folder.manifest import LEDGER, MANIFEST
from tests.indexing.conftest import CorpusMaker
from tests.indexing.dicom_files import image_file
from titrate import InputError

Built = tuple[Path, Path, BuildReport]
WINDOWED = ImageView(window=(40.0, 400.0), frame=1)
PROMPTS = {"pathology": ["cells"], "radiology": ["lungs"]}
KEEP = "leave that out to keep what the index has, or build it anew with --rebuild"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder of three DICOM files of 12 bits and three frames."""
    folder, rng = tmp_path / "archive", np.random.default_rng(0)
    folder.mkdir()
    for name in "abc":
        pixels = rng.integers(0, 4096, (3, 8, 8)).astype(np.uint16)
        (folder / f"{name}.dcm").write_bytes(image_file(pixels, PatientID=name, NumberOfFrames=3))
        (folder / f"{name}.txt").write_text("No finding.")
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words), "--device", "cpu"], catch_exceptions=False)


def test_the_content_hash_of_a_record_is_what_it_was() -> None:
    """The same digits as in version 0.1.0 before the view could be left out, or every index would be embedded anew."""
    record = Record("a", "a.png", "Größe.", "radiology", "p", None, "train", 7)
    assert content_hash(record, b"bytes", ImageView()) == (
        "40fb974e4d509822a14f2d7241e1de5ee26d4e26367e4dcb6b9ad2532e7299e1"
    )
    assert content_hash(record, b"bytes", ImageView((40.0, 400.0), 3)) == (
        "ae4e8ca2a70fdee742d29113f2f9ee791b1b9a476bf9458ba8c0589f06c132fe"
    )


def test_the_content_hash_covers_how_the_kind_of_image_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a second build would keep the embeddings of images that were shown wrongly."""
    record = Record("a", "a.png", "Normal.")
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1"
    dicom = image_file(np.zeros((2, 2), np.uint16))
    changed = [dicom, dicom[132:], b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", png + b"\x10\0"]
    as_ever = [png + b"\x08\2", png + b"\1\0", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP", b"bytes"]
    before = [content_hash(record, data, ImageView()) for data in changed + as_ever]
    monkeypatch.setattr("indexing.images.decode.DECODING_VERSION", 3)
    after = [content_hash(record, data, ImageView()) for data in changed + as_ever]
    assert [one != other for one, other in zip(before, after, strict=True)] == [True] * 7 + [False] * 5


def test_window_and_frame_are_kept_unless_named(archive: Path, tmp_path: Path, encoder: Encoder) -> None:
    index = tmp_path / "index"
    assert build_index(archive, index, encoder, CorpusOptions(view=WINDOWED)).embedded == 3
    first = Manifest.load(index)
    assert first.view == WINDOWED
    for options in (None, CorpusOptions(), CorpusOptions(view=WINDOWED)):
        again = build_index(archive, index, encoder, options)
        assert (again.embedded, again.unchanged, Manifest.load(index)) == (0, 3, first)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (ImageView((50.0, 400.0), 1), "window 40,400, not 50,400; "),
        (ImageView((40.0, 400.25), 1), "window 40,400, not 40,400.25; "),
        (ImageView(None, 1), "window 40,400, not none; "),
        (ImageView((40.0, 400.0), 0), "frame 1, not 0; "),
        (ImageView((40.0, 400.0), None), "frame 1, not none; "),
    ],
)
def test_another_view_is_refused_and_taken_by_a_rebuild(
    archive: Path, tmp_path: Path, encoder: Encoder, view: ImageView, message: str
) -> None:
    index = tmp_path / "index"
    build_index(archive, index, encoder, CorpusOptions(view=WINDOWED))
    first = Manifest.load(index)
    with pytest.raises(InputError) as refused:
        build_index(archive, index, encoder, CorpusOptions(view=view))
    assert str(refused.value) == f"the index was built with {message}{KEEP}"
    assert Manifest.load(index) == first
    assert build_index(archive, index, encoder, CorpusOptions(view=view), rebuild=True).embedded == 3
    assert Manifest.load(index).view == view
    assert Manifest.load(index).fingerprint != first.fingerprint
    assert build_index(archive, index, encoder).embedded == 0


def test_a_rebuild_keeps_what_it_does_not_name(
    tmp_path: Path, encoder: Encoder, other_encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    bare = [{name: record[name] for name in ("id", "image", "report")} for record in samples[:6]]
    corpus, index = write_corpus(bare), tmp_path / "index"
    options, store = CorpusOptions(view=ImageView((40.0, 400.0))), StoreSettings(quantization="int8")
    build_index(corpus, index, encoder, options, store=store, zero_shot=PROMPTS)
    build_index(corpus, index, other_encoder, rebuild=True)
    held = load_fixed_settings(index)
    assert held is not None
    assert (held.encoder, held.encoder_id) == (other_encoder.fingerprint, other_encoder.id)
    assert (held.view, held.store, held.zero_shot) == (options.view, store, PROMPTS)
    # No prompts at all are something else than prompts that are not named.
    with pytest.raises(InputError, match="zero-shot domains pathology, radiology, not none; "):
        build_index(corpus, index, other_encoder, zero_shot={})
    assert build_index(corpus, index, other_encoder, zero_shot={}, rebuild=True).counts == {"general": 6}


def test_an_interrupted_rebuild_does_not_lend_its_settings_to_the_next(
    archive: Path, tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    build_index(archive, index, encoder)
    with monkeypatch.context() as patch:
        patch.setattr("indexing.building.finish.Manifest.save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_index(archive, index, encoder, CorpusOptions(view=WINDOWED), zero_shot=PROMPTS, rebuild=True)
    build_index(archive, index, encoder, rebuild=True)
    held = load_fixed_settings(index)
    assert held is not None and (held.view, held.zero_shot) == (ImageView(), {})


def test_other_stores_and_prompts_are_refused_by_name(
    tmp_path: Path, encoder: Encoder, samples: list[dict[str, Any]], write_corpus: CorpusMaker
) -> None:
    corpus, index = write_corpus(samples[:4]), tmp_path / "index"
    build_index(corpus, index, encoder, zero_shot=PROMPTS)
    url = "http://127.0.0.1:9"
    stores = [
        (StoreSettings(quantization="int8"), "quantization none, not int8; "),
        (StoreSettings(url), f"url none, not {url}; "),
    ]
    for store, message in stores:
        with pytest.raises(InputError) as refused:
            build_index(corpus, index, encoder, store=store)
        assert str(refused.value) == f"the index was built with {message}{KEEP}"
    prompts = [
        ({"x": ["y"]}, "zero-shot domains pathology, radiology, not x; "),
        ({**PROMPTS, "radiology": ["a lung", "b"]}, "zero-shot prompts of radiology lungs, not a lung, b; "),
    ]
    for zero_shot, message in prompts:
        with pytest.raises(InputError) as refused:
            build_index(corpus, index, encoder, zero_shot=zero_shot)
        assert str(refused.value) == f"the index was built with {message}{KEEP}"
    again = build_index(corpus, index, encoder, zero_shot=dict(reversed(PROMPTS.items())), store=StoreSettings())
    assert again.unchanged == 4, "the order of domains does not matter"


def test_another_encoder_is_refused(built: Built, other_encoder: Encoder) -> None:
    index, corpus, _ = built
    before = Manifest.load(index)
    with pytest.raises(InputError) as refused:
        build_index(corpus, index, other_encoder)
    for words in (other_encoder.id, before.encoder, before.encoder_fingerprint[:8], KEEP):
        assert words in str(refused.value)
    assert Manifest.load(index) == before


def test_another_store_needs_a_rebuild(built: Built, encoder: Encoder) -> None:
    index, corpus, _ = built
    int8 = StoreSettings(quantization="int8")
    with pytest.raises(InputError, match="quantization none, not int8"):
        build_index(corpus, index, encoder, store=int8)
    build_index(corpus, index, encoder, store=int8, rebuild=True)
    assert Manifest.load(index).store.quantization == "int8"
    assert build_index(corpus, index, encoder).unchanged == 40, "without settings, the index keeps its own"


def test_an_unfinished_index_of_an_earlier_version(archive: Path, tmp_path: Path, encoder: Encoder) -> None:
    index = tmp_path / "index"
    build_index(archive, index, encoder, CorpusOptions(view=WINDOWED))
    (index / MANIFEST).unlink()
    with sqlite3.connect(index / LEDGER) as ledger:
        ledger.execute("DELETE FROM setting WHERE name IN ('view', 'encoder id')")
    with pytest.raises(InputError, match=r"an earlier version began this index and did not note .* with --rebuild"):
        build_index(archive, index, encoder)
    assert build_index(archive, index, encoder, CorpusOptions(view=WINDOWED), rebuild=True).embedded == 3
    assert Manifest.load(index).view == WINDOWED


def test_the_first_build_may_be_killed_before_it_fixes_anything(
    archive: Path, tmp_path: Path, encoder: Encoder
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    (index / LOCK).touch()
    sqlite3.connect(index / LEDGER).close()
    assert load_fixed_settings(tmp_path / "none") is None
    for rebuild in (True, False):
        build_index(archive, index, encoder, CorpusOptions(view=WINDOWED), rebuild=rebuild)
        held = load_fixed_settings(index)
        assert held is not None and held.view == WINDOWED


def test_the_same_encoder_from_another_place(built: Built, encoder_folder: Path, encoder: Encoder) -> None:
    index, corpus, _ = built
    moved = Encoder.open(f"local-dir:{encoder_folder}", device="cpu")
    moved.model_name = "local-dir:/elsewhere"
    assert build_index(corpus, index, moved).unchanged == 40
    held = load_fixed_settings(index)
    assert held is not None
    assert (
        (held.encoder, held.encoder_id)
        == (encoder.fingerprint, Manifest.load(index).encoder)
        == (
            encoder.fingerprint,
            "local-dir:/elsewhere",
        )
    )


def test_the_command_line_keeps_every_setting_that_is_not_named(
    archive: Path, tmp_path: Path, encoder_folder: Path
) -> None:
    index, encoder = tmp_path / "index", f"local-dir:{encoder_folder}"
    new = run("index", archive, "--index", index)
    assert new.exit_code == 2 and f"there is no index in {index} yet; name the encoder" in new.stderr
    words = ["index", archive, "--index", index]
    named = ["--window", "40,400", "--frame", 1, "--quantize", "--zero-shot", "pathology=cells"]
    made = run(*words, "--encoder", encoder, *named)
    assert made.exit_code == 0, made.output
    first = Manifest.load(index)
    assert (first.view, first.store.quantization, first.domains) == (WINDOWED, "int8", {"pathology": 3})
    for options in ([], ["--window", "40,400"], ["--frame", 1], ["--quantize"], named):
        again = run(*words, *options)
        assert again.exit_code == 0 and again.stdout.startswith("0 embedded, 3 unchanged"), again.output
        assert Manifest.load(index) == first
    refusals: list[tuple[list[object], str]] = [
        (["--window", "50,400"], "window 40,400, not 50,400"),
        (["--frame", 0], "frame 1, not 0"),
        (["--zero-shot", "pathology=tissue"], "zero-shot prompts of pathology cells, not tissue"),
    ]
    for given, message in refusals:
        refused = run(*words, *given)
        assert refused.exit_code == 2
        assert refused.stderr == f"titrate: the index was built with {message}; {KEEP}\n"
    assert Manifest.load(index) == first
    rebuilt = run(*words, "--frame", 0, "--rebuild")
    assert rebuilt.exit_code == 0 and rebuilt.stdout.startswith("3 embedded"), rebuilt.output
    assert Manifest.load(index).view == replace(WINDOWED, frame=0)
    assert (Manifest.load(index).store, Manifest.load(index).domains) == (first.store, first.domains)


def test_an_unfinished_index_knows_its_encoder(archive: Path, tmp_path: Path, encoder_folder: Path) -> None:
    index = tmp_path / "index"
    words = ["index", archive, "--index", index]
    assert run(*words, "--encoder", f"local-dir:{encoder_folder}", "--frame", 2).exit_code == 0
    first = Manifest.load(index)
    (index / MANIFEST).unlink()  # as an interruption before the end leaves it
    assert run(*words).stdout.startswith("0 embedded, 3 unchanged")
    assert Manifest.load(index) == first


def test_a_dry_run_looks_at_images_as_the_build_would(archive: Path, tmp_path: Path, encoder_folder: Path) -> None:
    index = tmp_path / "index"
    words = ["index", archive, "--index", index]
    assert run(*words, "--encoder", f"local-dir:{encoder_folder}", "--frame", 2).exit_code == 0
    (archive / "d.dcm").write_bytes(image_file(np.zeros((8, 8), np.uint16)))
    (archive / "d.txt").write_text("One frame only.")
    checked = run(*words, "--dry-run")
    assert checked.stdout == "3 usable, 0 of other splits, 1 skipped\n"
    assert "frame 2 (counted from 0) is not there" in checked.stderr
