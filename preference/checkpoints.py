"""An adapter folder in the making: checkpoints inside it, and an adapter only when it is whole."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from titrate.errors import InputError
from titrate.files import write_atomic

# The settings come last: a folder without them is no adapter to anyone.
_WEIGHTS, _CARD, _SETTINGS = "adapter_model.safetensors", "README.md", "adapter_config.json"


class Checkpoints:
    """The checkpoints of one training run, in a folder of the adapter's folder.

    Parameters
    ----------
    out
        Where the adapter will be.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / "checkpoints"
        self._run = self.folder / "run.json"

    def refuse_finished(self) -> None:
        """Make sure that no finished adapter would be overwritten.

        Raises
        ------
        InputError
            If there is one.
        """
        if (self.out / _SETTINGS).exists():
            raise InputError(f"{self.out} holds an adapter already; give another folder, or delete it first")

    @contextmanager
    def of_run(self, identity: dict[str, Any]) -> Iterator[Path | None]:
        """Begin or take up a run; yields the checkpoint to go on from, if any.

        A run that fails before its first checkpoint leaves nothing behind.

        Raises
        ------
        InputError
            If the folder holds checkpoints of a run with other pairs, settings or model, or cannot be written to.
        """
        made = [folder for folder in (self.folder, self.out, *self.out.parents) if not folder.exists()]
        resume_from = self._newest()
        if resume_from is not None and self._known_identity() != identity:
            raise InputError(
                f"{self.folder} holds checkpoints of another run (other pairs, settings or model); "
                "delete them or give another folder"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make {self.folder}: {error.strerror}; give another folder") from error
        try:
            write_atomic(self._run, json.dumps(identity))
            yield resume_from
        except BaseException:
            if self._newest() is None:
                shutil.rmtree(self.folder, ignore_errors=True)
                for folder in made:
                    if folder.is_dir() and not any(folder.iterdir()):
                        folder.rmdir()
            raise

    def finish(self, save: Callable[[Path], object], card: str) -> None:
        """Have the adapter saved, move it to its place with its card, and drop the checkpoints."""
        whole = self.folder / "adapter"
        save(whole)
        (whole / _WEIGHTS).chmod(0o644)  # PEFT leaves them to their owner alone
        os.replace(whole / _WEIGHTS, self.out / _WEIGHTS)
        write_atomic(self.out / _CARD, card)
        os.replace(whole / _SETTINGS, self.out / _SETTINGS)
        shutil.rmtree(self.folder)

    def _newest(self) -> Path | None:
        """The newest whole checkpoint: the trainer writes its state file last."""
        states = self.folder.glob("checkpoint-*/trainer_state.json")
        return max((state.parent for state in states), key=lambda path: int(path.name.split("-")[1]), default=None)

    def _known_identity(self) -> Any:
        try:
            return json.loads(self._run.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
