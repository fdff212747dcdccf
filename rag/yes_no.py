"""Yes and no in several languages: a text that says one of them and nothing else."""

from titrate import END_MARKS, folded

_PAIRS = (
    ("yes", "no"),
    ("是|是的|对|对的|對", "否|不是|不是的|不对|不對|不"),
    ("有|有的", "没有|沒有|无|無|没"),
    ("存在", "不存在"),
    ("包含", "不包含"),
    ("はい|ええ", "いいえ|いや"),
    ("あり|あります|ある|有り", "なし|ありません|ない|無し"),
    ("예|네", "아니요|아니오"),
    ("있음|있습니다", "없음|없습니다"),
    ("نعم|أجل", "لا|كلا"),
    ("يوجد", "لا يوجد"),
    ("بله", "خیر"),
    ("ใช่|ใช่ค่ะ|ใช่ครับ", "ไม่ใช่|ไม่|ไม่ใช่ค่ะ|ไม่ใช่ครับ"),
    ("มี|มีค่ะ|มีครับ", "ไม่มี|ไม่มีค่ะ|ไม่มีครับ"),
    ("हाँ|हां|जी हाँ", "नहीं|जी नहीं"),
    ("да", "нет"),
    ("evet", "hay\u0131r"),
    ("có", "không"),
    ("tak", "nie"),
    ("ja", "nein|nee|nej|nei"),
    ("oui", "non"),
    ("sim", "não"),
    ("sí|si|sì", "no"),
)
"""What says yes, and what no; the first of each stands for all. The last is for its yes only: "no" alone is English."""
_YES_ONLY = ("sí", "no")
_EDGES = END_MARKS + ",\u3001\u060c'\"\u201c\u201d\u2018\u2019\u300c\u300d\u300e\u300f()*_` "
_AFTER = ".,;:!(-\u2013\u2014\u3002\u3001\u060c\u061b"


def _known() -> dict[str, tuple[tuple[str, str], bool]]:
    found: dict[str, tuple[tuple[str, str], bool]] = {}
    for said, denied in _PAIRS:
        both = (said.split("|")[0], denied.split("|")[0])
        for yes, names in ((True, said), (False, denied)):
            for name in names.split("|"):
                found.setdefault(folded(name), (both, yes))
    return found


_KNOWN = _known()


def says_yes(text: str) -> bool | None:
    """True for a yes, False for a no, with nothing but punctuation around it; None for any other text.

    >>> says_yes("Yes."), says_yes("\u3044\u3044\u3048\u3002"), says_yes("no effusion"), says_yes("\uff1f")
    (True, False, None, None)
    """
    known = _KNOWN.get(folded(text).strip(_EDGES))
    return None if known is None else known[1]


def yes_or_no(text: str) -> tuple[tuple[str, str], bool] | None:
    """The two answers that a text chooses from, and whether it is the first; None unless it begins with a yes or a no.

    What follows has to be parted from it by a comma or the like. Answers that mean the same in a language are one.
    A Spanish or Italian yes is none here: the answers would tell themselves, as a no would be offered beside "yes".

    >>> yes_or_no("No, the heart is normal"), yes_or_no("\u4e0d\u662f\u3002"), yes_or_no("no effusion")
    ((('yes', 'no'), False), (('是', '否'), False), None)
    """
    said = folded(text)
    end = min((place for sign in _AFTER if (place := said.find(sign)) > 0), default=len(said))
    found = _KNOWN.get(said[:end].strip(_EDGES))
    return None if found is None or found[0] == _YES_ONLY else found
