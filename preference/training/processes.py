"""The processes that `accelerate launch` starts: how many there are, and which of them this is."""

import os

import torch


def is_main_process() -> bool:
    """Whether this process writes and prints: the first of several, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def count() -> int:
    """Number of processes that train together; 1 outside `accelerate launch`."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_device(device: str | None) -> str | None:
    """The torch device of this process: a GPU of its own where several processes train on GPUs, else as given."""
    if count() > 1 and device in (None, "cuda") and torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return device
