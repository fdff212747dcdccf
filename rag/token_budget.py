"""How many tokens of a prompt one report may take, and how many tokens a text has where no tokeniser is known."""

import re

REPORTS = 8
"""So many reports are to fit beside image and question: the largest k that commands try unless told otherwise. The
budget of a report does not depend on how many are read, so that the prompts of k and k + 1 reports begin alike."""
MOST, FEWEST = 1024, 16
"""A report takes no more tokens than this, however long the model's context is, and may not be limited to fewer."""
ASSUMED_CONTEXT = 4096
"""Tokens that a server's model is taken to read where the server does not say."""

_LETTERS = re.compile(r"[A-Za-z]+")


class TokenBudget:
    """How a model counts what it reads; here for a model of which nothing is known, so that tokens are estimated."""

    @property
    def tokens_per_report(self) -> int:
        """How many tokens of a prompt one report may take; see `share_of_report`."""
        return share_of_report(ASSUMED_CONTEXT, None)

    def count_tokens(self, text: str) -> int:
        """Number of tokens of a text, or more; see `estimated_tokens`."""
        return estimated_tokens(text)

    def without_special_tokens(self, text: str) -> str:
        """A text without what the model would take for a token of its own, such as an image placeholder."""
        return text


def share_of_report(context: int, image: int | None) -> int:
    """How many tokens each report may take, so that eight of them fit.

    Parameters
    ----------
    context
        Tokens that the model reads at most.
    image
        Tokens of a large image, with all that the model's chat template adds; None where they are not known.

    Returns
    -------
    int
        An eighth of what is left when a further eighth of the context is kept for instructions, question and answer;
        where the image's tokens are not known, an eighth of half the context. From `FEWEST` to `MOST`.

    >>> share_of_report(4096, 576), share_of_report(4096, None), share_of_report(131_072, 16_384)
    (376, 256, 1024)
    """
    left = context // 2 if image is None else context * 7 // 8 - image
    return max(FEWEST, min(MOST, left // REPORTS))


def estimated_tokens(text: str) -> int:
    """More tokens than the usual tokenisers make of a report: three letters a token, each other sign a token.

    Letters outside ASCII count as their bytes in UTF-8 less one: ü and я 1, 肺 2.

    >>> estimated_tokens("No effusion."), estimated_tokens("11:45"), estimated_tokens("Erguß"), estimated_tokens("肺")
    (5, 5, 3, 2)
    """
    letters = sum(-(-len(word) // 3) for word in _LETTERS.findall(text))
    others = (sign for sign in _LETTERS.sub("", text) if not sign.isspace())
    return letters + sum(max(1, len(sign.encode(errors="replace")) - 1) for sign in others)
