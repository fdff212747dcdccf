"""What comes out as a whole model: all weights trained, or the adapter merged into them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from indexing import load_image
from preference import PreferencePair, TrainingSettings, train_adapter
from rag import Prompt, TransformersMLLM, read_trained_on
from rag.outcomes.trained_on import slow_hash
from tests.rag.architectures import write_model
from titrate import InputError


def scores(model: TransformersMLLM, pairs: Sequence[PreferencePair]) -> torch.Tensor:
    prompts = [Prompt(load_image(pair.image), pair.prompt) for pair in pairs]
    return torch.tensor([list(row) for row in model.score(prompts, [["yes", "no"]] * len(pairs))])


def test_all_weights_are_trained_but_the_images_are_seen_as_before(
    mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    out = tmp_path / "model"
    settings = TrainingSettings(full=True, learning_rate=1e-3, epochs=4.0, batch_size=2, hold_out=0)
    report = train_adapter(pairs, str(mllm_folder), out, settings, device="cpu")
    assert report.losses[0] == pytest.approx(0.693147, abs=1e-5) and report.losses[-1] < 0.6
    before = TransformersMLLM.open(str(mllm_folder), device="cpu")
    after = TransformersMLLM.open(str(out), device="cpu")
    assert after.fingerprint != before.fingerprint
    margins = [(table[:, 0] - table[:, 1]) for table in (scores(before, pairs), scores(after, pairs))]
    assert (margins[1] > margins[0]).all()
    changed = {
        name
        for (name, old), new in zip(before.model.state_dict().items(), after.model.state_dict().values(), strict=True)
        if not torch.equal(old, new)
    }
    assert any("vision_tower" in name for name in changed) and any("lm_head" in name for name in changed)
    assert not any("running_" in name or "num_batches" in name for name in changed)
    assert "library_name: transformers" in (out / "README.md").read_text()
    assert not (out / "checkpoints").exists() and not (out / "adapter_config.json").exists()
    assert {image.patient for image in read_trained_on(out) or []} == {slow_hash(f"p{number}") for number in range(4)}
    further = replace(pairs[0], patient="p9", study="s9")
    train_adapter([further], str(out), tmp_path / "again", TrainingSettings(max_steps=1, hold_out=0), device="cpu")
    listed = read_trained_on(tmp_path / "again") or []
    assert [image.study for image in listed if image.patient == slow_hash("p9")] == [slow_hash("s9")]
    assert len(listed) == 5, "what the model was trained on before is in the list, too"
    with pytest.raises(InputError, match="holds an adapter, a model or an encoder already"):
        train_adapter(pairs, str(mllm_folder), out, settings, device="cpu")


def test_all_weights_interrupted(mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path) -> None:
    settings = TrainingSettings(full=True, learning_rate=1e-3, max_steps=4, batch_size=2, hold_out=0.25)
    whole = train_adapter(pairs, str(mllm_folder), tmp_path / "whole", settings, device="cpu")

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_adapter(pairs, str(mllm_folder), tmp_path / "model", settings, device="cpu", progress=stop)
    with pytest.raises(InputError, match="no model in"):
        TransformersMLLM.open(str(tmp_path / "model"))
    report = train_adapter(pairs, str(mllm_folder), tmp_path / "model", settings, device="cpu")
    assert report.losses == pytest.approx(whole.losses, abs=1e-6)


@pytest.mark.parametrize("architecture", ["shipped", "llava", "qwen2_5_vl", "gemma3"])
def test_merged_it_scores_as_with_the_adapter(
    architecture: str, mllm_folder: Path, pairs: list[PreferencePair], tmp_path: Path
) -> None:
    folder = mllm_folder if architecture == "shipped" else write_model(architecture, tmp_path / "base")
    settings = TrainingSettings(learning_rate=1e-2, max_steps=3, hold_out=0)
    out, merged = tmp_path / "adapter", tmp_path / "deep" / "merged"
    train_adapter(pairs, str(folder), out, settings, device="cpu", merge=merged)
    adapted = scores(TransformersMLLM.open(str(folder), adapter=out, device="cpu"), pairs)
    torch.testing.assert_close(
        scores(TransformersMLLM.open(str(merged), device="cpu"), pairs), adapted, atol=1e-4, rtol=0
    )
    assert (adapted - scores(TransformersMLLM.open(str(folder), device="cpu"), pairs)).abs().max() > 1e-2
    assert "merged into its weights" in (merged / "README.md").read_text()
    files = {"adapter_config.json", "adapter_model.safetensors", "README.md", "base_weights.json", "trained_on.json"}
    assert {path.name for path in out.iterdir()} == files
    assert read_trained_on(merged) == read_trained_on(out) != []
    assert [path.name for path in merged.parent.iterdir()] == ["merged"]


def test_what_cannot_be_merged_is_refused_first(pairs: list[PreferencePair], tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="taken is taken; give another folder"):
        train_adapter(pairs, "no-model-needed", tmp_path / "adapter", merge=tmp_path / "taken")
    with pytest.raises(InputError, match="nothing to merge"):
        train_adapter(
            pairs, "no-model-needed", tmp_path / "adapter", TrainingSettings(full=True), merge=tmp_path / "merged"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
