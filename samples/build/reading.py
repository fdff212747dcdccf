"""Teach the decoder to read before it sees: invented reading tasks, without an image and without any real report.

    python -m samples.build.reading --data ../shared/data --world a --out samples/models/.work/a/reading

Of the data, only the words are used: reports and questions of the world's train split make the vocabulary. If training
is interrupted, it resumes after its last lesson.
"""

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from rag import PromptTemplate
from samples.build import archive as data
from samples.build import tokenizer as vocabulary
from samples.build.architecture import compile_decoder, decoder_parameters, hidden_states, new_model
from samples.build.invention.cases import YES_NO, Case, Task
from samples.build.invention.inventor import FACETS, Inventor
from samples.build.packing import IGNORED, Branch, Packed, collate, pack
from samples.build.worlds import WORLDS


@dataclass(frozen=True)
class Lesson:
    """What is learnt for some steps.

    Attributes
    ----------
    facets
        What cases are about, functions of `Inventor`.
    most
        The most reports of a case.
    steps, batch
        Steps, and cases in a batch.
    easy
        Whether all reports agree, and closed questions alone are asked, after all reports and without instructions.
    """

    facets: Sequence[str]
    most: int
    steps: int
    batch: int
    easy: bool


LESSONS = (
    Lesson(("named",), 1, 200, 32, easy=True),
    Lesson(("listed",), 1, 150, 32, easy=True),
    Lesson(("listed", "findings", "classes", "means"), 1, 300, 32, easy=True),
    Lesson(FACETS, 1, 700, 32, easy=True),
    Lesson(FACETS, 3, 400, 24, easy=True),
    Lesson(FACETS, 4, 600, 16, easy=False),
    Lesson(("findings", "interviews", "classes", "means", "counts"), 2, 1200, 32, easy=True),
    Lesson(FACETS, 6, 400, 16, easy=False),
)
"""From easy to hard: without the first ones, looking up a word is not learnt in 4,000 steps."""
POOL, MOST_TASKS = 12, 8
"""Batches whose cases are sorted by length together; the most questions on a case."""
PEAK_RATE, WARM_STEPS, FALLING_STEPS, WEIGHT_DECAY, SEED = 1.2e-3, 50, 400, 0.05, 5
PROBE_WEIGHT = 1.0
"""Weight of the loss of a linear layer that answers at every word of a question, and not just at its end, and is thrown
away. Without it, looking up was not learnt in 2,000 steps; with it, it takes 150."""
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

    def sequence(self, case: Case, rng: random.Random, *, easy: bool = False) -> Packed:
        """A case with its tasks, each asked after as many reports as chance says, or as it needs; see `Lesson.easy`."""
        contexts = [self.ids(self.prompt.context(i, report)) for i, report in enumerate(case.reports, start=1)]
        if easy:
            closed = [task for task in case.tasks if task.options == YES_NO]
            return pack(self.opening[:1], contexts, [self.branch(task, len(contexts)) for task in closed], 0.0)
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


def lesson_batches(reader: Reader, lesson: Lesson, seed: int) -> Iterator[list[Packed]]:
    """The batches of a lesson, of cases of similar length each."""
    rng, done = random.Random(seed), 0
    while done < lesson.steps:
        pool: list[Packed] = []
        while len(pool) < POOL * lesson.batch:
            case = reader.inventor.case(rng, lesson.most, facets=lesson.facets, easy=lesson.easy)
            case.tasks[:] = case.tasks[:MOST_TASKS]
            if not lesson.easy or any(task.options == YES_NO for task in case.tasks):
                pool.append(reader.sequence(case, rng, easy=lesson.easy))
        pool.sort(key=lambda packed: len(packed.ids))
        drawn = [pool[start : start + lesson.batch] for start in range(0, len(pool), lesson.batch)]
        rng.shuffle(drawn)
        yield from drawn[: lesson.steps - done]
        done += len(drawn)


def train(source: Path, out: Path, world: str, lessons: Sequence[Lesson] = LESSONS) -> None:
    """Train the decoder from random weights, or from a checkpoint, and leave it and its vocabulary in a folder.

    Parameters
    ----------
    source
        The data folder; its reports' words make the vocabulary, and nothing else of it is read.
    out
        The folder for ``decoder.pt`` and ``vocabulary.json``.
    world
        The world whose words.
    lessons
        What to learn.
    """
    torch.manual_seed(SEED)
    words = vocabulary.train_tokenizer(data.load_texts(source, world), lowercase=True)
    vocabulary.write_vocabulary(words, out / "vocabulary.json")
    reader = Reader(words)
    yes, no = (reader.words.token_to_id(word) for word in ("yes", "no"))
    model = new_model()
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
        begin = state["lessons"]
    compile_decoder(model)
    started, done, total = (
        time.monotonic(),
        sum(lesson.steps for lesson in lessons[:begin]),
        sum(x.steps for x in lessons),
    )
    for number, lesson in enumerate(lessons[begin:], start=begin + 1):
        losses, right, asked = [], 0, 0
        for step, packs in enumerate(lesson_batches(reader, lesson, SEED + 1000 * number), start=1):
            for group in optimiser.param_groups:
                group["lr"] = rate(done, total)
            done += 1
            batch = collate(packs, vocabulary.PAD_ID)
            chosen = batch.weights > 0
            with torch.autocast("cpu", dtype=torch.bfloat16):
                hidden = hidden_states(model, batch)
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
            if step % 50 == 0:
                mean = sum(losses[-50:]) / 50
                seconds = time.monotonic() - started
                print(f"  {number}.{step} loss {mean:.3f} right {right / asked:.3f} {seconds:.0f} s", flush=True)
                right = asked = 0
        torch.save(
            {
                "model": model.state_dict(),
                "probe": probe.state_dict(),
                "optimiser": optimiser.state_dict(),
                "lessons": number,
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
    """The learning rate: a short warm-up, then the same until it falls to a fifth, as training goes on with images."""
    falling = min(1.0, (steps - step) / FALLING_STEPS)
    return PEAK_RATE * min(1.0, (step + 1) / WARM_STEPS) * (0.2 + 0.8 * falling)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--world", choices=sorted(WORLDS), required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    train(arguments.data, arguments.out, arguments.world)
