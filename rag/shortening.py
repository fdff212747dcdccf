"""Cutting a report to a number of tokens, so that what was found is the last to go.

Sections lose sentences in the order of `Rank`: background first, then text without a known heading, then findings, and
the impression last of all. A sentence is kept whole or left out, because half of one may say the opposite; only where
not even one fits is it broken off. " …" stands wherever something is missing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from indexing import last_word_end, words
from rag.sections import HEADINGS, Rank, Section, split_sections
from rag.token_budget import estimated_tokens
from titrate import hash_json, one_line

Counter = Callable[[str], int]
"""Number of tokens of a text."""

GAP = "…"

_SENTENCE_END = re.compile(
    r"(?<=[^\W\d_][.!?;])\s+|(?<=[)\]%\"'][.!?;])\s+|(?<=[。\uff01\uff1f\uff1b])(?![」』”\uff09])|(?<=[\u061f\u061b\u06d4\u0964\u0589])\s+|"
    r"\n\s*\n|\n(?=\s*(?:[-•*]|\d{1,2}[.)])\s)"
)

_ENDS = ".!?;。\uff01\uff1f\uff1b\u061f\u061b\u06d4\u0964\u0589"
_HEADING_WORDS = 6

_EXAMPLE = (
    "Examination: chest, two views.\nIndication: cough.\nTechnique: upright.\nComparison: none.\n\n"
    "The first view is turned. The second is not.\n\nFindings: The heart is large. The lungs are clear. No effusion.\n"
    "Impression:\n1. Large heart.\n2. No pneumonia.\n\nElectronically signed by nobody."
)
_EXAMPLES = (
    _EXAMPLE,
    "检查方法：CT平扫。影像所见：双肺纹理清晰，未见结节。心影不大！无积液\n诊断意见：未见异常。",
    "【検査目的】咳嗽。\n【所見】両肺に結節を認めない。「胸水？」なし。\n【診断】異常なし",
    "سبب الفحص: سعال. النتائج: لا يوجد انصباب؟ القلب طبيعي. الانطباع: طبيعي",
)


@dataclass(frozen=True)
class ReadReport:
    """A report as the model reads it, on one line, and whether anything of it is left out."""

    text: str
    cut: bool


@dataclass(frozen=True)
class _Sentence:
    rank: Rank
    text: str


def shorten_report(report: str, limit: int, count: Counter) -> ReadReport:
    """A report on one line, cut to a number of tokens if it has more.

    Parameters
    ----------
    report
        The report.
    limit
        Tokens that the text may have, the marks of what is missing included.
    count
        Number of tokens of a text.

    Returns
    -------
    ReadReport
        The text. Where the report has a section that is an impression or conclusion, what is cut loses its end; else
        its middle, because conclusions stand last.

    >>> shorten_report("TECHNIQUE: Upright. IMPRESSION: Large effusion.", 9, lambda text: len(text.split()))
    ReadReport(text='TECHNIQUE: Upright. IMPRESSION: Large effusion.', cut=False)
    >>> shorten_report("TECHNIQUE: Upright. IMPRESSION: Large effusion.", 4, lambda text: len(text.split()))
    ReadReport(text='… IMPRESSION: Large effusion.', cut=True)
    """
    report = report.replace("\r\n", "\n").replace("\r", "\n")
    whole = one_line(report)
    if count(whole) <= limit:
        return ReadReport(whole, cut=False)
    sentences = [
        _Sentence(section.rank, sentence) for section in split_sections(report) for sentence in _sentences(section)
    ]
    kept = set(range(len(sentences)))
    concluded = any(sentence.rank is Rank.IMPRESSION for sentence in sentences)
    for rank in Rank:
        own = [row for row in sorted(kept) if sentences[row].rank is rank]
        others = kept - set(own)
        if not own:
            continue
        if others and count(_joined(sentences, others)) > limit:
            kept = others
            continue
        kept = _filled(sentences, others, own, limit, count, concluded=concluded)
        if not kept:
            before = f"{GAP} " if own[0] else ""
            return ReadReport(_broken_off(before + sentences[own[0]].text, limit, count), cut=True)
        break
    return ReadReport(_joined(sentences, kept), cut=True)


@cache
def shortening_fingerprint() -> str:
    """SHA-256 of the names of sections and of how examples are cut at several lengths."""
    names = {rank.name: names for rank, names in HEADINGS.items()}
    texts = [shorten_report(text, limit, estimated_tokens).text for text in _EXAMPLES for limit in range(1, 100)]
    return hash_json([names, texts])


def _sentences(section: Section) -> list[str]:
    found = [one_line(part) for part in _SENTENCE_END.split(section.text) if part.strip()]
    if len(found) == 1:  # a list without full stops
        found = [one_line(line) for line in section.text.splitlines() if line.strip()]
    if len(found) > 1 and len(words(found[0])) <= _HEADING_WORDS and found[0][-1] not in _ENDS:
        found[:2] = [" ".join(found[:2])]  # a heading on a line of its own stays with what follows
    return found


def _joined(sentences: Sequence[_Sentence], kept: set[int]) -> str:
    """The sentences that are kept, in their order, with a mark for each gap."""
    words: list[str] = []
    for row, sentence in enumerate(sentences):
        if row in kept:
            words.append(sentence.text)
        elif not words or words[-1] != GAP:
            words.append(GAP)
    return " ".join(words)


def _filled(
    sentences: Sequence[_Sentence],
    others: set[int],
    own: Sequence[int],
    limit: int,
    count: Counter,
    *,
    concluded: bool,
) -> set[int]:
    """All of the others, and of one rank's own sentences as many as fit: from its beginning, or from both ends."""
    kept, first, last = set(others), 0, len(own) - 1
    from_end, from_start = not concluded, True
    while first <= last and (from_start or from_end):
        if from_end:
            from_end = count(_joined(sentences, {*kept, own[last]})) <= limit
            if from_end:
                kept.add(own[last])
                last -= 1
        if from_start and first <= last:
            from_start = count(_joined(sentences, {*kept, own[first]})) <= limit
            if from_start:
                kept.add(own[first])
                first += 1
    return kept


def _broken_off(sentence: str, limit: int, count: Counter) -> str:
    """As many of a sentence's words as fit, or where it is one long word, of its letters."""
    low, high = 0, len(sentence)
    while low < high:
        middle = (low + high + 1) // 2
        if count(f"{sentence[:middle].rstrip()} {GAP}") <= limit:
            low = middle
        else:
            high = middle - 1
    end = last_word_end(sentence, low)
    return f"{sentence[: end or low].rstrip()} {GAP}".strip()
