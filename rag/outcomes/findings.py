"""Which findings a report affirms: a reader by rules, after NegEx and ConText (doi 10.1006/jbin.2001.1029,
10.1016/j.jbi.2009.05.002), with lists and comma rules of its own.

A finding counts where a sentence says that it is there, or likely there. It does not count where it is denied ("no
effusion", "effusion is not seen", "effusion: none"), gone ("has resolved"), merely possible ("possible", "may
represent", "cannot be excluded", "versus", "evaluate for"), or of the past ("history of"). "Likely", "probable",
"consistent with" and "suggestive of" affirm; so does what is only changing ("resolving", "decreased", "no change in").

A semicolon ends a denial, as in "no effusion; pneumothorax", unless the list goes on to an "or" or "nor" ("no
effusion; mass; or pneumothorax") or was begun by a colon ("negative for: effusion; mass"), and its items state nothing
themselves.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from textwrap import wrap

FINDINGS = (
    "atelectasis", "cardiomegaly", "consolidation", "edema", "effusion", "emphysema", "fibrosis", "fracture", "hernia",
    "infiltrate", "mass", "nodule", "opacity", "pleural thickening", "pneumonia", "pneumothorax",
)  # fmt: skip
"""Findings of chest radiographs, after ChestX-ray14 (arXiv 1705.02315); for other images, give a list of their own."""

_LONGEST = 600
"""Characters of a sentence."""
_SEEN = (
    r"(?:seen|identified|present|visuali[sz]ed|demonstrated|noted|evident|appreciated|detected|found|apparent|shown|"
    r"observed|visible|suspected|recogni[sz]ed|confirmed|there|discerned|revealed|reported|excluded|ruled out)"
)
_SHOW = (
    r"(?:show|demonstrate|reveal|have|contain|suggest|indicate|identify|exhibit|display|see|support|represent|"
    r"showing|demonstrating|revealing|associated with|consistent with|compatible with|suggestive of)"
)
_CHANGE = (
    r"(?:change|increase|decrease|improvement|resolution|progression|growth|worsening|enlargement|difference|doubt|"
    r"clearing|displacement|involvement)"
)

_NO_DENIAL = re.compile(
    rf"\b(?:no|without)(?: [\w-]+){{0,2}} {_CHANGE}\b(?! or\b)|\b(?:not only|not just|not necessarily|no matter)\b|"
    r"\b(?:partial|incomplete|near|little|some|slow) (?:[\w-]+ )?resolution of\b"
)
"""What holds a word of denial, and denies nothing: "no change in the effusion"."""

_BEFORE = re.compile(
    r"\b(?:no|none of the following|without|w/o|negative for|(?:free|clear) (?:of|from)|absence of|absent|"
    r"lack(?:s|ing)? of|lacks|lacking|denie[sd]|neither|nor|never|nil|rather than|"
    r"instead of|fail(?:s|ed)? to|unremarkable for|"
    rf"not (?:[\w-]+ ){{0,2}}{_SHOW}|not|rul(?:e|es|ed|ing) out|r/o|exclud(?:e|es|ed|ing)|"
    r"(?<!partial )(?<!incomplete )(?:resolution|clearing|disappearance) of|resolved|"
    r"possible|possibly|may|might|could|questionable|question of|suspected|presumed|presumptive|"
    r"suspicious for|suspicion (?:of|for)|concern(?:ing)? for|worrisome for|unlikely|less likely|versus|vs|"
    r"(?:evaluate|assess|check|look|rule|screen|evaluation|assessment)(?:ing)? for|"
    r"history of|h/o|hx of|risk (?:of|for))\b:?"
)
"""What denies, or leaves open, the findings that follow."""

_AFTER = re.compile(
    rf"\b(?:not|never|neither|no longer)(?: (?!previously)[\w-]+ly)?(?: be| been| being)?"
    rf"(?: (?!previously)[\w-]+ly)? {_SEEN}\b"
    r"(?! before| previously| (?:on|in|at) (?:the |a |any )?(?:prior|previous|earlier|old|other))|"
    rf"(?<!not )(?<!not been )(?<!not be )\b(?:absent|excluded|ruled out|unlikely|less likely|not likely|no longer|"
    r"negative)\b(?! for)|"
    r"(?<!not )(?<!partially )(?<!incompletely )(?<!nearly )(?<!partly )(?<!not yet )(?<!almost )"
    r"\b(?:completely |fully )?(?:resolved|disappeared|cleared)\b|"
    r"\b(?:is|are|remains?|be|was|were) (?:also )?(?:possible|suspected|questionable|questioned|doubtful)\b|"
    r"(?:\s*[:=?(\u2013\u2014-]+\s*|\s+)(?:none|nil)\b|"
    r"\s*[:=?(\u2013\u2014]+\s*(?:no|not|absent|negative|neg|never|0|-)(?=\s*(?:\)|$|[,/]))|\b(?:versus|vs)\b"
)
"""What denies, or leaves open, the findings before it."""

_TURN = re.compile(
    r"\b(?:but|however|although|though|except|yet|while|whereas|aside from|other than|apart from|besides|despite|which|"
    r"secondary to|due to|because|since|as a cause of|instead|otherwise|there (?:is|are|was|were)|"
    r"(?:likely|probably|probable|consistent with|compatible with|suggestive of|suggesting|indicating|showing)|"
    r"(?:and|with) (?:an?|the|there|it|its|this|these|some|several|multiple|is|are|was|were|has|shows?|demonstrates?|"
    r"small|mild|mildly|moderate|large|stable|unchanged|persistent|minimal|trace|tiny|new|extensive|diffuse|"
    r"bilateral|left|right|increased|increasing|possible))\b|[:;]|\s[-\u2013\u2014]+\s|[()\[\]]"
)
"""Where a denial ends, if it stands before."""

_BY_ITSELF = re.compile(
    r"^(?:and )?(?:with|an?|the|this|these|its?|there|some|several|multiple|small|mild|mildly|moderate|moderately|"
    r"severe|large|huge|stable|unchanged|persistent|minimal|trace|tiny|extensive|diffuse|prominent|increased|increasing|"
    r"decreased|worsening|slight|slightly|subtle|marked|massive|old|chronic|left|right|bilateral|bibasilar|patchy|"
    r"associated|consistent|compatible|suggesting|representing|likely|probable|known|status|post|causing|seen)\b"
)
"""What begins an item that is stated by itself, not the next of a list of denied ones."""
_STATED = re.compile(r"\b(?:is|are|was|were|has|have|shows?|demonstrates?|reveals?|with|causing|representing)\b")
_NEW_CLAUSE = re.compile(r"(?:and )?(?:the|there|with|it|this|these)\b")
_OR = re.compile(r"\b(?:or|nor)\b")
_OF_THE = re.compile(
    r"\b(?:of|in|into|to|toward|within|from|by|with|around|at|near|on|about|surrounding|involving|overlying|through|"
    r"adjacent to|between|beneath|inside|outside|compressing|crossing) (?:the|this|that|these|those|its|his|her|said)"
    r" (?:(?!or\b|and\b|nor\b)[\w-]+ ){0,3}$"
)
"""What makes a finding the place of what is denied, as in "no enhancement of the mass"."""
_GONE = re.compile(r"^(?:resol|clear|disap|histo|hx|h/o|rul|exclu|evalu|assess|r/o|possib)")
_ASSERTED = re.compile(r"\b(?:is|are|was|were|shows?|demonstrates?|reveals?|has|have|with|there)\b")
_JOIN = re.compile(r"^[\s\w-]{0,40}?(?:,|/|\band\b|\bor\b|\bnor\b)[\s\w,/-]{0,60}$")
_NOT_THE_FINDING = re.compile(r"^[ -](?:effects?|like)\b")
_SENTENCE_END = re.compile(r"(?:[.!]+(?=\s|$|[A-Z])|\?(?!\s*(?:no|none|not)\b)|\n\s*\n|\n\s*(?=[-*\u2022\d]))", re.I)
_LINE_END = re.compile(r"(?<![,;\s])[^\S\n]*\n\s*(?=[A-Z])")


def affirmed(text: str, findings: Sequence[str] = FINDINGS) -> set[str]:
    """The findings that a report says are there.

    >>> sorted(affirmed("No focal consolidation, effusion, or pneumothorax, but mild cardiomegaly. Mass is not seen."))
    ['cardiomegaly']
    """
    patterns = _patterns(tuple(findings))
    return {name for sentence in _sentences(text) for name, there in _read(sentence, patterns) if there}


def mentioned(text: str, findings: Sequence[str] = FINDINGS) -> set[str]:
    """The findings that a report names, to affirm or to deny them.

    >>> sorted(mentioned("No effusion."))
    ['effusion']
    """
    patterns = _patterns(tuple(findings))
    return {name for sentence in _sentences(text) for name, _, _ in _mentions(sentence, patterns)}


@lru_cache(maxsize=8)
def _patterns(findings: tuple[str, ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """A pattern for each finding, singular or plural; the longest names first, as they hide shorter ones."""
    return tuple(
        (name, re.compile(rf"(?<![\w])(?<!non-)(?<!non ){_either(' '.join(name.lower().split()))}(?!\w)"))
        for name in sorted(findings, key=len, reverse=True)
    )


def _either(name: str) -> str:
    """A pattern of a name and its plural: opacity and opacities, pneumothorax and pneumothoraces."""
    for ending, plural in (("y", "(?:y|ies)"), ("is", "(?:is|es)"), ("thorax", "thora(?:x|xes|ces)")):
        if name.endswith(ending):
            return re.escape(name[: -len(ending)]).replace("edema", "o?edema") + plural
    return re.escape(name).replace("edema", "o?edema") + "(?:e?s)?"


def _sentences(text: str) -> Iterator[str]:
    """Sentences in lower case on one line each. A line that begins with a capital letter or a bullet begins one.

    What never ends is read in pieces, since the time that a sentence takes grows faster than its length.
    """
    plain = re.sub(r"n[\u2019']t\b", " not", text).replace("cannot", "can not").replace("Cannot", "Can not")
    for part in _SENTENCE_END.split(plain):
        for line in _LINE_END.split(part):
            for clause in _clauses(line.lower()):
                yield from wrap(clause, _LONGEST, break_on_hyphens=False)


def _clauses(sentence: str) -> list[str]:
    """What semicolons part, except lists of what is denied: their items stand with commas in one clause."""
    parts = sentence.split(";")
    clauses, start = [], 0
    while start < len(parts):
        end = _list_end(parts, start)
        clauses.append(",".join(parts[start:end]))
        start = end
    return clauses


def _list_end(parts: Sequence[str], start: int) -> int:
    """Where the list ends that one part begins and that is denied as a whole: after the part itself, if none is."""
    length = len(parts[start])
    if start + 1 == len(parts) or length > _LONGEST:
        return start + 1
    denials = list(_BEFORE.finditer(parts[start]))
    by_colon = any(denial.group().endswith(":") for denial in denials)
    listed = start + 1
    for place, part in enumerate(map(str.strip, parts[start + 1 :]), start + 1):
        length += len(part)
        if length > _LONGEST:
            break
        if _OR.match(part):
            denied = denials or (not _STATED.search(parts[start]) and _AFTER.search(part))
            return place + 1 if denied else listed
        if _BEFORE.search(part) or _STATED.search(part):
            break
        by_colon = by_colon and not _BY_ITSELF.match(part)
        if by_colon:
            listed = place + 1
    return listed


def _read(sentence: str, patterns: Sequence[tuple[str, re.Pattern[str]]]) -> Iterator[tuple[str, bool]]:
    """Each finding that a sentence mentions, and whether it is said to be there."""
    hidden = [match.span() for match in _NO_DENIAL.finditer(sentence)]
    before = [match for match in _BEFORE.finditer(sentence) if not _within(match.start(), hidden)]
    mentions = _mentions(sentence, patterns)
    gone = _denied_from_behind(sentence, mentions)
    for name, start, end in mentions:
        ahead = [match for match in before if match.end() <= start]
        parallel = len(ahead) > 1 and ahead[-1].group() == ahead[-2].group()
        reached = any(_reaches(sentence, match, start, parallel=parallel) for match in ahead)
        yield name, not (reached or (start, end) in gone)


def _mentions(sentence: str, patterns: Sequence[tuple[str, re.Pattern[str]]]) -> list[tuple[str, int, int]]:
    """Names of findings with start and end, in the order of the text; a name inside a longer one is not one."""
    found: list[tuple[str, int, int]] = []
    for name, pattern in patterns:
        for match in pattern.finditer(sentence):
            start, end = match.span()
            if _NOT_THE_FINDING.match(sentence[end:]) or any(s <= start and end <= e for _, s, e in found):
                continue
            found.append((name, start, end))
    return sorted(found, key=lambda mention: mention[1])


def _reaches(sentence: str, denial: re.Match[str], start: int, *, parallel: bool) -> bool:
    """Whether a denial reaches as far as a finding that starts behind it.

    In a ``parallel`` list every denied item has a word of denial of its own: "no effusion, no mass, cardiomegaly".
    """
    between = sentence[denial.end() : start]
    if between.startswith(","):  # "effusion: no, mass: yes"
        return False
    if _TURN.search(between) or (denial.group() == "not" and len(between.split()) > 1):
        return False
    if _OF_THE.search(between) and not _GONE.match(denial.group()):
        return False
    _, *items = (item.strip() for item in between.split(","))
    if not items:
        return True
    ahead = _TURN.split(sentence[start:], maxsplit=1)[0].split(",")
    if _OR.search(items[-1]) or any(_OR.match(item.strip()) for item in ahead[1:]):  # "no a, b, or c" denies all three
        return not any(_NEW_CLAUSE.match(item) for item in items)
    items[-1] = f"{items[-1]} {ahead[0]}".strip()
    if parallel or any(_BY_ITSELF.match(item) for item in items):
        return False
    return bool(_OR.search(items[-1])) or not any(_STATED.search(item) for item in items)


def _denied_from_behind(sentence: str, mentions: Sequence[tuple[str, int, int]]) -> set[tuple[int, int]]:
    """Places of the findings that words behind them deny: the nearest one, and those that it is listed with."""
    gone = set()
    for denial in _AFTER.finditer(sentence):
        place = denial.start()
        for _, start, end in reversed(mentions):
            if end > place:
                continue
            nearest = place == denial.start()
            between = sentence[end:place].lstrip(":= ") if nearest else sentence[end:place]
            aside = between.strip() == "," and not sentence[denial.end() :].strip()
            if nearest and (_TURN.search(between) or ("," in between and not aside) or len(between.split()) > 8):
                break
            if nearest and _OF_THE.search(sentence[:start]):
                break
            if not nearest and (
                not _JOIN.match(between) or _ASSERTED.search(sentence[:start]) or _TURN.search(between)
            ):
                break
            gone.add((start, end))
            place = start
    return gone


def _within(place: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(start <= place < end for start, end in spans)
