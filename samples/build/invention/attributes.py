"""What a report says besides findings: how the image was made, numbers, degrees and sides."""

import random

from samples.build.invention import frames
from samples.build.invention.cases import Likeness, Task
from samples.build.invention.words import Words, closed, fill


class Attributes(Words):
    """What each of so many reports says of an image's attributes, and what is asked about them."""

    def means(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """How the image was made, one of several ways."""
        kinds, noun = self.terms(rng, rng.randint(2, 4)), self.word(rng)
        apart, together = rng.random() < 0.4, rng.random() < 0.5  # "microscopy of cells, electron" or in one
        truth = rng.choice(kinds)
        ways = rng.sample(frames.MEANS_APART if apart else frames.MEANS_SAID, rng.randint(1, 2))
        sentences = []
        for rank in range(count):
            value = truth if likeness.agrees(rank, rng) else rng.choice(kinds)
            sentences.append(fill(rng.choice(ways), m=value, n=noun, o=organ))
        asked = sorted({truth, rng.choice(kinds)})
        return sentences, [
            closed(
                fill(rng.choice(frames.MEANS_ASKED), m=f"{kind} {noun}" if apart and together else kind), kind == truth
            )
            for kind in asked
        ]

    def counts(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """How many there are of something, from none to ninety."""
        names = self.terms(rng, rng.randint(1, 3))
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
            tasks.append(closed(fill(rng.choice(frames.AT_LEAST), n=shown, x=name, o=organ), truth >= bound))
            if rng.random() < 0.3:
                tasks.append(closed(fill(rng.choice(frames.MORE_THAN), n=shown, x=name, o=organ), truth > bound))
            if rng.random() < 0.3:
                tasks.append(closed(fill(rng.choice(frames.FEWER_THAN), n=shown, x=name, o=organ), truth < bound))
            if scale < 12:
                tasks.append(closed(fill(rng.choice(frames.ASKED), x=name, o=organ), truth > 0))
            if rng.random() < 0.3:
                tasks.append(closed(fill(rng.choice(frames.MUCH_ASKED[:2]), x=name, o=organ), truth > scale))
        sentences = []
        for row in zip(*columns, strict=True):
            if frame:
                sentences.append(
                    " ".join(fill(frame, n=str(n), x=x, N=frames.in_words(min(n, 99)).capitalize()) for n, x in row)
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
        sentences = [fill(frame, x=name, d=words[level]) for level in levels]
        high, low = rng.choice(scale[2]), rng.choice(scale[0])
        tasks = [
            closed(fill(rng.choice(frames.MUCH_ASKED), x=name, o=organ, high=high), truth == 2),
            closed(fill(rng.choice(frames.LITTLE_ASKED), x=name, o=organ, low=low), truth == 0),
            closed(fill(rng.choice(frames.MODERATE_ASKED), x=name), truth > 0),
        ]
        return sentences, rng.sample(tasks, 2)

    def sides(self, rng: random.Random, count: int, likeness: Likeness, organ: str) -> tuple[list[str], list[Task]]:
        """Left or right."""
        name, frame = self.term(rng), rng.choice(frames.SIDE_SAID)
        truth = rng.choice(frames.SIDES)
        sides = [truth if likeness.agrees(rank, rng) else rng.choice(frames.SIDES) for rank in range(count)]
        asked = rng.choice(frames.SIDES)
        question = fill(rng.choice(frames.SIDE_ASKED), x=name, o=organ, s=asked)
        return [fill(frame, x=name, o=organ, s=side) for side in sides], [closed(question, asked == truth)]
