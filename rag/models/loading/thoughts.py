"""Thoughts that a model writes before its answer: what they stand between, and what is not an answer."""

TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<unused94>", "<unused95>"),
    ("<|channel>", "<channel|>"),
    ("<|channel|>analysis", "<|channel|>final<|message|>"),
)
"""What begins and ends thoughts: of Qwen and DeepSeek, others, Seed, Mistral, Kimi, MedGemma, Gemma and gpt-oss."""

THOUGHT_TOKENS = 1024
"""Tokens that a model may think for, unless the user says otherwise."""


def open_thoughts(text: str) -> tuple[str, str] | None:
    """The tags of thoughts that a text begins and does not end.

    >>> open_thoughts("<think> </think> <think> so"), open_thoughts("<think> so </think> yes")
    (('<think>', '</think>'), None)
    """
    return next((tags for tags in TAGS if text.rfind(tags[0]) > text.rfind(tags[1])), None)


def begun_thoughts(text: str) -> tuple[str, str] | None:
    """The tags of thoughts that a text begins with, or is the beginning of.

    >>> begun_thoughts(" <think>so"), begun_thoughts("<thin"), begun_thoughts("< 5 mm"), begun_thoughts("")
    (('<think>', '</think>'), ('<think>', '</think>'), None, None)
    """
    said = text.lstrip()
    return next(
        (tags for tags in TAGS if said.startswith(tags[0]) or (len(said) > 3 and tags[0].startswith(said))), None
    )


def without_thoughts(text: str) -> str | None:
    """An answer without the thoughts before it; None if it ends inside of them.

    >>> without_thoughts("<think>so</think> yes"), without_thoughts("<think>so, yes"), without_thoughts("yes")
    (' yes', None, 'yes')
    """
    begun = begun_thoughts(text)
    if begun is None:
        return text
    _, ended, answer = text.rpartition(begun[1])
    return answer if ended else None
