"""Every reader of a file that somebody else may have written: what it cannot use is one line that is ours.

Files are made from sound ones by hypothesis, from a fixed seed within `make test`, from new ones in `make fuzz`.
"""

import csv
import io
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from calibration import FINGERPRINTS, Certificate, OutcomeTable, certify
from indexing import Checkpoints, Manifest, check_corpus, load_image
from indexing.folder.ledger import Ledger
from indexing.images.view import ImageView
from indexing.routing.classifier import DomainClassifier
from indexing.routing.novelty import NoveltyDetector
from indexing.stores.settings import StoreSettings
from preference import read_pairs, read_regions
from rag import OutcomeCache, load_loss, read_instructions, read_questions, read_trained_on
from rag.outcomes.looks import LookLedger
from rag.outcomes.trained_on import TRAINED_ON
from tests.indexing.dicom_files import image_file
from tests.promises.fuzz.hostile import damaged, examples, json_file, json_lines
from tests.promises.fuzz.sound import (
    LOOK,
    OUTCOME,
    PAIR,
    PMC_VQA,
    QUESTION,
    RECORD,
    REGION,
    RELEASED,
    SERVER,
    TOML,
    VQA_RAD,
)
from titrate import TitrateError, TitrateWarning, hash_json, parse_json, read_settings, stated_reason
from titrate.settings import Setting

EXAMPLES = 25
"""Of each reader within `make test`."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with two images."""
    place = tmp_path_factory.mktemp("fuzz")
    for name, shade in (("a.png", 90), ("b.png", 150)):
        Image.new("RGB", (16, 12), (shade, 30, 200)).save(place / name)
    return place


def survive(path: Path, content: bytes, read: Callable[[Path], object]) -> None:
    """Read the content; nothing but an error of ours, of one line, may come of it, and no warning but ours."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            read(path)
        except TitrateError as error:
            said = str(error)
            assert said.strip() and len(said.splitlines()) == 1 and len(said) < 2_000, said[:300]
            said.encode()
    # Pillow's, of damaged images, are not shown by the command line.
    others = [each for each in told if not issubclass(each.category, TitrateWarning) and "PIL" not in each.filename]
    assert not others, [str(each.message) for each in others]


def table(values: dict[str, Any], delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows([list(values), *[[str(value) for value in values.values()]] * 2])
    return text.getvalue().encode()


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([RECORD, {**RECORD, "id": "r2"}]), file)
    return file.getvalue()


def parquet_questions() -> bytes:
    file = io.BytesIO()
    row = {"image": {"bytes": picture("png"), "path": "a.png"}, "question": "Is it?", "answer": "no", "split": "test"}
    pq.write_table(pa.Table.from_pylist([row, {**row, "answer": "a nodule"}]), file)
    return file.getvalue()


def picture(kind: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).convert(mode).save(file, kind)
    return file.getvalue()


def certificate() -> Any:
    losses = np.tile([0.0, 1.0], (30, 1))
    units = [f"p{row}" for row in range(30)]
    outcomes = OutcomeTable(units, units, ["radiology"] * 30, losses, np.ones((30, 2)), [["yes", "no"]] * 30)
    made: Certificate = certify(outcomes, alpha=0.5, delta=0.5, fingerprints=dict.fromkeys(FINGERPRINTS, "0" * 64))
    return made


def manifest() -> dict[str, Any]:
    value = asdict(
        Manifest(
            "local-dir:x", "a", "b", "c", "d", "e", 4, 10.0, {"radiology": 3}, StoreSettings(), ImageView(), "index"
        )
    )
    return {**value, "digest": hash_json(value)}


JSON: dict[str, tuple[str, st.SearchStrategy[bytes], Callable[[Path], object]]] = {
    "corpus.jsonl": ("c.jsonl", json_lines([RECORD, {**RECORD, "id": "r2"}]), check_corpus),
    "corpus.json": ("c.json", json_file({"train": [RECORD, {**RECORD, "id": "r2"}], "test": []}), check_corpus),
    "corpus.csv": ("c.csv", damaged(table(RECORD, ",")), check_corpus),
    "corpus.tsv": ("c.tsv", damaged(table(RECORD, "\t")), check_corpus),
    "corpus.parquet": ("c.parquet", damaged(parquet()), check_corpus),
    "questions.jsonl": ("q.jsonl", json_lines([QUESTION, {**QUESTION, "id": "q2"}]), read_questions),
    "VQA-RAD": ("v.json", json_file([VQA_RAD, {**VQA_RAD, "qid": 2}]), read_questions),
    "PMC-VQA": ("p.csv", damaged(table(PMC_VQA, ",")), read_questions),
    "PathVQA": ("q.parquet", damaged(parquet_questions()), read_questions),
    "pairs.jsonl": ("p.jsonl", json_lines([PAIR, {**PAIR, "id": "y"}]), read_pairs),
    "pairs.json": ("p.json", json_file([RELEASED, RELEASED]), read_pairs),
    "regions": ("r.jsonl", json_lines([REGION, {"image": "b.png", "mask": "a.png"}]), read_regions),
    "certificate": ("certificate.json", json_file(json.loads("{}")), Certificate.load),
    "manifest": ("manifest.json", json_file(manifest()), lambda path: Manifest.load(path.parent).fingerprint),
    "trained on": (
        TRAINED_ON,
        json_file(
            {
                "schema_version": 1,
                "weights": "x",
                "images": [{"patient": "", "study": "", "content": "0" * 64, "picture": "0" * 64}],
            }
        ),
        lambda path: read_trained_on(path.parent),
    ),
    "outcomes": (
        f"{'k' * 32}.jsonl",
        json_lines([OUTCOME, {**OUTCOME, "question": "r"}]),
        lambda path: OutcomeCache(path.parent, "k" * 32).__exit__(None, None, None),
    ),
    "looks": ("looks.jsonl", json_lines([LOOK, LOOK]), lambda path: LookLedger(path.parent).__exit__(None, None, None)),
    "checkpoint": (
        "run.json",
        json_file({"mllm": "x", "settings": {"seed": 1}}),
        lambda path: Checkpoints(path.parent)._newest(),
    ),
    "prompt": ("prompt.txt", damaged(b"Answer the question about this image.\nBe brief.\n"), read_instructions),
    "findings": ("findings.txt", damaged(b"effusion\npneumothorax\n"), lambda path: load_loss(f"findings:{path}")),
    "settings": (
        "titrate.toml",
        damaged(TOML.encode()),
        lambda path: read_settings(
            path,
            {
                "ask": {"k": Setting("k"), "root": Setting("root")},
                "calibrate": {"gamma": Setting("gammas", repeatable=True), "alpha": Setting("alpha")},
            },
        ),
    ),
    "server": (
        "reply",
        st.one_of(json_file(SERVER), damaged(b"<h1>Bad Gateway</h1>")),
        lambda path: stated_reason(path.read_bytes(), ("error", "detail", "message")),
    ),
}


@pytest.mark.parametrize("reader", sorted(JSON))
def test_files_that_were_damaged(folder: Path, reader: str) -> None:
    name, contents, read = JSON[reader]
    if reader == "certificate":
        certificate().save(folder / "sound.json")
        contents = json_file(json.loads((folder / "sound.json").read_text()))

    @examples(EXAMPLES)
    @given(contents)
    def check(content: bytes) -> None:
        survive(folder / name, content, read)

    check()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "DICOM", "grey PNG", "grey DICOM"])
def test_images_that_were_damaged(folder: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (24, 24), dtype=np.uint16)
    if kind == "DICOM":
        whole = image_file(np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8))
    elif kind == "grey DICOM":
        whole = image_file(pixels, WindowCenter=40, WindowWidth=400, RescaleSlope=1, RescaleIntercept=-1024)
    else:
        whole = picture(kind.split()[-1], "L" if "grey" in kind else "RGB")

    @examples(EXAMPLES)
    @given(damaged(whole))
    def check(content: bytes) -> None:
        survive(folder / "image", content, load_image)

    check()


@pytest.mark.parametrize("kind", ["classifier", "novelty"])
def test_tensors_that_were_damaged(few_records: Path, folder: Path, kind: str) -> None:
    name = {"classifier": "domains.safetensors", "novelty": "novelty.safetensors"}[kind]
    load: Callable[[Path], object] = {"classifier": DomainClassifier.load, "novelty": NoveltyDetector.load}[kind]

    @examples(EXAMPLES)
    @given(damaged((few_records / name).read_bytes()))
    def check(content: bytes) -> None:
        survive(folder / name, content, load)

    check()


def test_a_ledger_that_was_damaged(folder: Path) -> None:
    path = folder / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.fix({"encoder": "x"})
        ledger.confirm([(f"r{row}", "h" * 64, "radiology", "p" * 64, b"x" * 32, b"y" * 32) for row in range(200)])
    whole = path.read_bytes()

    def read(path: Path) -> None:
        with Ledger(path) as ledger:
            ledger.settings(), ledger.counts(), ledger.pictures(), ledger.patients(), ledger.has_unnamed()
            (
                ledger.unconfirmed(),
                ledger.held_out(),
                ledger.fingerprint("x"),
                ledger.confirmed("r1"),
                list(ledger.vanished()),
            )

    # A whole page is blotted out: bytes here and there are seldom where the database looks.
    pages = st.integers(0, len(whole) // 4096 - 1)
    blotted = st.tuples(pages, st.sampled_from((b"\0", b"\xff", b"\r"))).map(
        lambda what: whole[: what[0] * 4096] + what[1] * 4096 + whole[(what[0] + 1) * 4096 :]
    )

    @examples(EXAMPLES)
    @given(st.one_of(damaged(whole), blotted))
    def check(content: bytes) -> None:
        survive(path, content, read)

    check()


@pytest.mark.parametrize("reader", sorted(set(JSON) - {"server", "checkpoint"}))
@pytest.mark.parametrize("what", ["pipe", "device", "folder", "socket", "nothing"])
def test_what_is_no_file_is_not_waited_for(folder: Path, reader: str, what: str, tmp_path: Path) -> None:
    name, _, read = JSON[reader]
    path = tmp_path / name
    match what:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "socket":
            os.mknod(path, 0o140644)
        case _:
            path.symlink_to("nowhere")
    try:
        read(path)
    except TitrateError as error:
        assert len(str(error).splitlines()) == 1
    else:
        # A list of whom a model was trained on need not be there, and a folder of outcomes is made.
        assert reader in ("trained on", "outcomes", "looks") or (reader.startswith("corpus") and what == "folder")


@examples(4 * EXAMPLES)
@given(
    st.one_of(json_file(QUESTION), json_file(manifest()), st.binary(max_size=40), st.text(max_size=20).map(str.encode))
)
def test_json_is_a_value_or_one_reason(content: bytes) -> None:
    try:
        value = parse_json(content)
    except ValueError as error:
        assert type(error) is ValueError and 0 < len(str(error)) < 100 and "\n" not in str(error)
    else:
        json.dumps(value, ensure_ascii=False).encode()
