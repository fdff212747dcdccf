"""The sections of a report, told by their headings: which of them says what was found, and which can be spared.

Headings are known in English, German, French, Spanish, Italian and Portuguese, the usual ones in Chinese, Japanese and
Arabic, too. A text without headings is one section.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum


class Rank(IntEnum):
    """What a section is about, in the order in which sections are given up where a report is too long."""

    SIGNATURE = 0
    TECHNIQUE = 1
    COMPARISON = 2
    EXAMINATION = 3
    HISTORY = 4
    OTHER = 5
    FINDINGS = 6
    IMPRESSION = 7


BACKGROUND = (Rank.SIGNATURE, Rank.TECHNIQUE, Rank.COMPARISON, Rank.EXAMINATION, Rank.HISTORY)
"""What says nothing of the image."""

_WHOSE = "(?:(?:clinical|medical|surgical|patient|past|brief|relevant|present) )"
HEADINGS: dict[Rank, tuple[str, ...]] = {
    Rank.SIGNATURE: (
        "notifications?", "signatures?", "attestation", "disclaimer", "dictated by", "signed by", "approved by",
        "transcribed by", "interpreted by", "attending",
    ),
    Rank.TECHNIQUE: (
        "techniques?", "protocol", "contrast(?: agent)?", "(?:radiation )?dose", "medications?", "sequences",
        "technik", "methodik", "kontrastmittel", "t[eé]cnica", "tecnica", "protocole",
        "(?:检查|扫描|檢查|成像)?(?:方法|技术|技術)", "撮影方法", "التقنية", "طريقة الفحص",
    ),
    Rank.COMPARISON: (
        "comparisons?(?: stud(?:y|ies)| exams?| examinations?)?", "prior stud(?:y|ies)", "priors?", "vergleich",
        "voraufnahmen?", "vergleichsuntersuchung", "comparaison", "comparaci[oó]n", "compara[cç][aã]o", "confronto",
        "对比|對比|比较|既往检查", "比較", "前回検査", "المقارنة",
    ),
    Rank.EXAMINATION: (
        "exam", "examinations?", "study", "type of (?:exam|examination|study)", "procedures?", "modality", "accession",
        "(?:exam|study) date", "date of (?:exam|examination|study)", "date", "untersuchung", "examen", "estudio",
        "检查(?:部位|项目|名称|日期)", "檢查(?:部位|項目|日期)", "検査(?:部位|項目|日)", "الفحص",
    ),
    Rank.HISTORY: (
        f"{_WHOSE}*(?:history|indications?)",
        f"{_WHOSE}+(?:information|data|details|context|question|notes?|presentation)",
        "(?:clinical|admi(?:tting|ssion)|provisional|working|referr(?:ing|al)|pre-?operative) diagnos[ei]s",
        "history of present illness", "hpi",
        "reasons? for (?:this )?(?:exam|examination|study|referral|visit)", "chief complaint", "complaint", "symptoms",
        "indikation", "anamnese", "klinische (?:angaben|fragestellung)", "fragestellung", "renseignements cliniques",
        "indicaci[oó]n", "indica[cç][aã]o", "indicazione", "quesito(?: clinico| diagnostico)?", "motivo",
        "(?:现|既往)?病史|主诉|临床(?:诊断|资料|表现)",
        "臨床(?:診斷|情報|診断|経過)|病史|主訴|検査目的|依頼目的|既往歴|現病歴",
        "التاريخ المرضي", "القصة السريرية", "سبب الفحص",
    ),
    Rank.OTHER: (
        "addend(?:um|a)", "wet read", "recommendations?", "plan", "follow[- ]?up", "gross(?: description)?",
        "specimens?", "empfehlung", "procedere", "recommandations?", "recomendaci[oó]n(?:es)?",
    ),
    Rank.FINDINGS: (
        "findings?", "captions?", "legend", "results?", "observations?",
        "(?:microscop(?:y|ic)|histolog(?:y|ic|ical))(?: description)?",
        "description", "befund(?:e|ung)?", "r[eé]sultats?", "hallazgos", "achados", "referto", "reperti?",
        "descripci[oó]n",
        "[A-Z\\u3400-\\u9fff]{0,8}(?:所见|所見|表现)", "النتائج", "الموجودات", "المشاهدات",
    ),
    Rank.IMPRESSION: (
        "impressions?", "conclusions?", "opinion", "summary", "diagnos[ei]s", "assessment", "interpretation",
        "bottom line", "beurteilung", "zusammenfassung", "diagnosen?", "conclusiones", "conclusi[oó]n",
        "impresi[oó]n", "conclus[aã]o", "impress[aã]o", "conclusion[ei]", "s[ií]ntesis", "synth[eè]se",
        "(?:影像|放射)?(?:诊断|診斷|診断)(?:意见|意見|提示|印象)?", "印象",
        "(?:结论|結論|総括|まとめ)", "الانطباع", "الخلاصة", "الاستنتاج",
    ),
}  # fmt: skip
"""Names of sections, as regular expressions; they are matched in any case."""


@dataclass(frozen=True)
class Section:
    """A part of a report, its heading included, with what it is about."""

    rank: Rank
    text: str


def _names(ranks: tuple[Rank, ...]) -> str:
    one = f"(?:{'|'.join(name for rank in ranks for name in HEADINGS[rank])})"
    return rf"{one}(?:[ \t]*(?:/|&|\+|,|、|及|与|和|\b(?:and|und|et|y|e)\b)[ \t]*{one}){{0,3}}"


_TELLING = (Rank.OTHER, Rank.FINDINGS, Rank.IMPRESSION)
_IN_BRACKETS = r"(?:[^\S\n]*\([^()\n]{1,60}\))?"
_BULLET = r"^[^\S\n]*[>*#_•\[【［■◆○●・-]*[^\S\n]*(?:\d{1,2}[.)][^\S\n]*)?"
_END_OF_NAME = r"[^\S\n]*(?:[】］][:\uff1a]?|[*_\]]*[^\S\n]*(?:[:\uff1a]|[-–—](?=\s)|$)[*_]*)"

# What tells of the image may have words around its name, as in "CT CHEST FINDINGS"; background must be nothing else, so
# that a line such as "Comparison shows progress: ..." is not taken for some.
_ON_A_LINE = re.compile(
    rf"{_BULLET}(?:(?P<background>{_names(BACKGROUND)})"
    rf"|(?:[^\W_][\w/.-]*[ \t]+){{0,3}}?(?P<telling>{_names(_TELLING)})(?:[ \t]+[\w/-]+){{0,2}}?)"
    rf"{_IN_BRACKETS}{_END_OF_NAME}",
    re.IGNORECASE | re.MULTILINE,
)
# Within a line a heading follows a sentence's end, or is written with a capital; and there has to be a colon.
_IN_A_LINE = re.compile(
    rf"(?:(?<=[.!?;:)\]>|。\uff01\uff1f\uff1b\uff1a\uff09】؟؛۔])[^\S\n]*|(?<=\s)(?-i:(?=[A-ZÀ-Þ])))"
    rf"(?:(?P<background>{_names(BACKGROUND)})|(?P<telling>{_names(_TELLING)})){_IN_BRACKETS}[^\S\n]*[:\uff1a]",
    re.IGNORECASE,
)
_IN_CAPITALS = re.compile(r"(?<=[.!?;)])\s+(?P<telling>FINDINGS|IMPRESSIONS?|CONCLUSIONS?)(?=\s+[A-Z0-9])")
_SIGNED = re.compile(
    r"(?:^|(?<=[.!?;]))[^\S\n]*"
    r"(?:(?:report )?electronically (?:signed|approved)|(?:dictated|transcribed) (?:by|on))\b",
    re.IGNORECASE | re.MULTILINE,
)
# Any other heading, and an empty line, ends what is background: what follows may be the findings.
_STRANGE = re.compile(
    r"^[^\S\n]*[^\W\d_][\w /&()-]{1,40}(?<=[^\W\d_])(?::(?!\d)|\uff1a)"
    r"|^[^\S\n]*[【［][^】］\n]{1,40}[】］]|(?<=[。\uff1b])[^\W\d_][\w]{1,11}\uff1a"
    r"|(?<=\s)[A-Z][A-Z/&-]{3,}(?: [A-Z/&-]{2,}){0,3}:|\n[^\S\n]*(?=\n)",
    re.MULTILINE,
)
_BY_NAME = [(rank, re.compile("|".join(names), re.IGNORECASE)) for rank, names in HEADINGS.items()]


def split_sections(report: str) -> list[Section]:
    """The sections of a report in their order; put together, their texts are the report.

    What stands before the first heading, and what follows a paragraph of background without a heading of its own, is
    `Rank.OTHER`. "Findings and impression" is the higher of the two.

    >>> [(part.rank.name, part.text) for part in split_sections("HISTORY: cough. Impression: Clear lungs.")]
    [('HISTORY', 'HISTORY: cough.'), ('IMPRESSION', ' Impression: Clear lungs.')]
    """
    starts = sorted(_headings(report))
    edges = [(0, 0, Rank.OTHER)] if not starts or starts[0][0] > 0 else []
    for start, end, rank in starts:
        if not edges or start >= edges[-1][1]:
            edges.append((start, end, rank))
    found = []
    for (start, end, rank), (stop, _, _) in zip(edges, [*edges[1:], (len(report), 0, Rank.OTHER)], strict=True):
        middle = stop if rank not in BACKGROUND else _end_of_background(report, end, stop)
        found += [Section(rank, report[start:middle]), Section(Rank.OTHER, report[middle:stop])]
    return [section for section in found if section.text.strip()]


def _headings(report: str) -> Iterator[tuple[int, int, Rank]]:
    """Start, end and rank of what looks like a heading."""
    for match in _SIGNED.finditer(report):
        yield match.start(), match.end(), Rank.SIGNATURE
    for pattern in (_ON_A_LINE, _IN_A_LINE, _IN_CAPITALS):
        for match in pattern.finditer(report):
            background = match.groupdict().get("background")
            name, among = (background, BACKGROUND) if background else (match["telling"], _TELLING)
            rank = max(rank for rank, known in _BY_NAME if rank in among and known.search(name))
            yield match.start(), match.end(), rank


def _end_of_background(report: str, end: int, stop: int) -> int:
    """Where a section of background ends, whose heading ends at ``end``, at ``stop`` at the latest."""
    body = re.compile(r"\s*").match(report, end)
    begin = end if body is None else body.end()  # an empty line right after the heading belongs to it
    other = _STRANGE.search(report, min(begin, stop), stop)
    return stop if other is None else other.start()
