"""Train the small MLLM as somebody else's model: on one world's sources, without the archive that it is to read.

    python -m samples.build.mllm --data ../shared/data --work samples/models/.work/a --world a --out samples/models/mllm

Run samples.build.reading first, which teaches the decoder to read, and samples.build.encoder with the same world, which
trains the image tower. Here the two come together, on patients whose images the tower has not learnt: questions alone;
questions with 1 to 8 reports, retrieved from a real index of the world's train split as when a question is answered,
never from the question's own patient; the same with words that mean nothing, so that they have to be read; and invented
cases beside any image. Some images are replaced by noise. The tower stays as it is. In the end the decoder's weights
are averaged with those from before. On the prefer split, accuracy is logged and nothing is learnt. If training is
interrupted, it resumes after its last epoch.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import FastVlmForConditionalGeneration

from samples.build import archive as data
from samples.build import tokenizer as vocabulary
from samples.build.architecture import (
    compile_decoder,
    decoder_parameters,
    feature_maps,
    hidden_states,
    new_model,
    new_processor,
)
from samples.build.contexts import retrieved_reports
from samples.build.encoder import PIXELS
from samples.build.packing import Packed, collate
from samples.build.reading import PROBE_WEIGHT, probe_loss
from samples.build.sequences import MAX_K, Sequences
from samples.build.worlds import WORLDS, is_first_half

EPOCHS, ALONE, INVENTED = 3, 1, 0.8
"""Epochs; how often each has every record without contexts; and how many invented cases there are for each record."""
NOISE_SHARE, STRANGE_SHARE = 0.3, 0.5
"""Shares of the sequences with contexts whose image is replaced by noise, and whose words mean nothing."""
BATCH, PEAK_RATE, WARM_STEPS, WEIGHT_DECAY, SEED = 16, 6e-4, 60, 0.05, 11
READING_SHARE = 0.5
"""Share of the decoder's weights that is as it was before images came: what real reports teach goes at the cost of
reading words that were never met, and half of each has most of both (WiSE-FT, arXiv 2109.01903, whose advice it is)."""
WATCHED_K = (0, 1, 4, 8)
"""Numbers of contexts at which accuracy is logged."""


@torch.inference_mode()
def watch(model: FastVlmForConditionalGeneration, sequences: Sequences, rows: list[int], counts: Sequence[int]) -> str:
    """Accuracy on the closed questions of these records, by domain and number of contexts, as a line for the log."""
    model.eval()
    yes, no = (sequences.words.token_to_id(word) for word in ("yes", "no"))
    right: dict[str, list[list[bool]]] = {}
    ready = [(row, *found) for row in rows if (found := sequences.watching(row, counts)) is not None]
    ready.sort(key=lambda item: len(item[1].ids))
    for start in range(0, len(ready), BATCH):
        chunk = ready[start : start + BATCH]
        batch = collate([packed for _, packed, _ in chunk], vocabulary.PAD_ID)
        chosen = torch.isin(batch.targets, torch.tensor([yes, no]))
        chosen &= batch.weights > 0
        pixels = data.plain(sequences.archive.images[[row for row, _, _ in chunk]], PIXELS)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model.lm_head(hidden_states(model, batch, feature_maps(model, pixels))[chosen])
        hits = ((logits[:, yes] > logits[:, no]) == (batch.targets[chosen] == yes)).view(-1, len(counts)).tolist()
        for row, _, closed in chunk:
            for _ in closed:
                right.setdefault(sequences.archive.records[row]["domain"], []).append(hits.pop(0))
    model.train()
    means = {domain: torch.tensor(values).float().mean(0).tolist() for domain, values in sorted(right.items())}
    return "; ".join(f"{domain} " + " ".join(f"{mean:.3f}" for mean in row) for domain, row in means.items())


def epoch_sequences(sequences: Sequences, rows: list[int], rng: random.Random) -> list[tuple[int, bool, Packed]]:
    """What an epoch learns from: a record's row, whether its image may be noise, and the sequence."""
    drawn: list[tuple[int, bool, Packed | None]] = []
    for row in rows:
        drawn += [(row, False, sequences.alone(row, rng)) for _ in range(ALONE)]
        drawn.append((row, True, sequences.reading(row, rng, strange=rng.random() < STRANGE_SHARE)))
        if rng.random() < INVENTED:
            drawn.append((row, True, sequences.invented.sequence(sequences.invented.inventor.case(rng, MAX_K), rng)))
    return [(row, read, packed) for row, read, packed in drawn if packed is not None]


def train(source: Path, out: Path, work: Path, world: str) -> None:
    """Train the MLLM, or go on from a checkpoint, and write it in transformers' format.

    Parameters
    ----------
    source
        The data folder.
    out
        The folder to write.
    work
        The world's folder, for checkpoint and index. It holds the world's encoder, and the decoder that can read.
    world
        Whose sources to learn from.
    """
    torch.manual_seed(SEED)
    archive = data.load_archive(source, world)
    words = Tokenizer.from_file(str(work / "reading" / "vocabulary.json"))
    reports = retrieved_reports(source, work / "encoder", work, archive.records)
    sequences = Sequences(archive, reports, words)
    model = new_model()
    reader = torch.load(work / "reading" / "decoder.pt", weights_only=True)
    model.load_state_dict(reader["model"], strict=False)
    probe = torch.nn.Linear(model.config.get_text_config().hidden_size, 1)
    probe.load_state_dict(reader["probe"])
    model.model.vision_tower.timm_model.load_state_dict(data.trunk_weights(work / "encoder"))
    model.model.vision_tower.to(memory_format=torch.channels_last).requires_grad_(False)
    tissue = torch.tensor([record["domain"] == "pathology" for record in archive.records])
    sided = torch.tensor([record["id"].startswith("vqarad") for record in archive.records])
    patients = [str(record["patient"]) for record in archive.records]
    train_rows = [row for row in archive.rows("train").tolist() if not is_first_half(patients[row])]
    watch_rows = archive.rows("prefer").tolist()
    parameters = [*decoder_parameters(model), *probe.parameters()]
    optimiser = torch.optim.AdamW(parameters, PEAK_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)
    begin, checkpoint = 0, work / "mllm.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        probe.load_state_dict(state["probe"])
        optimiser.load_state_dict(state["optimiser"])
        begin = state["epoch"]
    compile_decoder(model)
    started = time.monotonic()
    for epoch in range(begin, EPOCHS):
        rng = random.Random(SEED + 1000 * epoch)
        torch.manual_seed(SEED + 1000 * epoch)
        model.train()
        model.model.vision_tower.eval()
        losses: list[float] = []
        grouped = batches(epoch_sequences(sequences, train_rows, rng), rng)
        for step, chunk in enumerate(grouped):
            for group in optimiser.param_groups:
                group["lr"] = rate(epoch + step / len(grouped), epoch * len(grouped) + step)
            rows = torch.tensor([row for row, _, _ in chunk])
            mirror = (torch.rand(len(rows)) < 0.5) & ~sided[rows]
            pixels = data.augment(archive.images[rows], PIXELS, mirror, tissue[rows])
            noise = (torch.rand(len(rows)) < NOISE_SHARE) & torch.tensor([read for _, read, _ in chunk])
            pixels[noise] = torch.rand_like(pixels[noise]) * 2 - 1
            batch = collate([packed for _, _, packed in chunk], vocabulary.PAD_ID)
            chosen = batch.weights > 0
            with torch.autocast("cpu", dtype=torch.bfloat16):
                with torch.no_grad():
                    features = feature_maps(model, pixels)
                hidden = hidden_states(model, batch, functional.dropout(features, 0.1))
                logits = model.lm_head(hidden[chosen])
            weights = batch.weights[chosen]
            loss = (functional.cross_entropy(logits.float(), batch.targets[chosen], reduction="none") * weights).sum()
            loss = loss / weights.sum() + PROBE_WEIGHT * probe_loss(probe, hidden, batch.truths)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            losses.append(loss.item())
            if step % 50 == 49:
                mean = sum(losses[-50:]) / 50
                note = f"  {epoch + 1}.{step + 1}/{len(grouped)} loss {mean:.3f} {time.monotonic() - started:.0f} s"
                print(note, flush=True)
        print(
            f"epoch {epoch + 1}/{EPOCHS} k = {WATCHED_K}: {watch(model, sequences, watch_rows, WATCHED_K)}", flush=True
        )
        torch.save(
            {
                "model": model.state_dict(),
                "probe": probe.state_dict(),
                "optimiser": optimiser.state_dict(),
                "epoch": epoch + 1,
            },
            checkpoint,
        )
    average_with(model, reader["model"], READING_SHARE)
    print(f"averaged, k = {WATCHED_K}: {watch(model, sequences, watch_rows, WATCHED_K)}", flush=True)
    model.eval().to(memory_format=torch.contiguous_format).half().save_pretrained(out)
    new_processor(words).save_pretrained(out)
    settings = {"seed": SEED, "world": world, "epochs": EPOCHS, "max_k": MAX_K, "reading_share": READING_SHARE}
    (out / "training.json").write_text(json.dumps(settings, indent=1) + "\n")


@torch.no_grad()
def average_with(model: torch.nn.Module, earlier: Mapping[str, torch.Tensor], share: float) -> None:
    """Move the weights of the decoder towards earlier ones.

    Parameters
    ----------
    model
        The model, whose weights are changed in place; image tower and projector stay.
    earlier
        The earlier weights, by name.
    share
        How far, from 0 for not at all to 1.
    """
    for name, value in model.state_dict().items():
        if name in earlier and ".language_model." in name:
            value.lerp_(earlier[name], share)


def rate(epochs: float, steps: int) -> float:
    """The learning rate after so many epochs (not always whole) and steps: a short warm-up, then a cosine down to 0."""
    return PEAK_RATE * min(1.0, (steps + 1) / WARM_STEPS) * (1 + math.cos(math.pi * epochs / EPOCHS)) / 2


def batches(packs: list[tuple[int, bool, Packed]], rng: random.Random) -> list[list[tuple[int, bool, Packed]]]:
    """Random batches of packed sequences of similar length, so that there is little padding."""
    rng.shuffle(packs)
    pool = 40 * BATCH
    ordered = [
        item
        for start in range(0, len(packs), pool)
        for item in sorted(packs[start : start + pool], key=lambda drawn: len(drawn[2].ids))
    ]
    grouped = [ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH)]
    rng.shuffle(grouped)
    return grouped


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--world", choices=sorted(WORLDS), required=True)
    arguments = parser.parse_args()
    train(arguments.data, arguments.out, arguments.work, arguments.world)
