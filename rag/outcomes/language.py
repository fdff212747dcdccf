"""Texts that are not in English, which rules written for English would read as saying nothing."""

import re
import unicodedata
from functools import lru_cache


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENGLISH = _names(
    "the a an of is are was were and or with without no not in on at to for from by this that there it has have be been"
    " seen noted right left normal"
)
_OTHERS = _names(
    "und der das dem den ein eine einer kein keine keinen nicht ist sind mit ohne beidseits "
    "le du aux une est sont avec sans aucun aucune dans droit droite "
    "el los las una del con ningún ninguna sin "
    "il della dello nella senza nessun nessuna è dei "
    "não com uma dos sem nenhum nenhuma "
    "het een geen niet van zonder nie jest bez brak oraz ingen inget inte och med utan ikke"
)
"""Words that stand in most sentences of a language, and hardly in English: of eleven languages in Latin letters."""


def not_english(text: str) -> bool:
    """Whether a text holds letters of another script than English has, or more words that are not English than are.

    Greek letters and single words are let through: α, "situs", "cor pulmonale". A text of a few nouns cannot be told.

    >>> not_english("No effusion; T2 > 3 µm"), not_english("无积液"), not_english("Kein Erguss, Herz nicht vergrößert.")
    (False, True, True)
    """
    if not text.isascii() and any(map(_other_script, set(text))):
        return True
    said = re.findall(r"[^\W\d_]+", text.lower())
    others = len(_OTHERS.intersection(said))
    return others > 1 and others > len(_ENGLISH.intersection(said))


@lru_cache(maxsize=4096)
def _other_script(sign: str) -> bool:
    if not sign.isalpha():
        return False
    plain = unicodedata.normalize("NFKD", sign)[0]
    return not unicodedata.name(plain, "").startswith(("LATIN", "GREEK", "MODIFIER", "FEMININE", "MASCULINE"))
