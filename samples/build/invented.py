"""Invented reading tasks: reports of cases that never were, about findings that do not exist, and questions on them.

A decoder that learns from real reports alone remembers what each finding looks like. Here nothing can be remembered:
the words for findings, organs, stains and cells are drawn anew for every task, so the answer has to be looked up. The
similar cases are like real ones: each agrees with the case in question only with some probability, which falls with its
rank. So reports disagree, and the best answer weighs them. What is not invented is what all reports share: how findings
are named and denied, normal results, numbers, degrees and sides.
"""

import random
from collections.abc import Callable, Sequence

from samples.build import frames
from samples.build.cases import YES_NO, Case, Likeness, Task


class Inventor:
    """Draws cases.

    Parameters
    ----------
    pieces
        Parts of words, such as the tokens of a vocabulary, of which words are invented.
    words
        Whole words, which invented terms may hold too.
    """

    def __init__(self, pieces: Sequence[str], words: Sequence[str]) -> None:
        self.pieces = [piece for piece in pieces if piece.isascii() and piece.isalpha() and piece.islower()]
        self.words = [word for word in words if word.isascii() and word.isalpha() and word.islower() and len(word) > 3]

    def word(self, rng: random.Random) -> str:
        """One word, made up of pieces or taken from a text at random, where it means nothing."""
        if rng.random() < 0.6:
            return rng.choice(self.words)
        return "".join(rng.choice(self.pieces) for _ in range(rng.randint(1, 2)))

    def term(self, rng: random.Random, longest: int = 2) -> str:
        """One or more words."""
        return " ".join(self.word(rng) for _ in range(rng.randint(1, longest)))

    def case(self, rng: random.Random, most: int, *, easy: bool = False, listed: bool = False) -> Case:
        """A case with 1 to ``most`` similar ones.

        Parameters
        ----------
        rng
            Draws everything.
        most
            The most reports.
        easy
            Whether all reports agree with the case in question, and say nothing else than what is asked.
        listed
            Whether they only list findings, which are asked for in a word.
        """
        count = rng.randint(1, most)
        likeness = Likeness(rng.choice((1.0, 0.95, 0.8, 0.6)), rng.choice((1.0, 0.97, 0.85)))
        if easy:
            likeness = Likeness(1.0, 1.0)
        facets: list[Callable[[random.Random, int, Likeness, str], tuple[list[str], list[Task]]]]
        facets = (
            [self.listed]
            if listed
            else [self.listed, self.findings, self.classes, self.means, self.counts, self.degrees, self.sides]
        )
        chosen = rng.sample(facets, k=1 if easy else rng.choice((1, 1, 2, 3)))
        organ = self.term(rng)
        said, tasks = [], []
        for facet in chosen:
            sentences, asked = facet(rng, count, likeness, organ)
            said.append(sentences)
            tasks += asked
        filler = not easy and rng.random() < 0.5
        reports = []
        for rank in range(count):
            parts = [sentences[rank] for sentences in said if sentences[rank]]
            if filler and rng.random() < 0.7:
                parts.insert(rng.randrange(len(parts) + 1), self.filled(rng.choice(frames.FILLER), rng))
            reports.append(" ".join(parts) or self.filled(rng.choice(frames.FILLER), rng))
        rng.shuffle(tasks)
        return Case(reports, tasks)

    def quotes(self, sentences: Sequence[str], name: str, rng: random.Random) -> list[Task]:
        """The task to repeat what the first report that mentions something says of it, if one does."""
        for rank, said in enumerate(sentences):
            for sentence in said.split(". "):
                if name.lower() in sentence.lower():
                    return [Task(f"What is said of {name}?", None, sentence.rstrip(".") + ".", rank + 1)]
        return []

    def filled(self, frame: str, rng: random.Random) -> str:
        """A sentence that says nothing of what is asked."""
        return _fill(
            frame, w=self.term(rng), v=self.word(rng), age=str(rng.randint(2, 90)), sex=rng.choice(("male", "female"))
        )

    def listed(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """A list of what is there, and often of what is not, and questions of nothing but a name."""
        names, denied = [self.term(rng) for _ in range(rng.randint(2, 5))], rng.random() < 0.5
        truth = [rng.random() < 0.5 for _ in names]
        sentences = []
        for rank in range(count):
            there = [t if likeness.agrees(rank, rng) else rng.random() < 0.5 for t in truth]
            pairs = list(zip(names, there, strict=True))
            parts = [name if seen else f"no {name}" for name, seen in pairs if seen or denied]
            rng.shuffle(parts)
            sentences.append(_fill("{X}.", x=", ".join(parts)) if parts else "Nothing.")
        return sentences, [_closed(f"{name}?", true) for name, true in zip(names, truth, strict=True)]

    def findings(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """Findings that are each there or not; what is absent is denied always, sometimes or never."""
        names = [self.term(rng) for _ in range(rng.randint(1, 4))]
        denied, rate = rng.choice((0.0, 0.5, 1.0)), rng.uniform(0.2, 0.8)
        positive, negative = rng.sample(frames.SEEN, 2), rng.sample(frames.UNSEEN, 2)
        truth = [rng.random() < rate for _ in names]
        sentences, mentions = [], [[] for _ in names]  # type: tuple[list[str], list[list[int]]]
        for rank in range(count):
            there = [t if likeness.agrees(rank, rng) else rng.random() < rate for t in truth]
            parts, absent = [], []
            for index, (name, seen) in enumerate(zip(names, there, strict=True)):
                if seen:
                    parts.append(_fill(rng.choice(positive), x=name))
                    mentions[index].append(rank + 1)
                elif rng.random() < denied:
                    absent.append(name)
            if len(absent) > 1 and rng.random() < 0.6:
                parts.append(f"No {', '.join(absent[:-1])} {rng.choice(('or', 'and'))} {absent[-1]}.")
            else:
                parts += [_fill(rng.choice(negative), x=name) for name in absent]
            rng.shuffle(parts)
            sentences.append(" ".join(parts))
        tasks = []
        for name in names:
            tasks += self.quotes(sentences, name, rng)
        for name, true, where in zip(names, truth, mentions, strict=True):
            tasks += [_closed(_fill(frame, x=name, o=organ), true) for frame in rng.sample(frames.ASKED, 2)]
            if rng.random() < 0.2:
                tasks.append(_closed(_fill(rng.choice(frames.ASKED_ABSENT), x=name, o=organ), not true))
            if where and rng.random() < 0.3:
                tasks.append(Task(f"Which report says {name}?", None, str(where[0]), where[0]))
            if rng.random() < 0.2:
                tasks.append(Task(f"How many reports say {name}?", None, str(len(where)), count))
        if rng.random() < 0.3:
            tasks.append(_closed(_fill(rng.choice(frames.ASKED), x=self.term(rng), o=organ), false_unless(rng, 0.1)))
        return sentences, tasks

    def classes(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """Diagnoses that exclude each other, some of one noun, and often a normal result among them."""
        noun = self.word(rng)
        kinds = [self.word(rng) for _ in range(rng.randint(1, 3))]
        names = [f"{kind} {noun}" for kind in kinds] if rng.random() < 0.6 else kinds
        normal = rng.random() < 0.6 or len(names) == 1
        values: list[str | None] = [*names, None] if normal else [*names]
        weights = [rng.uniform(0.5, 2) for _ in values]
        truth = rng.choices(values, weights)[0]
        said = {name: [_fill(frame, x=name, o=organ) for frame in rng.sample(frames.CLASS_SAID, 2)] for name in names}
        healthy = [_fill(frame, o=organ) for frame in rng.sample(frames.NORMAL_SAID, 2)]
        if rng.random() < 0.3:
            healthy = [f"{sentence} No {noun}." for sentence in healthy]
        sentences = []
        for rank in range(count):
            value = truth if likeness.agrees(rank, rng) else rng.choices(values, weights)[0]
            sentences.append(rng.choice(said[value] if value else healthy))
        tasks = [_closed(_fill(rng.choice(frames.CLASS_ASKED), x=name, o=organ), truth == name) for name in names]
        if names is not kinds:
            kind = rng.choice(kinds)
            tasks.append(_closed(_fill(rng.choice(frames.KIND_ASKED), a=kind, n=noun), truth == f"{kind} {noun}"))
            tasks.append(_closed(_fill(rng.choice(frames.ASKED), x=noun, o=organ), truth is not None))
        tasks += self.quotes(sentences, rng.choice(names), rng)
        if normal:
            tasks.append(_closed(_fill(rng.choice(frames.NORMAL_ASKED), o=organ), truth is None))
            tasks.append(_closed(_fill(rng.choice(frames.ABNORMAL_ASKED), o=organ), truth is not None))
        if len(names) > 1 and truth and rng.random() < 0.5:
            options = tuple(rng.sample(names, len(names)))
            tasks.append(Task("What is the diagnosis?", options if rng.random() < 0.5 else None, truth, 1))
        return sentences, tasks

    def means(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """How the image was made, one of several ways."""
        names = [self.term(rng) for _ in range(rng.randint(2, 4))]
        truth = rng.choice(names)
        ways = rng.sample(frames.MEANS_SAID, rng.randint(1, 2))
        sentences = []
        for rank in range(count):
            value = truth if likeness.agrees(rank, rng) else rng.choice(names)
            sentences.append(_fill(rng.choice(ways), m=value, o=organ))
        asked = {truth, rng.choice(names)}
        return sentences, [
            _closed(_fill(rng.choice(frames.MEANS_ASKED), m=name), name == truth) for name in sorted(asked)
        ]

    def counts(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """How many there are of something, from none to ninety."""
        names = [self.term(rng) for _ in range(rng.randint(1, 3))]
        frame = rng.choice((*frames.COUNT_SAID, ""))
        tasks, columns = [], []
        for name in names:
            scale = rng.choice((1, 3, 12, 25, 40))
            truth = round(rng.uniform(0, 2) * scale)
            near = [
                min(99, max(0, round(truth + rng.gauss(0, 0.15 * scale))))
                if likeness.agrees(r, rng)
                else round(rng.uniform(0, 2) * scale)
                for r in range(count)
            ]
            columns.append([(number, name) for number in near])
            bound = min(99, max(1, round(rng.choice((truth, scale)) + rng.gauss(0, 0.5 * scale))))
            shown = frames.in_words(bound) if rng.random() < 0.6 else str(bound)
            tasks.append(_closed(_fill(rng.choice(frames.AT_LEAST), n=shown, x=name, o=organ), truth >= bound))
            if rng.random() < 0.3:
                tasks.append(_closed(_fill(rng.choice(frames.MORE_THAN), n=shown, x=name, o=organ), truth > bound))
            if rng.random() < 0.3:
                tasks.append(_closed(_fill(rng.choice(frames.FEWER_THAN), n=shown, x=name, o=organ), truth < bound))
            if scale < 12:
                tasks.append(_closed(_fill(rng.choice(frames.ASKED), x=name, o=organ), truth > 0))
            if rng.random() < 0.3:
                tasks.append(_closed(_fill(rng.choice(frames.MUCH_ASKED[:2]), x=name, o=organ), truth > scale))
        sentences = []
        for row in zip(*columns, strict=True):
            if frame:
                sentences.append(
                    " ".join(_fill(frame, n=str(n), x=x, N=frames.in_words(min(n, 99)).capitalize()) for n, x in row)
                )
            else:
                listed = [f"{n} {x}" for n, x in row]
                sentences.append(
                    (", ".join(listed[:-1]) + " and " if listed[1:] else "") + f"{listed[-1]} counted in this {organ}."
                )
        return sentences, tasks

    def degrees(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """Something that there is little, some or much of."""
        name, scale, frame = self.term(rng), rng.choice(frames.DEGREES), rng.choice(frames.DEGREE_SAID)
        words = [rng.choice(level) for level in scale]
        truth = rng.randrange(3)
        levels = [truth if likeness.agrees(rank, rng) else rng.randrange(3) for rank in range(count)]
        sentences = [_fill(frame, x=name, d=words[level]) for level in levels]
        high, low = rng.choice(scale[2]), rng.choice(scale[0])
        tasks = [
            _closed(_fill(rng.choice(frames.MUCH_ASKED), x=name, o=organ, high=high), truth == 2),
            _closed(_fill(rng.choice(frames.LITTLE_ASKED), x=name, o=organ, low=low), truth == 0),
            _closed(_fill(rng.choice(frames.MODERATE_ASKED), x=name), truth > 0),
        ]
        return sentences, rng.sample(tasks, 2)

    def sides(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """Left or right."""
        name, frame = self.term(rng), rng.choice(frames.SIDE_SAID)
        truth = rng.choice(frames.SIDES)
        sides = [truth if likeness.agrees(rank, rng) else rng.choice(frames.SIDES) for rank in range(count)]
        asked = rng.choice(frames.SIDES)
        question = _fill(rng.choice(frames.SIDE_ASKED), x=name, o=organ, s=asked)
        return [_fill(frame, x=name, o=organ, s=side) for side in sides], [_closed(question, asked == truth)]


def false_unless(rng: random.Random, share: float) -> bool:
    """What is true of something that no report mentions: now and then it is there all the same."""
    return rng.random() < share


def _closed(question: str, true: bool) -> Task:
    return Task(question, YES_NO, YES_NO[0] if true else YES_NO[1])


def _fill(frame: str, **values: str) -> str:
    """Fill a frame's gaps; one in capitals takes its value with a capital letter."""
    for key, value in list(values.items()):
        values.setdefault(key.upper(), value[:1].upper() + value[1:])
    return frame.format(**values)
