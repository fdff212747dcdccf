"""Options that say where and how a model is loaded."""

import click

from commands.click_parts import Decorator, option


def device_option(section: str) -> Decorator:
    """Where models run."""
    return option(
        "--device", help="A torch device, such as cuda:1.  [default: the first GPU, or else the CPU]", section=section
    )


def dtype_option(section: str) -> Decorator:
    """The numbers that a model computes with."""
    return option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        help="The model's number format; certificates hold for one.  [default: bfloat16 on GPUs, or float32]",
        section=section,
    )


def loading_options(section: str) -> tuple[Decorator, ...]:
    """How a model is loaded otherwise."""
    return (
        option(
            "--device-map",
            metavar="auto|DEVICE",
            help="Where the model alone is: auto spreads it over all GPUs and the CPU.  [default: the device]",
            section=section,
        ),
        option(
            "--quantize-model",
            type=click.Choice(["4bit", "8bit"]),
            help="Load the model's weights in fewer bits: less memory, other answers.",
            section=section,
        ),
        option(
            "--attention",
            type=click.Choice(["eager", "sdpa", "flash_attention_2"]),
            help="How attention is computed.  [default: the model's own]",
            section=section,
        ),
    )


def reading_options(section: str) -> tuple[Decorator, ...]:
    """How much a model reads at once, and how long it may think."""
    return (
        option(
            "--batch-size",
            type=click.IntRange(1),
            help="Prompts that the model reads at once.  [default: 16 on GPUs, 4 on CPUs]",
            section=section,
        ),
        option(
            "--thought-tokens",
            type=click.IntRange(1),
            help="Tokens that a model which thinks before it answers may do so for.  [default: 1024]",
            section=section,
        ),
    )
