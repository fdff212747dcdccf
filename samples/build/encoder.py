"""Train the small encoder: a CNN image tower and a text transformer in open_clip's own format.

    python -m samples.build.encoder --data ../shared/data --out samples/models/encoder
    python -m samples.build.encoder --data ../shared/data --out samples/models/.work/a/encoder --world a

Two losses are minimised on the train split. One is the contrastive loss between images and reports (CLIP, arXiv
2103.00020), for which records with identical reports are positives of each other. The other is the binary cross-entropy
of the answers to frequent yes/no questions, which one linear layer reads off the image embedding; the layer is thrown
away afterwards. It makes near neighbours agree in their findings, and not just in how the images were taken. On the
prefer split, accuracy is logged and nothing is learnt. If training is interrupted, it resumes after its last epoch.
"""

import argparse
import copy
import json
import math
import re
import time
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.push_to_hf_hub import save_for_hf
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from samples.build import archive as data
from samples.build import tokenizer as vocabulary
from samples.build.worlds import WORLDS, is_first_half

PIXELS = 192
TEXT_LENGTH = 96
SCHEDULE = ((128, 16), (PIXELS, 9))
"""Pairs of image side in pixels and number of epochs: most is learnt cheaply at low resolution, and detail last."""
BATCH, PEAK_RATE, WEIGHT_DECAY, SEED = 96, 2e-3, 0.05, 7
QUESTION_WEIGHT, SMOOTHING, AVERAGING = 1.5, 0.05, 0.995

MODEL: dict[str, Any] = {
    "embed_dim": 256,
    "vision_cfg": {
        "timm_model_name": "resnet10t",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "timm_drop": 0.2,
        "image_size": PIXELS,
    },
    "text_cfg": {
        "context_length": TEXT_LENGTH,
        "vocab_size": vocabulary.VOCABULARY,
        "hf_tokenizer_name": "tokenizer-in-this-folder",
        "width": 192,
        "heads": 3,
        "layers": 3,
        "pool_type": "eos",
        "eos_id": vocabulary.EOS_ID,
        "pad_id": vocabulary.PAD_ID,
        "no_causal_mask": True,
    },
}
PREPROCESS = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}


class QuestionProbe(nn.Module):
    """A linear layer that answers yes/no questions, one output each, from image embeddings; used in training alone."""

    def __init__(self, width: int, questions: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.linear = nn.Linear(width, questions)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits of yes, [n, questions], from unit image embeddings [n, width]."""
        logits: Tensor = self.linear(embeddings * self.scale)
        return logits


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, keys: list[str]) -> Tensor:
    """Symmetric contrastive loss, in which all records with the same report are positives of each other.

    Parameters
    ----------
    images, texts
        Unit embeddings of the images and their reports, [n, width] each.
    scale
        Factor on the cosines.
    keys
        The reports; those that are equal count as the same.
    """
    same = torch.tensor([[float(a == b) for b in keys] for a in keys])
    target = same / same.sum(1, keepdim=True)
    logits = scale * images @ texts.T
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def question_loss(logits: Tensor, answers: Tensor) -> Tensor:
    """Binary cross-entropy of answers, [n, questions] as `answer_matrix` gives them, with smoothed labels."""
    asked = ~answers.isnan()
    target = answers.nan_to_num() * (1 - SMOOTHING) + SMOOTHING / 2
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * asked).sum() / asked.sum().clamp(min=1)


def report_key(report: str) -> str:
    """The report without the patient's age and sex, so that reports of the same findings are equal."""
    return re.sub(r"\d+-year-old \w+\. ", "", report)


def shorten(report: str, generator: torch.Generator) -> str:
    """Half of the time, a long report from a random sentence on, as its end would be cut off and never be read."""
    sentences = re.split(r"(?<=[.!?])\s+", report)
    if len(report.split()) < 40 or torch.rand(1, generator=generator).item() < 0.5:
        return report
    return " ".join(sentences[int(torch.randint(0, len(sentences), (1,), generator=generator)) :])


def accuracy_by_domain(model: Any, probe: nn.Module, archive: data.Archive, answers: Tensor, rows: Any) -> str:
    """Accuracy of the probe's answers on held-out records, by domain, as a line for the log."""
    model.eval()
    with torch.inference_mode():
        parts = [
            probe(model.encode_image(data.plain(archive.images[chunk], PIXELS), normalize=True))
            for chunk in torch.from_numpy(rows).split(128)
        ]
    model.train()
    right = ((torch.cat(parts) > 0).float() == answers[rows]).float()
    asked = ~answers[rows].isnan()
    domains = [archive.records[row]["domain"] for row in rows]
    words = []
    for domain in sorted(set(domains)):
        mask = asked & torch.tensor([d == domain for d in domains])[:, None]
        words.append(f"{domain} {right[mask].mean().item():.3f}")
    return ", ".join(words)


def train(source: Path, out: Path, work: Path, world: str | None = None) -> None:
    """Train the encoder from random weights, or from a checkpoint, and write it in open_clip's format.

    Parameters
    ----------
    source
        The data folder.
    out
        The folder to write.
    work
        Folder for the checkpoint, and for the vocabulary, which all models share: a world's folder lies beside it.
    world
        Learn from the first half of the patients of this world alone, see `samples.build.worlds`. None for all records.
    """
    torch.manual_seed(SEED)
    archive = data.load_archive(source, world)
    train_rows, watch_rows = torch.from_numpy(archive.rows("train")), archive.rows("prefer")
    if world:
        train_rows = train_rows[[is_first_half(archive.records[row]["patient"]) for row in train_rows.tolist()]]
    texts = data.frequent_questions(archive)
    answers = data.answer_matrix(archive, texts)
    mirrored_answers = data.answer_matrix(_mirrored_questions(archive), texts)
    tissue = torch.tensor([record["domain"] == "pathology" for record in archive.records])
    if world:
        words = Tokenizer.from_file(str(work.parent / "vocabulary.json"))
    else:
        words = vocabulary.train_tokenizer(data.texts(archive.records, archive.questions))
        vocabulary.write_vocabulary(words, work / "vocabulary.json")
    tokenizer = vocabulary.wrap(words, append_eos=True, max_length=TEXT_LENGTH)

    model = open_clip.CustomTextCLIP(**MODEL)
    probe = QuestionProbe(MODEL["embed_dim"], len(texts))
    both = nn.ModuleList([model, probe]).to(memory_format=torch.channels_last)
    average = copy.deepcopy(both)
    decay = [p for p in both.parameters() if p.ndim > 1]
    flat = [p for p in both.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": flat, "weight_decay": 0.0}], PEAK_RATE
    )
    sizes = [pixels for pixels, epochs in SCHEDULE for _ in range(epochs)]
    per_epoch = len(train_rows) // BATCH
    total, warm = per_epoch * len(sizes), per_epoch
    checkpoint = work / "encoder.pt"
    begin = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        both.load_state_dict(state["both"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        begin = state["epoch"]
    started = time.monotonic()
    for epoch in range(begin, len(sizes)):
        torch.manual_seed(SEED + 1000 * epoch)
        generator = torch.Generator().manual_seed(SEED + 1000 * epoch)
        order = train_rows[torch.randperm(len(train_rows))]
        losses = []
        for step in range(per_epoch):
            done = epoch * per_epoch + step
            rate = min(1.0, done / warm) * (0.02 + 0.98 * (1 + math.cos(math.pi * done / total)) / 2)
            for group in optimiser.param_groups:
                group["lr"] = PEAK_RATE * rate
            rows = order[step * BATCH : (step + 1) * BATCH]
            mirror = torch.rand(len(rows)) < 0.5
            reports = [archive.records[row]["report"] for row in rows.tolist()]
            reports = [data.mirrored(r) if m else r for r, m in zip(reports, mirror.tolist(), strict=True)]
            views = data.augment(archive.images[rows], sizes[epoch], mirror, tissue[rows])
            tokens = tokenizer(
                [shorten(report, generator) for report in reports],
                padding=True,
                truncation=True,
                max_length=TEXT_LENGTH,
                return_tensors="pt",
            ).input_ids
            target = torch.where(mirror[:, None], mirrored_answers[rows], answers[rows])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                images = model.encode_image(views.contiguous(memory_format=torch.channels_last), normalize=True)
                encoded = model.encode_text(tokens, normalize=True)
                logits = probe(images)
            scale = model.logit_scale.exp().clamp(max=50)
            loss = contrastive_loss(images.float(), encoded.float(), scale, [report_key(r) for r in reports])
            loss = loss + QUESTION_WEIGHT * question_loss(logits.float(), target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(both.parameters(), 1.0)
            optimiser.step()
            keep = min(AVERAGING, (done + 1) / (done + 10))
            with torch.no_grad():
                for slow, fast in zip(average.state_dict().values(), both.state_dict().values(), strict=True):
                    if slow.dtype.is_floating_point:
                        slow.lerp_(fast, 1 - keep)
                    else:
                        slow.copy_(fast)
            losses.append(loss.item())
        note = f"epoch {epoch + 1}/{len(sizes)} loss {sum(losses) / len(losses):.3f} {time.monotonic() - started:.0f} s"
        if epoch % 4 == 3 or epoch + 1 == len(sizes):
            note += " | prefer: " + accuracy_by_domain(average[0], average[1], archive, answers, watch_rows)
        print(note, flush=True)
        torch.save(
            {
                "both": both.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "epoch": epoch + 1,
            },
            checkpoint,
        )
    final: Any = average[0].eval().to(memory_format=torch.contiguous_format)
    final.visual.image_mean, final.visual.image_std = PREPROCESS["mean"], PREPROCESS["std"]
    final.visual.preprocess_cfg = PREPROCESS
    save_for_hf(final.half(), tokenizer, {**MODEL, "custom_text": True}, str(out), safe_serialization=True)
    (out / "training.json").write_text(json.dumps({"seed": SEED, "schedule": SCHEDULE, "questions": texts}, indent=1))


def _mirrored_questions(archive: data.Archive) -> data.Archive:
    questions = [{**q, "question": data.mirrored(q["question"])} for q in archive.questions]
    return data.Archive(archive.records, questions, archive.images)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("samples/models/.work"))
    parser.add_argument("--world", choices=sorted(WORLDS), help="learn from one world's sources alone")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    train(arguments.data, arguments.out, arguments.work, arguments.world)
