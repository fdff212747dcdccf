"""What an answer costs, in [0, 1]: 0 is right, 1 is wrong.

Closed questions are right or wrong. Open ones lose 1 − F1 over words (as SQuAD scores them, arXiv 1606.05250), reports
1 − F1 over the findings that they affirm, and whoever has a better measure names a function of their own.
"""

import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from rag.outcomes.findings import FINDINGS, affirmed
from titrate import InputError, first_line, hash_files, hash_json, read_text

Loss = Callable[[str, str], float]
"""(answer, reference) to a number in [0, 1]."""

_ARTICLE = re.compile(r"\b(?:[Tt]he|THE|[Aa]n|AN|a|(?<![a-z] )A)(?=\s+\w)")
"""An article stands before a word; the A of "A: axial", "answer A" and "influenza A virus" is none."""

_YES = re.compile(r"\W*yes\W*", re.IGNORECASE)


def token_loss(answer: str, reference: str) -> float:
    """1 − F1 over words, without case, punctuation and articles.

    Where either text is nothing but "a", "an" or "the", as the letter of an option is, all words count.

    >>> token_loss("a right pleural effusion", "pleural effusion")  # precision 2/3, recall 1
    0.19999999999999996
    """
    bare = [_words(_ARTICLE.sub(" ", text)) for text in (answer, reference)]
    if any(len(_words(text)) == 1 and _words(text)[0] in ("a", "an", "the") for text in (answer, reference)):
        bare = [_words(text) for text in (answer, reference)]
    said, wanted = map(Counter, bare)
    if not said or not wanted:
        return float(said != wanted)
    return 1 - 2 * (said & wanted).total() / (said.total() + wanted.total())


def finding_loss(answer: str, reference: str, findings: Sequence[str] = FINDINGS) -> float:
    """1 − F1 over the findings that the texts affirm; no loss where neither affirms any.

    A finding is affirmed where a sentence says that it is there, or likely there: see `rag.outcomes.findings`. Only the
    names themselves are read, in singular and plural, no synonyms of theirs. That is cruder than trained labellers
    (CheXbert, arXiv 2004.09167), and needs none.

    The question is not read, so a "yes" that names no finding affirms none: `nameless_yes` finds those.

    >>> finding_loss("No effusion. Mild cardiomegaly.", "Cardiomegaly with edema.")  # 1 of 1 and 1 of 2: F1 2/3
    0.33333333333333337
    """
    said, wanted = affirmed(answer, findings), affirmed(reference, findings)
    if not said and not wanted:
        return 0.0
    return 1 - 2 * len(said & wanted) / (len(said) + len(wanted))


def nameless_yes(loss: str | None, answers: Sequence[Sequence[str]], references: Sequence[str]) -> int:
    """How many questions have a "yes" for an answer, or for a reference, of which a loss by findings sees nothing.

    Parameters
    ----------
    loss
        Name of the loss, see `load_loss`.
    answers, references
        Of each open question, those with each number of contexts, and the reference answer.
    """
    if loss is None or loss.partition(":")[0] != "findings":
        return 0
    said = (any(map(_YES.fullmatch, (*each, reference))) for each, reference in zip(answers, references, strict=True))
    return sum(said)


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
        return partial(finding_loss, findings=_lines(Path(function)))
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
        sources = [Path(__file__), Path(__file__).with_name("findings.py"), *([Path(place)] if place else [])]
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


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
