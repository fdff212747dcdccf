"""The command line: parse, call, print. Everything heavy is imported by the command that needs it.

Answers go to stdout, progress and notes to stderr.
Exit codes: 0 done, 1 anything else, 2 bad input, 3 nothing certified, or nothing gained by tuning.
"""

import os
import traceback
from pathlib import Path
from typing import Any

import click

from commands.ask import ask
from commands.calibrate import calibrate
from commands.click_parts import SectionedCommand, example, personal_option, settings_of
from commands.evaluate import evaluate
from commands.index import index
from commands.info import info
from commands.mine import mine
from commands.output import readable_messages, say
from commands.paths import FILE, FOLDER
from commands.train import train
from commands.tune import tune
from titrate import STOPS, TitrateError, __version__, read_settings

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


DEBUG = "TITRATE_DEBUG"
"""Set in the environment, it shows the traceback of what nobody foresaw."""

ORDER = ("index", "info", "ask", "calibrate", "evaluate", "mine", "train", "tune", "demo")
"""Of the work, and so of the help."""


class Commands(click.Group):
    """Turns the exceptions that are ours into one line on stderr and an exit code, and our warnings into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the work."""
        return sorted(super().list_commands(ctx), key=ORDER.index)

    def make_context(self, *parts: Any, **more: Any) -> click.Context:
        """Read what is before the command's name."""
        with readable_messages():
            return super().make_context(*parts, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with readable_messages():
                return super().invoke(ctx)
        except TitrateError as error:
            say(f"titrate: {error}", err=True)
            ctx.exit(error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError, *STOPS):
            raise  # click's own business
        except BaseException as error:  # a fault of ours, or what a library in Rust raises when it panics
            if os.environ.get(DEBUG):
                raise
            say(f"titrate: {_unexpected(error)}", err=True)
            ctx.exit(TitrateError.exit_code)


def _unexpected(error: BaseException) -> str:
    """One line about an exception that nobody foresaw; not its own words, which may quote a report or a key."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return (
        f"unexpected {type(error).__name__}{why} in {Path(place.filename).name}, line {place.lineno}; this is a fault "
        f"of Titrate: run again with {DEBUG}=1 to see how it came about, and report it"
    )


@click.group(cls=Commands, context_settings={"auto_envvar_prefix": "TITRATE", "show_default": True})
@click.version_option(__version__)
@click.option(
    "--config",
    type=FILE,
    help="Settings file.  [default: titrate.toml, if it is there, without models, servers, keys, and what is written]",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """Answer questions about medical images from the reports of similar cases, with a guarantee. Not a medical device.

    Every option can also be set in titrate.toml ([ask] k = 3) or the environment (TITRATE_ASK_K=3).
    """
    assert isinstance(ctx.command, click.Group)
    ctx.default_map = read_settings(config, {name: settings_of(each) for name, each in ctx.command.commands.items()})


@main.command(cls=SectionedCommand, epilog=example("titrate demo --out demo"))
@personal_option("--out", type=FOLDER, default=Path("demo"), help="Folder for what the demo makes.")
def demo(out: Path) -> None:
    """Run the whole way on the samples, with explanations.

    From an index to a trained adapter and a certified answer; minutes on two cores. Needs a checkout.
    """
    try:
        from samples.demo import run_demo
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "samples":
            raise
        raise TitrateError("the demo needs the samples: run `python cli.py demo` in a checkout") from error
    run_demo(out, lambda arguments: main.main(arguments, prog_name="titrate", standalone_mode=False) or 0)


for _command in (index, info, ask, calibrate, evaluate, mine, train, tune):
    main.add_command(_command)

if __name__ == "__main__":
    main(prog_name="titrate")
