"""Train the small MLLM: FastVLM's architecture, with the encoder's CNN as image tower and a Qwen2 decoder from nothing.

    python -m samples.build.mllm --data ../shared/data --out samples/models/mllm

Run samples.build.encoder first. Contexts are retrieved from a real index of the train split, as when a question is
answered, and never from the question's own image, study or patient. Each question is learnt without contexts and with 1
to 8 of them. Some images are replaced by noise, so that the model has to read the reports. The CNN is frozen at first
and then learns too, helped by a linear layer that answers frequent questions from its output and is thrown away
afterwards. On the prefer split, accuracy is logged and nothing is learnt. If training is interrupted, it resumes after
its last epoch.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import FastVlmForConditionalGeneration

from indexing import Encoder, Exclusion, Index, build_index
from rag import SimilarCaseRetriever
from samples.build import archive as data
from samples.build import tokenizer as vocabulary
from samples.build.architecture import answer_logits, decoder_parameters, feature_maps, new_model, new_processor
from samples.build.encoder import PIXELS, QuestionProbe, question_loss
from samples.build.packing import Packed, collate
from samples.build.sequences import MAX_K, Sequences

NOISE_SHARE = 0.4
"""Share of the images that are replaced by noise, once contexts are read."""
PLAIN_EPOCHS, READING_EPOCHS = 10, 5
"""Number of epochs on questions without contexts, whose sequences are short, and then on questions with them too."""
REPEATS = {"ultrasound": 2}
"""How often an epoch has each record of a domain, where that is not once: ultrasound is a fourteenth of the records."""
BATCH, PEAK_RATE, WARM_STEPS, WEIGHT_DECAY, SEED = 16, 6e-4, 60, 0.05, 11
TOWER_RATE, PROBE_WEIGHT = 0.3, 0.5
"""The CNN's learning rate as a share of the peak rate, and the weight of the linear layer's loss."""
WATCHED_K = (0, 1, 4, 8)
"""Numbers of contexts at which accuracy is logged."""


def retrieved_reports(source: Path, encoder_folder: Path, work: Path, records: list[dict[str, Any]]) -> list[list[str]]:
    """The reports that would be retrieved for each record's image, most similar first, one list a record."""
    encoder = Encoder.open(f"local-dir:{encoder_folder}")
    build_index(source / "corpus.jsonl", work / "index", encoder)
    with Index.open(work / "index") as index:
        retriever = SimilarCaseRetriever(index, encoder)
        reports: list[list[str]] = []
        for start in range(0, len(records), 256):
            chunk = records[start : start + 256]
            vectors = encoder.embed_images([data.read_image(source / record["image"]) for record in chunk])
            own = [Exclusion(record["id"], record["study"], record["patient"]) for record in chunk]
            matches = retriever.similar(vectors, index.route(vectors)[0], own, MAX_K)
            reports += [[match.record.report for match in found] for found in matches]
    return reports


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
            logits = answer_logits(model, batch, feature_maps(model, pixels), chosen)
        hits = ((logits[:, yes] > logits[:, no]) == (batch.targets[chosen] == yes)).view(-1, len(counts)).tolist()
        for row, _, closed in chunk:
            for _ in closed:
                right.setdefault(sequences.archive.records[row]["domain"], []).append(hits.pop(0))
    model.train()
    means = {domain: torch.tensor(values).float().mean(0).tolist() for domain, values in sorted(right.items())}
    return "; ".join(f"{domain} " + " ".join(f"{mean:.3f}" for mean in row) for domain, row in means.items())


def train(source: Path, encoder_folder: Path, out: Path, work: Path) -> None:
    """Train the MLLM from random weights, or from a checkpoint, and write it in transformers' format.

    Parameters
    ----------
    source, encoder_folder
        The data folder, and the encoder, whose CNN is taken over.
    out
        The folder to write.
    work
        Folder for the checkpoint and the index; it holds the vocabulary that the encoder's training left there.
    """
    torch.manual_seed(SEED)
    archive = data.load_archive(source)
    words = Tokenizer.from_file(str(work / "vocabulary.json"))
    reports = retrieved_reports(source, encoder_folder, work, archive.records)
    model = new_model()
    model.model.vision_tower.timm_model.load_state_dict(data.trunk_weights(encoder_folder))
    model.model.vision_tower.to(memory_format=torch.channels_last)
    texts = data.frequent_questions(archive)
    answers, probe = data.answer_matrix(archive, texts), QuestionProbe(192, len(texts))
    tissue = torch.tensor([record["domain"] == "pathology" for record in archive.records])
    sided = torch.tensor([record["id"].startswith("vqarad") for record in archive.records])
    sequences = Sequences(archive, reports, words)
    domains = [record["domain"] for record in archive.records]
    train_rows = [row for row in archive.rows("train").tolist() for _ in range(REPEATS.get(domains[row], 1))]
    watch_rows = archive.rows("prefer").tolist()
    tower, reader = list(model.model.vision_tower.parameters()), [*decoder_parameters(model), *probe.parameters()]
    groups = [{"params": reader, "share": 1.0}, {"params": tower, "share": TOWER_RATE}]
    optimiser = torch.optim.AdamW(groups, PEAK_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)
    per_epoch = len(train_rows) // BATCH
    epochs = PLAIN_EPOCHS + READING_EPOCHS
    begin, checkpoint = 0, work / "mllm.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        probe.load_state_dict(state["probe"])
        optimiser.load_state_dict(state["optimiser"])
        begin = state["epoch"]
    started = time.monotonic()
    for epoch in range(begin, epochs):
        reading, rng = epoch >= PLAIN_EPOCHS, random.Random(SEED + 1000 * epoch)
        torch.manual_seed(SEED + 1000 * epoch)
        drawn = [(row, sequences.training(row, rng, reading=reading)) for row in train_rows]
        packs = [(row, packed) for row, packed in drawn if packed is not None]
        model.train()
        model.model.vision_tower.eval().requires_grad_(reading)
        losses = []
        for step, chunk in enumerate(batches(packs, rng)):
            done = epoch * per_epoch + step
            for group in optimiser.param_groups:
                group["lr"] = group["share"] * rate(done / per_epoch, done)
            rows = torch.tensor([row for row, _ in chunk])
            mirror = (torch.rand(len(rows)) < 0.5) & ~sided[rows]
            pixels = data.augment(archive.images[rows], PIXELS, mirror, tissue[rows])
            noise = torch.rand(len(rows)) < (NOISE_SHARE if reading else 0.0)
            pixels[noise] = torch.rand_like(pixels[noise]) * 2 - 1
            batch = collate([packed for _, packed in chunk], vocabulary.PAD_ID)
            chosen = batch.weights > 0
            with torch.autocast("cpu", dtype=torch.bfloat16):
                features = feature_maps(model, pixels)
                logits = answer_logits(model, batch, functional.dropout(features, 0.1), chosen)
                seen = model.model.multi_modal_projector(features).mean(1)
                read_out = probe(functional.normalize(seen.float(), dim=1))
            weights = batch.weights[chosen]
            loss = (functional.cross_entropy(logits.float(), batch.targets[chosen], reduction="none") * weights).sum()
            loss = loss / weights.sum()
            loss = loss + PROBE_WEIGHT * question_loss(read_out.float()[~noise], answers[rows][~noise])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*reader, *tower], 1.0)
            optimiser.step()
            losses.append(loss.item())
            if step % 50 == 49:
                mean = sum(losses[-50:]) / 50
                print(f"  {epoch + 1}.{step + 1} loss {mean:.3f} {time.monotonic() - started:.0f} s", flush=True)
        counts = WATCHED_K if reading else WATCHED_K[:1]
        print(f"epoch {epoch + 1}/{epochs} k = {counts}: {watch(model, sequences, watch_rows, counts)}", flush=True)
        torch.save(
            {
                "model": model.state_dict(),
                "probe": probe.state_dict(),
                "optimiser": optimiser.state_dict(),
                "epoch": epoch + 1,
            },
            checkpoint,
        )
    model.eval().to(memory_format=torch.contiguous_format).half().save_pretrained(out)
    new_processor(words).save_pretrained(out)
    settings = {"seed": SEED, "epochs": [PLAIN_EPOCHS, READING_EPOCHS], "max_k": MAX_K, "noise_share": NOISE_SHARE}
    (out / "training.json").write_text(json.dumps(settings, indent=1) + "\n")


def rate(epochs: float, steps: int) -> float:
    """The learning rate after so many epochs (not always whole) and steps.

    It is constant after a short warm-up, and falls to 0 as a cosine over all epochs with contexts but the first.
    """
    rest = max(0.0, epochs - PLAIN_EPOCHS - 1) / (READING_EPOCHS - 1)
    return PEAK_RATE * min(1.0, (steps + 1) / WARM_STEPS) * (1 + math.cos(math.pi * min(1.0, rest))) / 2


def batches(packs: list[tuple[int, Packed]], rng: random.Random) -> list[list[tuple[int, Packed]]]:
    """Random batches of packed sequences of similar length, so that there is little padding."""
    rng.shuffle(packs)
    pool = 40 * BATCH
    ordered = [
        item
        for start in range(0, len(packs), pool)
        for item in sorted(packs[start : start + pool], key=lambda pair: len(pair[1].ids))
    ]
    grouped = [ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH)]
    rng.shuffle(grouped)
    return grouped


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, default=Path("samples/models/encoder"))
    parser.add_argument("--work", type=Path, default=Path("samples/models/.work"))
    arguments = parser.parse_args()
    train(arguments.data, arguments.encoder, arguments.out, arguments.work)
