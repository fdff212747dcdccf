"""Archives that share nothing with what their models were trained on; models and settings that are refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results.__main__ import find_models
from benchmarks.results.ablations import one_collection
from benchmarks.results.archive import write_archive
from benchmarks.results.world import Settings
from samples.build.worlds import WORLDS
from titrate import InputError


def row(source: str, name: str, split: str = "train") -> dict[str, object]:
    image = f"images/{source}/{name}.png"
    return {"id": f"{source}-{name}", "image": image, "patient": f"{source}:{name}", "split": split}


def write_data(folder: Path, sources: Sequence[str]) -> Path:
    folder.mkdir(exist_ok=True)
    rows = [row(source, name, split) for source in sources for name, split in (("1", "train"), ("2", "test"))]
    for name in ("corpus", "questions"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return folder


def images(path: Path) -> set[str]:
    return {json.loads(line)["image"].split("/")[1] for line in path.read_text().splitlines()}


def test_an_archive_holds_the_other_worlds_sources_and_none_of_its_own(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", [*WORLDS["a"], *WORLDS["b"]])
    of_a, of_b = (write_archive(data, world, tmp_path / "work") for world in ("a", "b"))
    for archive, other in ((of_a, "b"), (of_b, "a")):
        assert images(archive.corpus) == images(archive.questions) == set(WORLDS[other])
        assert set(archive.sources.values()) == set(WORLDS[other])
    assert of_a.digest != of_b.digest
    written = of_a.corpus.stat()
    again = write_archive(data, "a", tmp_path / "work")
    assert again == of_a
    assert again.corpus.stat().st_mtime_ns == written.st_mtime_ns, "what is there is not written again"
    (data / "corpus.jsonl").write_text(json.dumps(row("bccd-blood", "3")) + "\n")
    assert write_archive(data, "a", tmp_path / "work").corpus != of_a.corpus, "other data has another name"


@pytest.mark.parametrize("image", ["images/elsewhere/1.png", "bccd-blood/1.png", "1.png", None])
def test_an_image_of_neither_world_is_refused(tmp_path: Path, image: str | None) -> None:
    data = write_data(tmp_path / "data", WORLDS["b"])
    with (data / "questions.jsonl").open("a") as file:
        file.write(json.dumps({"id": "x", "image": image}) + "\n")
    with pytest.raises(InputError, match=r"questions\.jsonl, line 9: the image is of no source"):
        write_archive(data, "a", tmp_path)


def test_a_question_without_an_id_is_refused(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", WORLDS["b"])
    with (data / "questions.jsonl").open("a") as file:
        file.write(json.dumps({"image": "images/vqa-rad/1.png"}) + "\n")
    with pytest.raises(InputError, match="line 9: no id"):
        write_archive(data, "a", tmp_path)


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"delta": 1.0}, {"resamples": -1}, {"seeds": ()}, {"seeds": (1, 1)}])
def test_settings_out_of_range_are_refused_before_hours_of_work(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Settings(**wrong)


def test_data_without_the_other_world_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds nothing of vqa-rad"):
        write_archive(write_data(tmp_path / "data", WORLDS["a"]), "a", tmp_path)


def test_models_are_found_or_told_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("encoder", "mllm"):
        (tmp_path / "samples/models/.work/a" / name).mkdir(parents=True)
    assert find_models(["a"], tmp_path, None, "other")["a"].mllm == "other"
    assert find_models(["a"], tmp_path, None, None)["a"].encoder == "local-dir:samples/models/.work/a/encoder"
    with pytest.raises(InputError, match=r"world b has no .*b/encoder and no .*b/mllm; run make models"):
        find_models(["a", "b"], tmp_path, None, None)
    with pytest.raises(InputError, match="belongs to one world"):
        find_models(["a", "b"], tmp_path, None, "other")
    with pytest.raises(InputError, match="give a, b or both"):
        find_models(["a", "a"], tmp_path, None, None)


def test_one_collection_differs_in_its_domains_alone(tmp_path: Path) -> None:
    archive = write_archive(write_data(tmp_path / "data", WORLDS["b"]), "a", tmp_path / "work")
    before, after = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (archive.corpus, one_collection(archive))
    )
    assert after == [{**value, "domain": "all"} for value in before]
