"""Fencing: nothing in a report, a question or an option can pose as the prompt's own structure.

A model tells instructions, reports and question apart by marks such as ``Report [2]:``, ``Question:`` or the role words
of its chat. A report is anybody's text and may hold such marks. They are rewritten so that the words stay and the mark
goes, wherever they stand, in any case, and also where they are spelt with letters that only look like Latin ones:

| written | read |
|---|---|
| ``Report [2]: clear``, ``[2]`` | ``Report (2) - clear``, ``(2)`` |
| ``Question: …``, ``ASSISTANT: …``, ``**User**: …`` | ``Question - …``, ``ASSISTANT - …``, ``**User** - …`` |
| ``### Response: …`` | ``Response - …`` |
| ``[INST]``, ``<start_of_turn>``, ``</s>`` | ``(INST)``, ``(start_of_turn)``, ``(s)`` |

What shows nothing, as control characters and marks that turn the direction of the text, is left out. All other text is
read as it stands. This keeps structure apart, and no more: a sentence that lies is still read.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

from rag.sections import HEADINGS
from titrate import hash_json

VERSION = 1

_LONG = (
    "assistant", "user", "human", "system", "developer", "chatbot", "question", "answer", "options?", "choices?",
    "instruction", "prompt", "response", "reply",
)  # fmt: skip
_SHORT = ("ai", "bot", "gpt", "llm", "tool", "role", "query", "task")
_NUMBERED = ("report", "context", "document", "source", "reference", "case", "passage", "example")
_MODEL_MARKS = ("inst", "system_prompt", "available_tools", "tool_\\w+", "img\\w*", "image\\w*", "bos", "eos", "sep",
                "cls", "pad", "mask", "unk", "user", "assistant", "system", "human", "report", "question", "options",
                "answer")  # fmt: skip

_JOINERS = "\u200c\u200d\u200e\u200f\u061c"
"""Part of the spelling of Persian, Hindi, Arabic and Hebrew; they stay, but do not hide a word."""
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")

_LIKE_LATIN = dict(
    zip(
        "АаВвЕеЅѕІіЈјКкМмНнОоРрСсТтУуХхԁԚԛԜԝҺһӏΑαΒβΕεΖΗηΙιΚκΜΝνΟοΡρσςΤτΥυΧχωıɑɡɩոսօհᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢøłđᎪᎬᎻᎷᏢᏚᎢᏆ",
        "aabbeessiijjkkmmhhooppccttyyxxdqqwwhhlaabbeezhniikkmnvooppssttyuxxwiaginuohabcdefghijklmnoprstuvwyzoldaehmpsti",
        strict=True,
    )
)
for _first in (0x1F150, 0x1F170, 0x1F1E6):  # white letters on black discs and squares, and those of flags
    _LIKE_LATIN |= {chr(_first + number): chr(ord("a") + number) for number in range(26)}
_LIKE_MARKS = dict(zip("꞉∶ː׃։⁚【〔〖〚⟦】〕〗〛⟧‹〈⟨›〉⟩｜∣", "::::::[[[[[]]]]]<<<>>>||", strict=True))  # noqa: RUF001

_BETWEEN = r"(?:\s*\([^():]{0,30}\))?[\s*_`\"'’”)\]}|\d]*"  # noqa: RUF001
_COLON = r"(?P<mark>:|>(?!=|\s*\d))"
_WIDE = re.compile(r"\s\s")
_NUMBER = r"(?:\d{1,4}|one|two|three|four|five|six|seven|eight|nine|ten|[ivx]{1,4}|[a-h])"
_TAG_NAME = r"[a-z][a-z0-9_ .-]{0,40}?"


class Fence:
    """Rewrites what could pose as structure.

    Parameters
    ----------
    instructions
        The words that begin the prompt: what stands before a colon there, or is a heading or in brackets, is structure
        too, unless it is a usual heading of reports.
    """

    def __init__(self, instructions: str) -> None:
        own = _section_words(instructions)
        every = rf"(?:(?:{'|'.join(_LONG)})s?|(?<![a-z0-9])(?:{'|'.join((*_SHORT, *own))})(?![a-z0-9]))"
        numbered = rf"(?:{'|'.join(_NUMBERED)})s?\s*(?:no\b\.?|nr\b\.?|number|#)?\s*[(\[]?\s*{_NUMBER}\s*[)\]]?"
        marks = "|".join((*_MODEL_MARKS, *own))
        self._patterns = [
            re.compile(rf"{every}{_BETWEEN}{_COLON}"),
            re.compile(rf"{numbered}{_BETWEEN}(?P<mark>:)"),
            re.compile(r"\[\s*\d{1,4}\s*\]\s*(?P<mark>:)"),
            re.compile(rf"(?P<hashes>#+)(?=[\s*_]*{every})|(?P<heading>#{{2,}})"),
            re.compile(
                rf"(?P<open><<?)(?P<drop>\s*[/|]*\s*){_TAG_NAME}(?:\s[^<>]{{0,60}})?(?P<tail>\s*[/|]*)(?P<close>>>?)"
                r"|(?P<left><\|)|(?P<right>\|>)"
            ),
            re.compile(rf"(?P<open>\[)(?P<drop>\s*/?\s*)(?:\d{{1,4}}|{marks})\s*(?P<close>\])"),
        ]

    def __call__(self, text: str) -> str:
        """A text in which nothing can pose as structure; the same text again if there was nothing."""
        text = without_unseen(text)
        for _ in range(len(text) + 1):  # what was between two marks may have kept them apart; each round takes some
            fenced = self._once(text)
            if fenced == text:
                break
            text = fenced
        return text

    def _once(self, text: str) -> str:
        shape, origin = _shape(text)
        changed: dict[int, str] = {}
        for pattern in self._patterns:
            for match in pattern.finditer(shape):
                for name, replacement in _REPLACED.items():
                    if name in pattern.groupindex and match[name]:
                        first, *others = dict.fromkeys(origin[match.start(name) : match.end(name)])
                        changed[first] = replacement
                        changed |= dict.fromkeys(others, "")
        if not changed:
            return text
        for place, sign in changed.items():
            if sign == _DASH:
                before, after = text[place - 1 : place], text[place + 1 : place + 2]
                changed[place] = " " * (not before.isspace()) + "-" + " " * (not after.isspace() and after != "")
        return "".join(changed.get(place, sign) for place, sign in enumerate(text))


_DASH = "-"
_REPLACED = {
    "mark": _DASH, "hashes": " ", "heading": " ", "open": "(", "close": ")", "left": "(", "right": ")", "drop": "",
    "tail": "",
}  # fmt: skip


@lru_cache(maxsize=64)
def fence_for(instructions: str) -> Fence:
    """The fence of a prompt that begins with these instructions."""
    return Fence(instructions)


@cache
def fence_fingerprint() -> str:
    """SHA-256 of the rules: a change of them changes what is read."""
    tables = [_LONG, _SHORT, _NUMBERED, _MODEL_MARKS, _BETWEEN, _COLON, _TAG_NAME, _JOINERS, sorted(_FILLERS)]
    patterns = [pattern.pattern for pattern in Fence("").__dict__["_patterns"]]
    return hash_json([VERSION, tables, patterns, _LIKE_LATIN, _LIKE_MARKS, _REPLACED])


def without_unseen(text: str) -> str:
    r"""A text without what shows nothing: control characters, marks of direction, tags, fillers.

    White space stays, and so do joiners within words. Half of a surrogate pair becomes U+FFFD.

    >>> without_unseen("clear\u202e, \u200bno\x1b[0m effusion")
    'clear, no [0m effusion'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_seen, text))


@lru_cache(maxsize=4096)
def _seen(sign: str) -> str:
    if sign.isspace() or sign in _JOINERS:
        return sign
    kind = unicodedata.category(sign)
    if kind == "Cs":
        return "\ufffd"
    if kind == "Cc":
        return " "
    return "" if kind == "Cf" or sign in _FILLERS or 0xE0100 <= ord(sign) <= 0xE01EF else sign


def _shape(text: str) -> tuple[str, Sequence[int]]:
    """How a text looks, in small Latin letters where it can be, and which of its signs each of these comes from.

    White space is one space, however long: no pattern can be made to try all its parts.
    """
    if text.isascii() and not _WIDE.search(text):
        return text.lower(), range(len(text))
    shape: list[str] = []
    origin: list[int] = []
    for place, sign in enumerate(text):
        looks = " " if sign.isspace() else _looks(sign)
        if looks == " " and shape and shape[-1] == " ":
            continue
        shape.append(looks)
        origin += [place] * len(looks)
    return "".join(shape), origin


@lru_cache(maxsize=4096)
def _looks(sign: str) -> str:
    parts = unicodedata.normalize("NFKD", sign)
    found = ""
    for part in parts:
        if part in _LIKE_LATIN or part in _LIKE_MARKS:
            found += _LIKE_LATIN.get(part) or _LIKE_MARKS[part]
        elif unicodedata.category(part) not in ("Mn", "Me", "Cf"):
            found += part.casefold()
    return found


def _section_words(instructions: str) -> Iterable[str]:
    """Patterns of what structures the instructions, but for the usual headings of reports."""
    shape, _ = _shape(without_unseen(instructions))
    words: dict[str, None] = {}
    for line in shape.splitlines():
        for pattern in (r"\W*([a-z][\w /-]{1,40}?)[\s*_`\"']*:", r"\s*#+\s*([a-z][\w /-]{1,40}?)\W*$"):
            if found := re.match(pattern, line):
                words[found[1].strip()] = None
    words |= dict.fromkeys(re.findall(r"\[([a-z][\w -]{1,40})\]", shape))
    usual = re.compile("|".join(name for names in HEADINGS.values() for name in names), re.IGNORECASE)
    return [r"\s+".join(map(re.escape, word.split())) for word in words if not usual.fullmatch(word)]
