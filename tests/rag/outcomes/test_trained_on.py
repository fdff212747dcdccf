"""Who a model was trained on is not asked about: by patient, by study, and by picture where ids say nothing."""

import json
import shutil
from dataclasses import asdict
from hashlib import scrypt, sha256
from pathlib import Path

import pytest
from PIL import Image

from indexing import ImageView
from rag import TRAINED_ON, Query, TrainedImage, read_trained_on, write_trained_on
from rag.outcomes.trained_on import refuse_trained_on, slow_hash, tell_trained_on
from titrate import InputError, TitrateWarning

VIEW = ImageView()


@pytest.fixture
def images(samples: Path, tmp_path: Path) -> list[Path]:
    """Three pictures, and the first of them saved anew."""
    taken = []
    with (samples / "corpus.jsonl").open() as lines:
        for number, record in zip(range(3), map(json.loads, lines), strict=False):
            taken.append(tmp_path / f"{number}{Path(record['image']).suffix}")
            shutil.copyfile(samples / record["image"], taken[-1])
    Image.open(taken[0]).convert("RGB").save(tmp_path / "again.png")
    return [*taken, tmp_path / "again.png"]


def adapter(folder: Path, *trained: TrainedImage) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    write_trained_on(folder, trained)
    return folder


def asked(image: Path, patient: str | None = None, study: str | None = None) -> Query:
    return Query(image=image, text="Is it?", options=("yes", "no"), patient=patient, study=study)


def test_the_list_holds_hashes_and_comes_back(images: list[Path], tmp_path: Path) -> None:
    one = TrainedImage.of(images[0], VIEW, "10000032", "s1")
    other = TrainedImage.of(images[1], VIEW)
    folder = adapter(tmp_path / "adapter", one, other, one)
    assert read_trained_on(folder) == sorted([one, other])
    assert (one.patient, one.study, other.patient) == (slow_hash("10000032"), slow_hash("s1"), "")
    assert sha256(b"10000032").hexdigest() not in (folder / TRAINED_ON).read_text(), "which can be guessed"
    assert (
        one.patient
        == scrypt(b"10000032", salt=b"titrate: whom an adapter was trained on", n=4096, r=8, p=1, dklen=32).hex()
    )
    assert "10000032" not in (folder / TRAINED_ON).read_text()


@pytest.mark.parametrize(
    ("trained", "question", "met"),
    [
        (("p1", "s1"), ("p1", "s2"), True),
        (("p1", "s1"), ("p1.0", None), False),
        (("7", "s1"), ("7.0", None), True),  # one spelling of a number
        (("p1", "s1"), ("p2", "s1"), False),  # both name a patient, and that decides
        (("p1", "s1"), (None, "s1"), True),
        ((None, "s1"), ("p2", "s1"), True),
        ((None, "s1"), ("p2", "s2"), False),
        ((None, "s1"), (None, "s2"), False),
    ],
)
def test_ids_tell_where_both_have_them(
    images: list[Path],
    tmp_path: Path,
    trained: tuple[str | None, str | None],
    question: tuple[str | None, str | None],
    met: bool,
) -> None:
    folders = {"the adapter": adapter(tmp_path / "adapter", TrainedImage.of(images[0], VIEW, *trained))}
    questions = [asked(images[1], *question), asked(images[2], "p9", "s9")]
    if met:
        with pytest.raises(InputError, match=r"^the adapter was trained on 1 of the 2 patients asked about; ask about"):
            refuse_trained_on(questions, folders, VIEW)
    else:
        compared = refuse_trained_on(questions, folders, VIEW)
        assert compared == {"the adapter's training": set()}


@pytest.mark.parametrize("ids", [(None, None), ("p2", None), (None, "s2")])
def test_pictures_tell_where_ids_cannot(images: list[Path], tmp_path: Path, ids: tuple[str | None, str | None]) -> None:
    folders = {"the model": adapter(tmp_path / "unnamed", TrainedImage.of(images[0], VIEW))}
    for image in (images[0], images[3]):
        with pytest.raises(InputError, match="the model was trained on 1 of the 1 patients"):
            refuse_trained_on([asked(image, *ids)], folders, VIEW)
    assert refuse_trained_on([asked(images[1], *ids)], folders, VIEW) == {"the model's training": set()}
    other_kind = adapter(
        tmp_path / "other", TrainedImage.of(images[0], VIEW, *(("p1", None) if ids[1] else (None, "s")))
    )
    with pytest.raises(InputError, match="the model was trained on 1 of the 1 patients"):
        refuse_trained_on([asked(images[3], *ids)], {"the model": other_kind}, VIEW)


def test_where_it_may_go_on_it_is_told(images: list[Path], tmp_path: Path) -> None:
    folders = {"the model": adapter(tmp_path / "model", TrainedImage.of(images[0], VIEW, "p1"))}
    questions = [asked(images[1], "p1"), asked(images[2], "p1"), asked(images[2], "p2"), asked(images[3])]
    with pytest.warns(TitrateWarning, match="^the model was trained on 2 of the 3 patients of split prefer: so what$"):
        tell_trained_on(questions, folders, VIEW, "prefer", "so what")
    tell_trained_on(questions[2:3], folders, VIEW, "prefer", "so what")  # a warning would be an error


def test_what_is_not_known_is_told_and_not_called_compared(images: list[Path], tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter", TrainedImage.of(images[0], VIEW, "p1"))
    (folder / "adapter_model.safetensors").write_bytes(b"weights that were trained on since")
    for name in ("the adapter", "the model"):
        with pytest.warns(TitrateWarning, match=f"it is not known what {name} .*adapter was trained on"):
            assert refuse_trained_on([asked(images[1], "p1")], {name: folder}, VIEW) == {}
    (folder / TRAINED_ON).unlink()
    with pytest.warns(TitrateWarning, match="it is not known what the adapter"):
        assert refuse_trained_on([asked(images[1], "p1")], {"the adapter": folder}, VIEW) == {}
    assert refuse_trained_on([asked(images[1], "p1")], {"the model": folder}, VIEW) == {}, "a model as it came"


def test_a_damaged_list_is_refused(images: list[Path], tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter", TrainedImage.of(images[0], VIEW, "p1"))
    row = asdict(TrainedImage.of(images[0], VIEW, "p1"))
    value = json.loads((folder / TRAINED_ON).read_text())
    for bad in (
        "{",
        "[]",
        json.dumps({**value, "schema_version": 1}),
        json.dumps({**value, "images": [{**row, "patient": "p1"}]}),
        *(json.dumps({**value, "images": [{**row, "picture": wrong}]}) for wrong in ("ab", "", None, 5)),
        json.dumps({**value, "images": [{**row, "name": "x"}]}),
        json.dumps({**value, "images": None}),
    ):
        (folder / TRAINED_ON).write_text(bad)
        with pytest.raises(InputError, match=r"trained_on\.json.*; train again, or delete it to go on without it"):
            read_trained_on(folder)
