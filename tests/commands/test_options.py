"""Options that become one value."""

import click
from click.testing import CliRunner

from commands.click_parts import SectionedCommand, option, option_group
from commands.options import make_view
from indexing import ImageView

HELD = ImageView((40.0, 400.0), 3)


def test_what_is_not_named_of_a_view_stays_as_it_is() -> None:
    assert make_view(None, None, lambda: HELD) is None
    assert make_view(None, 5, lambda: HELD) == ImageView((40.0, 400.0), 5)
    assert make_view((0.0, 80.0), None, lambda: HELD) == ImageView((0.0, 80.0), 3)
    assert make_view(None, 0, ImageView) == ImageView(None, 0)


def test_a_group_is_one_value_under_its_name() -> None:
    @click.command(cls=SectionedCommand)
    @option("--loud", is_flag=True, help="Loud.", section="Voice")
    @option_group(
        "place", lambda x, y: (x, y), (option("--x", type=int, help="X."), option("--y", type=int, help="Y."))
    )
    def say(loud: bool, place: tuple[int | None, int | None]) -> None:
        """Say where."""
        click.echo(f"{loud} {place}")

    assert CliRunner().invoke(say, ["--y", "2", "--loud"]).output == "True (None, 2)\n"
    assert [parameter.name for parameter in say.params] == ["loud", "x", "y"]
