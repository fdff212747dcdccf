"""What was answered once is not asked again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.results.archive import write_archive
from benchmarks.results.system import MAX_K, Answered, Models, answer_splits, index_of, open_run

SOURCES = ("kermany-cxr", "bccd-blood")
TRAIN, HELD_OUT = 4, 1


@pytest.fixture(scope="module")
def data(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few records and questions of two of the samples' sources, of every split."""
    folder = tmp_path_factory.mktemp("data")
    kept: dict[tuple[str, str], list[str]] = {}
    for name in ("corpus", "questions"):
        rows = []
        for line in (samples / f"{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            source, split = row["image"].split("/")[1], row["split"]
            own = kept.setdefault((source, split), [])
            record = row["id"] if name == "corpus" else row["record"]
            if source in SOURCES and name == "corpus" and len(own) < (TRAIN if split == "train" else HELD_OUT):
                own.append(record)
            if record in own:
                rows.append(row)
                (folder / row["image"]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(samples / row["image"], folder / row["image"])
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.slow
def test_a_second_run_asks_nothing_and_finds_the_same(
    data: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = Models(f"local-dir:{samples / 'models/encoder'}", str(samples / "models/mllm"), tmp_path)
    archive = write_archive(data, "a", tmp_path)

    def answered(*, silent: bool) -> Answered:
        index = index_of(archive, models.encoder, tmp_path)
        with open_run(archive, models, index) as run, monkeypatch.context() as patch:
            for name in ("score", "score_nested", "generate") if silent else ():
                patch.setattr(type(run.system.mllm), name, None)
            return answer_splits(run, archive)

    first = answered(silent=False)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("manifest.json")}
    again = answered(silent=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("manifest.json")} == written
    for split, outcomes in first.outcomes.items():
        assert outcomes.table.fingerprint == again.outcomes[split].table.fingerprint
    assert first.near == again.near
    trial = first.trial()
    assert trial.judged.table.max_k == MAX_K
    assert max(map(len, trial.nearest_records)) == TRAIN, "voters are looked for among all of a domain"
    with open_run(archive, models, index_of(archive, models.encoder, tmp_path)) as run:
        last = answer_splits(run, archive, ("test",), best_last=True)
    pairs = list(zip(trial.judged.matches, last.outcomes["test"].matches, strict=True))
    assert all(one == other[::-1] for one, other in pairs), "the same reports, the most similar last"
    assert np.array_equal(trial.judged.table.losses[:, 0], last.outcomes["test"].table.losses[:, 0])
