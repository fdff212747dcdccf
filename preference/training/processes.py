"""Which of the processes of `accelerate launch` this is, if it is one."""

import os

import torch


def is_main_process() -> bool:
    """Whether this process is the one that writes and prints; on its own, it is."""
    return os.environ.get("RANK", "0") == "0"


def count() -> int:
    """How many train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_device(device: str | None) -> str | None:
    """The torch device of this process: of several GPUs its own."""
    if count() > 1 and device in (None, "cuda") and torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return device
