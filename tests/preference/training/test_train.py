"""Real training of a tiny model: tokens, loss, adapter, interruption."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

from indexing import Checkpoints, load_image
from preference import PreferencePair, TrainingResult, TrainingSettings, train_adapter
from preference.training.rows import render_pair
from preference.training.train import _without_renaming_notices, make_trainer
from rag import Prompt, TransformersMLLM
from tests.full_disk import no_file_above
from titrate import InputError, TitrateError

FAST = TrainingSettings(epochs=6.0, learning_rate=2e-2, batch_size=2, hold_out=0)


@pytest.fixture(scope="module")
def mllm(mllm_folder: Path) -> TransformersMLLM:
    return TransformersMLLM.open(str(mllm_folder), device="cpu")


@pytest.fixture(scope="module")
def trained(mllm_folder: Path, pairs: list[PreferencePair], tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    out = tmp_path_factory.mktemp("trained") / "deep" / "adapter"
    return train_adapter(pairs, str(mllm_folder), out, FAST, device="cpu")


@_without_renaming_notices()
def test_the_trainer_sees_what_scoring_sees(mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path) -> None:
    mllm = TransformersMLLM.open(str(mllm_folder), device="cpu")
    pictures = [load_image(pair.image) for pair in pairs]
    prompts = [Prompt(picture, pair.prompt) for picture, pair in zip(pictures, pairs, strict=True)]
    tokenizer = mllm.processor.tokenizer
    expected = []
    for answer in ("yes", "no"):
        for prompt in prompts:
            read = mllm.processor(text=mllm.render(prompt.text), images=prompt.image)["input_ids"][0]
            expected.append((list(read), [*tokenizer(answer).input_ids, tokenizer.eos_token_id]))
    scores = mllm.score(prompts, [["yes", "no"]] * len(pairs))

    rows = [render_pair(pair, mllm) for pair in pairs]
    trainer = make_trainer(mllm, rows, [], TrainingSettings(max_steps=1), tmp_path)
    batch = trainer.data_collator([{"row": n} for n in range(len(pairs))])
    for ids, seen, answer, (read, said) in zip(
        batch["input_ids"], batch["attention_mask"].bool(), batch["completion_mask"].bool(), expected, strict=True
    ):
        assert ids[seen].tolist() == read + said
        assert ids[answer].tolist() == said

    talks = [
        {
            "images": [picture],
            "prompt": [{"role": "user", "content": pair.prompt}],
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
        for picture, pair in zip(pictures, pairs, strict=True)
    ]
    spoken = DataCollatorForVisionPreference(mllm.processor)(talks)
    for name in ("input_ids", "attention_mask", "completion_mask", "pixel_values"):
        assert torch.equal(spoken[name], batch[name]), name

    # Scoring weighs the answer alone, training the end of the turn as well.
    del batch["weights"], batch["row"], batch["shown"]
    batch["completion_mask"][batch["input_ids"] == tokenizer.eos_token_id] = 0
    policy: Any = trainer.model
    policy.train()  # as the trainer does before each step
    chosen, rejected = trainer.compute_ref_log_probs(policy, batch)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(chosen.double(), torch.tensor([row[0] for row in scores]), atol=1e-4, rtol=0)
    torch.testing.assert_close(rejected.double(), torch.tensor([row[1] for row in scores]), atol=1e-4, rtol=0)


@_without_renaming_notices()
def test_the_vision_tower_stays_as_it_is(mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path) -> None:
    mllm = TransformersMLLM.open(str(mllm_folder), device="cpu")
    before = {name: value.clone() for name, value in mllm.model.model.vision_tower.state_dict().items()}
    trainer = make_trainer(
        mllm, [render_pair(pair, mllm) for pair in pairs], [], TrainingSettings(max_steps=2), tmp_path
    )
    trainer.train()
    after = mllm.model.model.vision_tower.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_special_tokens_in_a_prompt_are_taken_out(mllm: TransformersMLLM, pairs: list[PreferencePair]) -> None:
    row = render_pair(replace(pairs[0], prompt="Report [1]: <image> <eos> effusion"), mllm)
    assert row.prompt.count("<image>") == 1
    assert "<eos>" not in row.prompt


def test_training_lowers_the_loss_and_widens_the_margin(trained: TrainingResult) -> None:
    assert trained.pairs == 4
    assert len(trained.losses) == len(trained.margins) == 12
    assert trained.losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert trained.margins[0] == pytest.approx(0, abs=1e-5)
    assert trained.losses[-1] < trained.losses[0] - 0.05
    assert trained.margins[-1] > 0.1


def test_the_adapter_opens_and_prefers_the_chosen_answer(
    trained: TrainingResult, mllm: TransformersMLLM, mllm_folder: Path, pairs: list[PreferencePair]
) -> None:
    tuned = TransformersMLLM.open(str(mllm_folder), adapter=trained.folder, device="cpu")
    assert tuned.fingerprint != mllm.fingerprint
    prompts = [Prompt(load_image(pair.image), pair.prompt) for pair in pairs]
    options = [[pair.chosen, pair.rejected] for pair in pairs]
    before, after = mllm.score(prompts, options), tuned.score(prompts, options)
    assert all(a[0] - a[1] > b[0] - b[1] for a, b in zip(after, before, strict=True))


def test_the_adapter_folder_is_whole_and_nothing_more(trained: TrainingResult, mllm_folder: Path) -> None:
    out = trained.folder
    files = {"adapter_config.json", "adapter_model.safetensors", "README.md", "base_weights.json", "trained_on.json"}
    assert {path.name for path in out.iterdir()} == files
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == str(mllm_folder)
    names = load_file(out / "adapter_model.safetensors").keys()
    # Seven projections in each of two layers, two matrices each; no vision tower, no projector, no lm_head.
    assert len(names) == 28
    assert all(".language_model.layers." in name for name in names)


def test_the_card_says_what_it_is(trained: TrainingResult) -> None:
    card = (trained.folder / "README.md").read_text()
    assert "| over-reliance | radiology | 4 |" in card
    assert "4 preference pairs from 4 questions of 4 patients, 0 of the pairs held out" in card
    assert "- pairs by number of contexts in the prompt: 1: 2, 2: 1, 3: 1" in card
    assert "- chosen answers: yes: 4" in card
    assert "- weights: 1 to 1, on average 1" in card
    assert "- learning_rate: 0.02" in card
    assert "- beta: 0.1" in card
    assert "0.6931 at the first step" in card
    assert "For research only. Not a medical device." in card


def test_interrupted_it_goes_on_to_the_same_end(
    trained: TrainingResult, mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        assert total == 12
        if done == 7:
            raise KeyboardInterrupt

    out = tmp_path / "adapter"
    with pytest.raises(KeyboardInterrupt):
        train_adapter(pairs, str(mllm_folder), out, FAST, device="cpu", progress=stop)
    assert [path.name for path in out.iterdir()] == ["checkpoints"]
    with pytest.raises(InputError, match="no adapter"):
        TransformersMLLM.open(str(mllm_folder), adapter=out)
    with pytest.raises(InputError, match="checkpoints of another run"):
        train_adapter(pairs, str(mllm_folder), out, replace(FAST, beta=0.2), device="cpu")
    with pytest.raises(InputError, match="checkpoints of another run"):
        weighed = [replace(pairs[0], weight=1.2), *pairs[1:]]
        train_adapter(weighed, str(mllm_folder), out, FAST, device="cpu")
    with pytest.raises(InputError, match="checkpoints of another run"):
        train_adapter(pairs[:2], str(mllm_folder), out, FAST, device="cpu")

    seen: list[int] = []
    report = train_adapter(
        pairs,
        str(mllm_folder),
        out,
        FAST,
        device="cpu",
        progress=lambda done, _: seen.append(done),
    )
    assert seen == list(range(7, 13))
    assert report.losses == pytest.approx(trained.losses, abs=1e-6)
    weights, whole = (load_file(folder / "adapter_model.safetensors") for folder in (out, trained.folder))
    for name, value in whole.items():
        torch.testing.assert_close(weights[name], value, atol=1e-6, rtol=0)


def test_a_finished_adapter_is_not_overwritten(
    trained: TrainingResult, mllm_folder: Path, pairs: list[PreferencePair]
) -> None:
    before = (trained.folder / "adapter_model.safetensors").read_bytes()
    with pytest.raises(InputError, match="holds an adapter, a model or an encoder already"):
        train_adapter(pairs, str(mllm_folder), trained.folder)
    assert (trained.folder / "adapter_model.safetensors").read_bytes() == before


def test_failure_before_the_first_checkpoint_leaves_nothing(
    mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "note.txt").write_text("mine")
    for out in (tmp_path / "new" / "adapter", kept):
        with pytest.raises(InputError, match=r"broken\.png"):
            train_adapter([replace(pairs[0], image=broken)], str(mllm_folder), out, device="cpu")
    assert {path.name for path in tmp_path.iterdir()} == {"broken.png", "kept"}
    assert [path.name for path in kept.iterdir()] == ["note.txt"]


def test_no_pairs_and_no_model_are_refused(pairs: list[PreferencePair], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no preference pairs"):
        train_adapter([], "no-model-needed", tmp_path / "adapter")
    with pytest.raises(InputError, match="no model in"):
        train_adapter(pairs, str(tmp_path), tmp_path / "adapter")
    assert not list(tmp_path.iterdir())


def test_training_is_silent_and_tells_no_one(
    mllm_folder: Path,
    pairs: list[PreferencePair],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def told(*_: object, **__: object) -> None:
        raise AssertionError("the trainer reported its use")

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", told)
    settings = TrainingSettings(max_steps=1, hold_out=0)
    report = train_adapter(pairs[:1], str(mllm_folder), tmp_path / "adapter", settings, device="cpu")
    assert len(report.losses) == 1
    assert capsys.readouterr().out == ""


def test_a_full_disk_is_one_line_and_nothing_is_trained_twice(
    mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    settings = replace(FAST, epochs=1.0)
    out = tmp_path / "adapter"
    with (
        no_file_above(2_000),
        pytest.raises(TitrateError, match=r"cannot write a checkpoint .*free some space") as told,
    ):
        train_adapter(pairs, str(mllm_folder), out, settings, device="cpu")
    assert "\n" not in str(told.value)
    assert not (out / "adapter_config.json").exists()
    checkpoints = Checkpoints(out)
    checkpoints.folder.mkdir(parents=True, exist_ok=True)

    def save(folder: Path) -> None:
        folder.mkdir()
        (folder / "adapter_model.safetensors").write_bytes(b"x" * 5_000)

    with no_file_above(2_000), pytest.raises(TitrateError, match=r"cannot write what was trained .*File too large"):
        checkpoints.finish(save)
    assert train_adapter(pairs, str(mllm_folder), out, settings, device="cpu").folder == out


@pytest.mark.parametrize("merge", ["adapter", "adapter/merged", "."])
def test_a_merged_model_has_a_place_of_its_own(pairs: list[PreferencePair], tmp_path: Path, merge: str) -> None:
    with pytest.raises(InputError, match=r"one lies in the other|is taken"):
        train_adapter(pairs, "no-model-needed", tmp_path / "new" / "adapter", merge=tmp_path / "new" / merge)
