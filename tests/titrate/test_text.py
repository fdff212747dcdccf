"""Somebody else's words on one line; the examples in the docstrings are run as well."""

import doctest

import pytest

import titrate.remote
import titrate.text
from titrate import first_line, quote, short_name, shorten


@pytest.mark.parametrize("module", [titrate.text, titrate.remote])
def test_the_examples(module: object) -> None:
    failed, tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert failed == 0 and tried > 0


def test_names_and_texts_are_cut_at_their_limits() -> None:
    assert shorten("a" * 80, 80) == "a" * 80 and shorten("a" * 81, 80) == "a" * 79 + "…"
    assert short_name("a" * 40) == "a" * 40 and short_name("a" * 41) == "a" * 39 + "…"
    assert short_name("\n" + "a" * 50) == ascii("\n" + "a" * 39)


def test_first_lines() -> None:
    assert first_line(ValueError("\n  one\ntwo")) == "one"
    assert first_line(ValueError("  \n ")) == "ValueError"


def test_a_quote_is_short_and_holds_no_secret() -> None:
    assert quote("x" * 300, None) == "x" * 200
    assert quote("a key\nkey b", "key") == "a *** *** b"
    assert quote(b"", "key") == "b''" and quote(" \n", "key") == "no reason given"
