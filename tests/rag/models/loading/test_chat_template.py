"""A chat template is a program of a stranger's: it may fail, and it may never end."""

import pytest

from rag import TransformersMLLM
from rag.models.loading import turn
from titrate import InputError

LOOP = "{% for i in range(99999) %}"
ENDLESS = 4 * LOOP + 4 * "{% endfor %}"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (ENDLESS, "longer than"),
        ("{% for i in range(10 * 1000 * 1000) %}{% endfor %}", "Range too big"),
        ("{{ raise_exception('only\nassistants') }}", "only assistants"),
        ("{{ messages[7].content.nothing.here }}", "failed: "),
        ("{% for %}", "failed: "),
        ("{{ ''.__class__.__mro__ }}", "failed: "),
    ],
)
def test_rendering_is_one_line_and_ends(
    tiny: TransformersMLLM, monkeypatch: pytest.MonkeyPatch, template: str, said: str
) -> None:
    monkeypatch.setattr(turn, "_SECONDS", 0.5)
    monkeypatch.setattr(tiny.processor, "chat_template", template)
    with pytest.raises(InputError, match=r"the model's chat template failed: .*; mend") as told:
        tiny.render("Any effusion?")
    assert said in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("template", ["{{ 10 ** 10 ** 10 }}", "{{ 2\n**\n9 }}", {"default": "ok", "x": "{{ 9**9 }}"}])
def test_powers_are_refused_unrendered(template: str | dict[str, str]) -> None:
    with pytest.raises(InputError, match="computes powers"):
        turn.check_template(template)


def test_templates_may_hold_stars() -> None:
    turn.check_template("**Note** {{ messages }} {# 2 ** 3 #} {% generation %}{{ 2 * 3 }}{% endgeneration %}")
    with pytest.raises(InputError, match="chat template cannot be read"):
        turn.check_template("{{ '")
