"""Two worlds: no source in both, no image of one in the other, patients halved whole."""

from pathlib import Path

from samples.build.worlds import WORLDS, is_first_half, source_of, world_filter
from titrate import read_jsonl


def record(source: str, name: str) -> dict[str, str]:
    return {"id": f"{source}-{name}", "image": f"images/{source}/{name}.jpg"}


def test_images_that_two_sources_share_belong_to_no_world() -> None:
    records = [
        record("medpix2", "MPX1_synpic100"),
        record("medpix2", "MPX1_synpic200"),
        record("vqa-rad", "synpic100"),
        record("vqa-rad", "synpic300"),
        record("busi-ultrasound", "synpic300"),
    ]
    left = {world: [r["id"] for r in records if world_filter(world, records)(r)] for world in WORLDS}
    assert left == {"a": ["medpix2-MPX1_synpic200", "busi-ultrasound-synpic300"], "b": ["vqa-rad-synpic300"]}


def test_the_archive_of_the_samples_is_what_the_first_world_never_sees() -> None:
    archive = {source_of(value) for _, value in read_jsonl(Path("samples/corpus.jsonl"))}
    assert archive == set(WORLDS["b"])
    assert not archive & set(WORLDS["a"])


def test_patients_are_halved_whole_and_about_evenly() -> None:
    halves = [is_first_half(f"patient-{number}") for number in range(1000)]
    assert 450 < sum(halves) < 550
    assert halves == [is_first_half(f"patient-{number}") for number in range(1000)]
