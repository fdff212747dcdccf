"""Findings and diagnoses: what is there, and what is not."""

import random
from collections.abc import Sequence

from samples.build.invention import frames
from samples.build.invention.cases import Likeness, Task
from samples.build.invention.words import Words, closed, fill


class Findings(Words):
    """What each of so many reports says of findings in an organ, and what is asked about them."""

    def named(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """Two of four names, and questions of nothing but a name: the first thing to learn is to look up a word."""
        names = self.terms(rng, 4)
        there = rng.sample(names, 2)
        return [f"{', '.join(there)}."] * count, [closed(f"{name}?", name in there) for name in names]

    def listed(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """A list of what is there, and often of what is not, and questions of nothing but a name."""
        names, denied = self.terms(rng, rng.randint(2, 5)), rng.random() < 0.5
        truth = [rng.random() < 0.5 for _ in names]
        sentences = []
        for rank in range(count):
            there = [t if likeness.agrees(rank, rng) else rng.random() < 0.5 for t in truth]
            pairs = list(zip(names, there, strict=True))
            parts = [name if seen else f"no {name}" for name, seen in pairs if seen or denied]
            rng.shuffle(parts)
            sentences.append(fill("{X}.", x=", ".join(parts)) if parts else "Nothing.")
        return sentences, [closed(f"{name}?", true) for name, true in zip(names, truth, strict=True)]

    def findings(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """Findings that are each there or not; what is absent is denied always, sometimes or never."""
        names = self.terms(rng, rng.randint(1, 4))
        denied, rate = rng.choice((0.0, 0.5, 1.0)), rng.uniform(0.2, 0.8)
        positive, negative = rng.sample(frames.SEEN, 2), rng.sample(frames.UNSEEN, 2)
        truth = [rng.random() < rate for _ in names]
        sentences, mentions = [], [[] for _ in names]  # type: tuple[list[str], list[list[int]]]
        for rank in range(count):
            there = [t if likeness.agrees(rank, rng) else rng.random() < rate for t in truth]
            parts, absent = [], []
            for index, (name, seen) in enumerate(zip(names, there, strict=True)):
                if seen:
                    parts.append(fill(rng.choice(positive), x=name))
                    mentions[index].append(rank + 1)
                elif rng.random() < denied:
                    absent.append(name)
            if len(absent) > 1 and rng.random() < 0.6:
                parts.append(f"No {', '.join(absent[:-1])} {rng.choice(('or', 'and'))} {absent[-1]}.")
            else:
                parts += [fill(rng.choice(negative), x=name) for name in absent]
            rng.shuffle(parts)
            sentences.append(" ".join(parts))
        tasks = []
        for name in names:
            tasks += self.quotes(sentences, name, rng)
        for name, true, where in zip(names, truth, mentions, strict=True):
            tasks += [closed(fill(frame, x=name, o=organ), true) for frame in rng.sample(frames.ASKED, 2)]
            if rng.random() < 0.2:
                tasks.append(closed(fill(rng.choice(frames.ASKED_ABSENT), x=name, o=organ), not true))
            if where and rng.random() < 0.3:
                tasks.append(Task(f"Which report says {name}?", None, str(where[0]), where[0]))
            if rng.random() < 0.2:
                tasks.append(Task(f"How many reports say {name}?", None, str(len(where)), count))
        if rng.random() < 0.3:
            tasks.append(closed(fill(rng.choice(frames.ASKED), x=self.term(rng), o=organ), false_unless(rng, 0.1)))
        return sentences, tasks

    def interviews(
        self, rng: random.Random, count: int, likeness: Likeness, organ: str
    ) -> tuple[list[str], list[Task]]:
        """Reports that are questions with their answers, and the same things asked in other words."""
        names = self.terms(rng, rng.randint(1, 4))
        truth = [rng.random() < 0.5 for _ in names]
        sentences: list[str] = []
        for _ in range(count):
            parts = []
            for name, true in zip(names, truth, strict=True):
                if rng.random() < 0.85:
                    seen = true if likeness.agrees(len(sentences), rng) else rng.random() < 0.5
                    answer = rng.choice(("Yes", "yes")) if seen else rng.choice(("No", "no"))
                    parts.append(f"{fill(rng.choice(frames.ASKED), x=name, o=organ)} {answer}.")
            rng.shuffle(parts)
            sentences.append(" ".join(parts))
        asked = [(name, true) for name, true in zip(names, truth, strict=True) for _ in range(2)]
        return sentences, [closed(fill(rng.choice(frames.ASKED), x=name, o=organ), true) for name, true in asked]

    def classes(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """Diagnoses that exclude each other, some of one noun, and often a normal result among them."""
        noun = self.word(rng)
        kinds = [self.word(rng) for _ in range(rng.randint(1, 3))]
        names = [f"{kind} {noun}" for kind in kinds] if rng.random() < 0.6 else kinds
        normal = rng.random() < 0.6 or len(names) == 1
        values: list[str | None] = [*names, None] if normal else [*names]
        weights = [rng.uniform(0.5, 2) for _ in values]
        truth = rng.choices(values, weights)[0]
        said = {name: [fill(frame, x=name, o=organ) for frame in rng.sample(frames.CLASS_SAID, 2)] for name in names}
        healthy = [fill(frame, o=organ) for frame in rng.sample(frames.NORMAL_SAID, 2)]
        if rng.random() < 0.3:
            healthy = [f"{sentence} No {noun}." for sentence in healthy]
        sentences = []
        for rank in range(count):
            value = truth if likeness.agrees(rank, rng) else rng.choices(values, weights)[0]
            sentences.append(rng.choice(said[value] if value else healthy))
        tasks = [closed(fill(rng.choice(frames.CLASS_ASKED), x=name, o=organ), truth == name) for name in names]
        if names is not kinds:
            kind = rng.choice(kinds)
            tasks.append(closed(fill(rng.choice(frames.KIND_ASKED), a=kind, n=noun), truth == f"{kind} {noun}"))
            tasks.append(closed(fill(rng.choice(frames.ASKED), x=noun, o=organ), truth is not None))
        tasks += self.quotes(sentences, rng.choice(names), rng)
        if normal:
            tasks.append(closed(fill(rng.choice(frames.NORMAL_ASKED), o=organ), truth is None))
            tasks.append(closed(fill(rng.choice(frames.ABNORMAL_ASKED), o=organ), truth is not None))
        if len(names) > 1 and truth and rng.random() < 0.5:
            options = tuple(rng.sample(names, len(names)))
            tasks.append(Task("What is the diagnosis?", options if rng.random() < 0.5 else None, truth, 1))
        return sentences, tasks

    def quotes(self, sentences: Sequence[str], name: str, rng: random.Random) -> list[Task]:
        """The task to repeat what the first report that mentions something says of it, if one does."""
        for rank, said in enumerate(sentences):
            for sentence in said.split(". "):
                if name.lower() in sentence.lower():
                    return [Task(f"What is said of {name}?", None, sentence.rstrip(".") + ".", rank + 1)]
        return []


def false_unless(rng: random.Random, share: float) -> bool:
    """What is true of something that no report mentions: now and then it is there all the same."""
    return rng.random() < share
