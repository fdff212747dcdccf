"""What an answer costs, in [0, 1]: 0 is right, 1 is wrong.

Closed questions are right or wrong. Open ones lose 1 − F1 over words (as SQuAD scores them, arXiv 1606.05250), reports
1 − F1 over the findings that they affirm, and whoever has a better measure names a function of their own.
"""

import importlib.util
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from indexing import words
from rag.outcomes.findings import FINDINGS, affirmed, mentioned
from rag.outcomes.language import not_english
from rag.yes_no import says_yes
from titrate import (
    InputError,
    first_line,
    folded,
    hash_files,
    hash_json,
    one_line,
    read_text,
    short_name,
    shorten,
)

Loss = Callable[[str, str], float]
"""(answer, reference) to a number in [0, 1]."""

_ARTICLE = re.compile(r"\b(?:[Tt]he|THE|[Aa]n|AN|a|(?<![a-z] )A)(?=\s+[\dA-Za-z\u00c0-\u024f])")
"""An article stands before a word; the A of "A: axial", "answer A" and "influenza A virus" is none."""

_ENGLISH_ONLY = "and findings are read in English only; use --loss tokens, or a function of your own"
_YES = re.compile(r"\W*yes\W*", re.IGNORECASE)


_PARTS = (affirmed, not_english, says_yes, words, folded)
"""What computes a loss, in a module of its own each."""


def token_loss(answer: str, reference: str) -> float:
    """1 − F1 over words, without case, punctuation and English articles; 1 where one text says yes and the other no.

    The words are those of `indexing.words`: characters, where a script has no spaces (as MLQA scores Chinese, arXiv
    1910.07475), so that an answer in Chinese or Thai shares more of them by chance than one in English does. Where
    either text is nothing but "a", "an" or "the", as the letter of an option is, all words count. Texts without any
    word, such as "+" and "-", are compared as they are.

    >>> token_loss("a right pleural effusion", "pleural effusion")  # precision 2/3, recall 1
    0.19999999999999996
    >>> token_loss("\u53f3\u4fa7\u79ef\u6db2\u3002", "\u79ef\u6db2"), token_loss("\u4e0d\u662f", "\u662f")
    (0.33333333333333337, 1.0)
    """
    if {says_yes(answer), says_yes(reference)} == {True, False}:
        return 1.0
    texts = [unicodedata.normalize("NFKC", text) for text in (answer, reference)]
    bare = [words(_ARTICLE.sub(" ", text)) for text in texts]
    if any(words(text) in (["a"], ["an"], ["the"]) for text in texts):
        bare = [words(text) for text in texts]
    said, wanted = map(Counter, bare)
    if not said or not wanted:
        return float(said != wanted or folded(answer) != folded(reference))
    return 1 - 2 * (said & wanted).total() / (said.total() + wanted.total())


def finding_loss(answer: str, reference: str, findings: Sequence[str] = FINDINGS) -> float:
    """1 − F1 over the findings that the texts affirm; no loss where neither affirms any.

    A finding is affirmed where a sentence says that it is there, or likely there: see `rag.outcomes.findings`. Only the
    names themselves are read, in singular and plural, no synonyms of theirs. That is cruder than trained labellers
    (CheXbert, arXiv 2004.09167), and needs none.

    The question is not read, so a "yes" that names no finding affirms none: `unread` tells of those. English only is
    read: an answer in another language loses everything, as nobody knows what it affirms.

    Raises
    ------
    InputError
        If the reference is in another language.

    >>> finding_loss("No effusion. Mild cardiomegaly.", "Cardiomegaly with edema.")  # 1 of 1 and 1 of 2: F1 2/3
    0.33333333333333337
    """
    if not_english(reference):
        raise InputError(f"the answer {shorten(one_line(reference), 100)!r} is not in English, {_ENGLISH_ONLY}")
    if not_english(answer):
        return 1.0
    said, wanted = affirmed(answer, findings), affirmed(reference, findings)
    if not said and not wanted:
        return 0.0
    return 1 - 2 * len(said & wanted) / (len(said) + len(wanted))


def reads_findings(loss: str | None) -> bool:
    """Whether a loss, named as for `load_loss`, goes by findings."""
    return loss is not None and loss.partition(":")[0] == "findings"


def unread(loss: str | None, answers: Sequence[Sequence[str]], references: Sequence[str]) -> list[str]:
    """What a loss by findings cannot see of open questions, a sentence for each kind; empty for any other loss.

    Parameters
    ----------
    loss
        Name of the loss, see `load_loss`.
    answers, references
        Of each open question, those with each number of contexts, and the reference answer.
    """
    if loss is None or not reads_findings(loss):
        return []
    names = _findings(loss)
    rows = list(zip(answers, references, strict=True))
    nameless = sum(any(map(_YES.fullmatch, (*each, reference))) for each, reference in rows)
    foreign = sum(any(map(not_english, each)) for each, _ in rows)
    silent = not any(mentioned(reference, names) for reference in references)
    told = []
    if nameless:
        told.append(
            f"{nameless} of {len(rows)} open questions have a yes that names no finding, as an answer or the "
            "reference; --loss findings takes it for affirming none: give such questions options, or another loss"
        )
    if foreign:
        told.append(
            f"{foreign} of {len(rows)} open questions have an answer that is not in English; --loss findings reads "
            "English only and takes it for wrong: have the model answer in English, or name another loss"
        )
    if rows and silent:
        told.append(
            f"none of the {len(rows)} open questions has a reference that names a finding, and --loss findings takes "
            "every answer that names none for right: list your findings with findings:FILE, or name another loss"
        )
    return told


def load_loss(name: str) -> Loss:
    """A loss by its name: ``tokens``, ``findings``, ``findings:FILE`` (a finding a line), or a function of the user's.

    That is ``module:function`` of a module that Python finds, or ``FILE.py:function``. Either runs code: hand over only
    a name that the user gave, never one out of a file that may be somebody else's.

    Raises
    ------
    InputError
        If there is no such loss.
    """
    if name == "tokens":
        return token_loss
    if name == "findings":
        return finding_loss
    module, _, function = name.partition(":")
    if module == "findings":
        return partial(finding_loss, findings=_findings(name))
    try:
        loss: Loss = getattr(_module(module), function)
    except Exception as error:  # whatever the module raises when it is imported
        raise InputError(
            f"no loss {name}: {first_line(error)}; give tokens, findings, module:function or FILE.py:function"
        ) from error
    if not callable(loss):
        raise InputError(f"loss {name} is no function; give tokens, findings or module:function")
    return loss


def loss_fingerprint(name: str) -> str:
    """SHA-256 over a loss's name and what computes it, so that a changed loss does not pass for the one it was.

    Of ``findings:FILE`` the list is part of it; of a function its module's file, but nothing that it imports.

    Raises
    ------
    InputError
        As `load_loss`.
    """
    load_loss(name)
    module, _, place = name.partition(":")
    if module in ("tokens", "findings"):
        own = (Path(str(sys.modules[part.__module__].__file__)) for part in _PARTS)
        sources = [Path(__file__), *own, *([Path(place)] if place else [])]
    else:
        file = getattr(_module(module), "__file__", None)
        sources = [] if file is None else [Path(file)]
    return hash_json([name, hash_files(sources)])


def _module(name: str) -> ModuleType:
    """A module by its name, or by its file."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    key = f"titrate loss {path} {hash_files([path])}"  # run once, and again when it has changed
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no Python file")
        sys.modules[key] = importlib.util.module_from_spec(spec)  # dataclasses look for their module there
        try:
            spec.loader.exec_module(sys.modules[key])
        except BaseException:
            del sys.modules[key]
            raise
    return sys.modules[key]


def _findings(name: str) -> Sequence[str]:
    """The list of findings that a loss of this name goes by."""
    path = name.partition(":")[2]
    if not path:
        return FINDINGS
    found = _lines(Path(path))
    for finding in found:
        if not_english(finding):
            raise InputError(f"{path}: the finding {short_name(finding)} is not in English, {_ENGLISH_ONLY}")
    return found


def _lines(path: Path) -> tuple[str, ...]:
    try:
        found = tuple(line.strip() for line in read_text(path).splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read findings from {path}: {error}; give a text file with a finding a line"
        ) from error
    if not found:
        raise InputError(f"{path} names no finding; give a text file with a finding a line")
    return found
