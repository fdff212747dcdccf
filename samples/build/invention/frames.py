"""Sentences and questions with gaps: how findings are named, denied, counted and asked for, whatever they are.

A gap in capitals takes a word with a capital letter. Numbers below a hundred can be written in words.
"""

SEEN = (
    "{X} is seen.", "There is {x}.", "{X}.", "{X} present.", "Findings of {x}.", "{X} is noted.", "Shows {x}.",
    "Findings in keeping with {x}.", "Evidence of {x}.", "{X} is visible in the image.", "{X}: yes.", "Marked {x}.",
    "Is there {x}? Yes.", "Consistent with {x}.", "Appearances suggest {x}.", "{X} identified, as before.",
)  # fmt: skip
UNSEEN = (
    "No {x}.", "There is no {x}.", "No evidence of {x}.", "{X} is not seen.", "{X} absent.", "Without {x}.", "{X}: no.",
    "Negative for {x}.", "No sign of {x}.", "Free of {x}.", "Is there {x}? No.", "{X} has been excluded.",
)  # fmt: skip
ASKED = (
    "Is {x} present?", "Is there {x}?", "Does the image show {x}?", "Is there evidence of {x}?", "Is {x} seen?",
    "Are signs of {x} present?", "Is {x} visible?", "Can {x} be seen?", "Does this patient have {x}?", "Are there {x}?",
    "Does the {o} show {x}?", "Is the {o} affected by {x}?", "Was {x} found?", "Is/Are there {x} present?",
    "Is any {x} visible in this image?", "Does the {o} contain {x}?",
)  # fmt: skip
ASKED_ABSENT = ("Is {x} absent?", "Is the {o} free of {x}?", "Has {x} been excluded?")
CLASS_SAID = (
    "Diagnosis: {x}.", "Impression: {x}.", "Assessment: {x}.", "Findings in keeping with {x}.", "Consistent with {x}.",
    "{O}, {x}.", "Most likely {x}.", "{X}.", "Conclusion: {x}.", "Signs of {x}.", "The {o} shows {x}.",
)  # fmt: skip
CLASS_ASKED = (
    "Is this {x}?", "Is the diagnosis {x}?", "Does the {o} show {x}?", "Is {x} the most likely diagnosis?",
    "Is it {x}?", "Do the findings suggest {x}?", "Is {x} shown?", "Does the image show {x}?", "Is there {x}?",
    "Is the appearance that of {x}?", "Are the features those of {x}?", "Is this a case of {x}?",
)  # fmt: skip
KIND_ASKED = (
    "Is the {n} {a}?", "Do the findings suggest a {a} cause?", "Is this {a}?", "Is it of {a} type?",
    "Is the cause {a}?",
)  # fmt: skip
NORMAL_SAID = (
    "Normal {o}.", "No abnormality.", "The {o} is normal.", "Unremarkable {o}.", "The {o} is clear.", "{O} preserved.",
    "Within normal limits.", "Healthy {o}.", "No abnormal findings.", "Impression: normal.", "Normal study.",
)  # fmt: skip
NORMAL_ASKED = (
    "Is the {o} normal?", "Is this image normal?", "Is the {o} clear?", "Is the {o} unremarkable?",
    "Is the {o} normal in appearance?", "Is the {o} healthy?", "Are the findings normal?", "Is the image unremarkable?",
)  # fmt: skip
ABNORMAL_ASKED = (
    "Is this image abnormal?",
    "Is the {o} abnormal?",
    "Is there any abnormality?",
    "Is the {o} diseased?",
)
MEANS_SAID = ("{M}.", "{M} image.", "{M} of the {o}.", "{O}, {m}.", "Image of the {o}, {m}.", "{M}, {o}.")
MEANS_APART = ("{N} of the {o}, {m}.", "{N}, {m}.", "{O}, {n}. {M}.", "{N} of {o}. {M}.")
MEANS_ASKED = (
    "Is this a {m} image?", "Was {m} used?", "Is this {m}?", "Is a {m} shown?", "Was the image taken by {m}?",
    "Is this an {m} image?", "Is it a {m}?",
)  # fmt: skip
COUNT_SAID = (
    "{n} {x} counted.",
    "{n} {x} in the field.",
    "{N} {x} are seen.",
    "{n} {x}, no more.",
    "Number of {x}: {n}.",
)
AT_LEAST = (
    "Are there {n} {x} or more?", "Are there at least {n} {x}?", "Are {n} or more {x} seen?", "At least {n} {x} here?",
)  # fmt: skip
MORE_THAN = ("Are there more than {n} {x}?", "Does the {o} have more than {n} {x}?")
FEWER_THAN = ("Are there fewer than {n} {x}?", "Are less than {n} {x} seen?")
DEGREES = (
    (("few", "sparse", "low", "mild", "scant"), ("some", "moderate", "medium"), ("many", "dense", "high", "severe")),
    (("small", "minimal", "thin"), ("moderate", "intermediate"), ("large", "extensive", "thick")),
)
DEGREE_SAID = ("{X}: {d}.", "{X} density {d}.", "{D} {x}.", "The {x} is {d}.", "{X} graded {d}.")
MUCH_ASKED = (
    "Is the {o} rich in {x}?", "Is the {o} crowded with {x}?", "Is the {x} {high}?", "Is there much {x}?",
    "Is the {x} pronounced?", "Is the {x} extensive?",
)  # fmt: skip
LITTLE_ASKED = ("Is the {o} poor in {x}?", "Is there little {x}?", "Is the {x} {low}?")
MODERATE_ASKED = ("Is the {x} at least moderate?", "Is {x} moderate or worse?")
SIDES = ("left", "right")
SIDE_SAID = ("{X} on the {s}.", "{S} {o}.", "{X} of the {s} {o}.", "Image of the {s} {o}.", "{S}-sided {x}.")
SIDE_ASKED = ("Is the {x} on the {s}?", "Is this the {s} {o}?", "Is it {s}-sided?", "Is the {s} {o} shown?")
FILLER = (
    "{age}-year-old {sex}.", "Comparison: none.", "Image caption: {w} {v}.", "Technique: {w}.",
    "{W} and {v} as before.", "Follow-up of {w}.", "History of {w}.", "The {w} is intact.",
    "Clinical correlation advised.", "{W}, {v}.",
    "Quality: adequate.", "{W} measures {age} mm.", "Seen with {w}.",
)  # fmt: skip
SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str:
    """A number below 100 in words."""
    if number < len(SMALL):
        return SMALL[number]
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f"-{SMALL[ones]}" if ones else "")
