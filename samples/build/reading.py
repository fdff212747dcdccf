"""Teach the decoder to read before it sees: invented reading tasks, without an image and without any real report.

    python -m samples.build.reading --out samples/models/.work/reading

Run samples.build.encoder first, which leaves the vocabulary. If training is interrupted, it resumes after its last
block of steps.
"""

import argparse
import math
import random
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from rag import PromptTemplate
from samples.build import tokenizer as vocabulary
from samples.build.architecture import attention_bias, compile_decoder, decoder_parameters, new_model
from samples.build.cases import YES_NO, Case, Task
from samples.build.invented import Inventor
from samples.build.packing import IGNORED, Branch, Packed, collate, pack

BLOCKS, STEPS, BATCH, POOL = 20, 200, 16, 12
"""Blocks of steps, steps in a block, cases in a batch, and batches whose cases are sorted by length together."""
PEAK_RATE, WARM_STEPS, WEIGHT_DECAY, SEED = 1e-3, 100, 0.05, 5
MOST, EASY_BLOCKS, LISTED_BLOCKS = (1, 1, 1, 1, 1, 2, 2, 4, 4, 6, 8), 8, 2
"""The most reports of a case, block by block, of which the last goes on; how many blocks have easy cases; and how many
of these ask in a word for what a report lists, as the decoder has to find out first how a word is looked up."""
PROBE_WEIGHT = 1.0
"""Weight of the loss of a linear layer that answers at every word of a question, and not just at its end, and is thrown
away. Without it, looking up was not learnt in 2,000 steps; with it, it takes 200."""
CONTEXT_WEIGHT, OPEN_WEIGHT, ALONE_SHARE = 0.01, 0.3, 0.04
"""Weights of the reports' own words and of open questions; the share of questions that are asked without reports."""


class Reader:
    """Turns invented cases into packed sequences.

    Parameters
    ----------
    words
        The vocabulary.
    opening
        Token ids of everything before the first report; by default, the prompt's without an image.
    """

    def __init__(self, words: Tokenizer, opening: list[int] | None = None) -> None:
        self.words, self.prompt = words, PromptTemplate()
        self.opening = opening or self.ids("<user>" + self.prompt.opening())
        tokens = words.get_vocab()
        begins = "\u0120"  # how a byte-level vocabulary writes a space
        self.inventor = Inventor(
            sorted(token for token in tokens if not token.startswith(begins)),
            sorted(token[1:] for token in tokens if token.startswith(begins)),
        )

    def sequence(self, case: Case, rng: random.Random) -> Packed:
        """A case with its tasks, each asked after as many reports as chance says, or as it needs."""
        contexts = [self.ids(self.prompt.context(i, report)) for i, report in enumerate(case.reports, start=1)]
        branches = [self.branch(task, self.reports_for(task, len(contexts), rng)) for task in case.tasks]
        return pack(self.opening, contexts, branches, CONTEXT_WEIGHT)

    def reports_for(self, task: Task, count: int, rng: random.Random) -> int:
        """After how many reports a task is asked."""
        if task.first == 0 and rng.random() < ALONE_SHARE:
            return 0
        return rng.randint(max(1, task.first), count)

    def branch(self, task: Task, k: int) -> Branch:
        """A task as a branch of the packed sequence."""
        asked = self.ids(self.prompt.closing(task.question, task.options) + "<assistant>")
        truth = task.answer == YES_NO[0] if task.options == YES_NO else None
        weight = 1.0 if task.options else OPEN_WEIGHT
        return Branch(k, asked, [*self.ids(task.answer), vocabulary.EOS_ID], weight, truth)

    def ids(self, text: str) -> list[int]:
        """Token ids."""
        ids: list[int] = self.words.encode(text).ids
        return ids


def block_batches(reader: Reader, block: int, most: int, steps: int) -> list[list[Packed]]:
    """The batches of a block, of cases of similar length each."""
    rng = random.Random(SEED + 1000 * block)
    batches: list[list[Packed]] = []
    while len(batches) < steps:
        pool = [
            reader.sequence(
                reader.inventor.case(rng, most, easy=block < EASY_BLOCKS, listed=block < LISTED_BLOCKS), rng
            )
            for _ in range(POOL * BATCH)
        ]
        pool.sort(key=lambda packed: len(packed.ids))
        drawn = [pool[start : start + BATCH] for start in range(0, len(pool), BATCH)]
        rng.shuffle(drawn)
        batches += drawn
    return batches[:steps]


def train(out: Path, vocabulary_file: Path, blocks: int = BLOCKS, steps: int = STEPS) -> None:
    """Train the decoder from random weights, or from a checkpoint, and leave its weights in ``out / "decoder.pt"``."""
    torch.manual_seed(SEED)
    reader = Reader(Tokenizer.from_file(str(vocabulary_file)))
    yes, no = (reader.words.token_to_id(word) for word in ("yes", "no"))
    model = new_model(rope_theta=1e6, matching_heads=1)
    del model.model.vision_tower
    probe = torch.nn.Linear(model.config.get_text_config().hidden_size, 1)
    parameters = [*decoder_parameters(model), *probe.parameters()]
    optimiser = torch.optim.AdamW(parameters, PEAK_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)
    begin, checkpoint = 0, out / "decoder.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        probe.load_state_dict(state["probe"])
        optimiser.load_state_dict(state["optimiser"])
        begin = state["block"]
    compile_decoder(model)
    started = time.monotonic()
    for block in range(begin, blocks):
        losses, right, asked = [], 0, 0
        for step, packs in enumerate(block_batches(reader, block, MOST[min(block, len(MOST) - 1)], steps)):
            done = block * steps + step
            for group in optimiser.param_groups:
                group["lr"] = rate(done, blocks * steps)
            batch = collate(packs, vocabulary.PAD_ID)
            chosen = batch.weights > 0
            with torch.autocast("cpu", dtype=torch.bfloat16):
                hidden = model.model.language_model(
                    inputs_embeds=model.model.get_input_embeddings()(batch.ids),
                    attention_mask=attention_bias(batch.sees),
                    position_ids=batch.positions,
                    use_cache=False,
                ).last_hidden_state
                logits = model.lm_head(hidden[chosen])
            weights, targets = batch.weights[chosen], batch.targets[chosen]
            loss = (functional.cross_entropy(logits.float(), targets, reduction="none") * weights).sum() / weights.sum()
            loss = loss + PROBE_WEIGHT * probe_loss(probe, hidden, batch.truths)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            closed = (weights == 1) & torch.isin(targets, torch.tensor([yes, no]))
            right += int(((logits[closed, yes] > logits[closed, no]) == (targets[closed] == yes)).sum())
            asked += int(closed.sum())
            losses.append(loss.item())
            if step % 50 == 49:
                mean = sum(losses[-50:]) / 50
                seconds = time.monotonic() - started
                print(f"  {block + 1}.{step + 1} loss {mean:.3f} right {right / asked:.3f} {seconds:.0f} s", flush=True)
                right = asked = 0
        torch.save(
            {
                "model": model.state_dict(),
                "probe": probe.state_dict(),
                "optimiser": optimiser.state_dict(),
                "block": block + 1,
            },
            checkpoint,
        )


def probe_loss(probe: torch.nn.Module, hidden: Tensor, truths: Tensor) -> Tensor:
    """Binary cross-entropy of the answers that the probe reads off each token of the closed questions.

    Parameters
    ----------
    probe
        From a hidden state to the log-odds of yes.
    hidden
        The decoder's last hidden states, [n, t, width].
    truths
        As in `Packed`, int64 [n, t].
    """
    asked = truths != IGNORED
    odds = probe(hidden[asked].float())[:, 0]
    return functional.binary_cross_entropy_with_logits(odds, truths[asked].float())


def rate(step: int, steps: int) -> float:
    """The learning rate: a short warm-up, then a cosine down to a fifth, as training goes on with images."""
    falling = 0.2 + 0.8 * (1 + math.cos(math.pi * step / steps)) / 2
    return PEAK_RATE * min(1.0, (step + 1) / WARM_STEPS) * falling


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("samples/models/.work/reading"))
    parser.add_argument("--vocabulary", type=Path, default=Path("samples/models/.work/vocabulary.json"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    train(arguments.out, arguments.vocabulary)
