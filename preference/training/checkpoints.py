"""An adapter's or a model's folder in the making: checkpoints inside it, and the result only when it is whole."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from titrate import InputError, write_atomic

# They come last: a folder without them is no adapter, nor a model, to anyone.
_SETTINGS = ("adapter_config.json", "config.json")
_STATE = "trainer_state.json"


class Checkpoints:
    """The checkpoints of one training run, in a folder of the adapter's folder.

    Parameters
    ----------
    out
        Where the adapter, or the whole model, will be.
    writes
        Whether this process writes; of several that train together one does.
    """

    def __init__(self, out: Path, *, writes: bool = True) -> None:
        self.out, self.folder = out, out.absolute() / "checkpoints"
        self._run, self._writes = self.folder / "run.json", writes

    def refuse_finished(self) -> None:
        """Make sure that nothing finished would be overwritten.

        Raises
        ------
        InputError
            If there is one.
        """
        if any((self.out / name).exists() for name in _SETTINGS):
            raise InputError(f"{self.out} holds an adapter or a model already; give another folder, or delete it first")

    @contextmanager
    def open_run(self, identity: dict[str, Any]) -> Iterator[Path | None]:
        """Begin or take up a run; yields the checkpoint to go on from, if any.

        A run that fails before its first checkpoint leaves nothing behind.

        Raises
        ------
        InputError
            If the folder holds checkpoints of a run with other pairs, settings or model, or cannot be written to.
        """
        identity = json.loads(json.dumps(identity))  # as it is read back
        made = [folder for folder in (self.folder, self.out, *self.out.parents) if not folder.exists()]
        resume_from = self._newest()
        if resume_from is not None and _read(self._run) != identity:
            raise InputError(
                f"{self.folder} holds checkpoints of another run (other pairs, settings or model); "
                "delete them or give another folder"
            )
        if not self._writes:
            yield resume_from
            return
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

    def folder_of_step(self, step: int) -> Path:
        """Where the checkpoint after a step is."""
        return self.folder / f"checkpoint-{step}"

    def finish(self, save: Callable[[Path], object]) -> None:
        """Have the result saved to a folder, move all that is in it to its place, and drop the checkpoints."""
        whole = self.folder / "whole"
        shutil.rmtree(whole, ignore_errors=True)
        save(whole)
        for file in sorted(whole.iterdir(), key=lambda file: file.name in _SETTINGS):
            if file.is_file():
                file.chmod(0o644)  # PEFT leaves weights to their owner alone
            os.replace(file, self.out / file.name)
        shutil.rmtree(self.folder)

    def _newest(self) -> Path | None:
        """The newest whole checkpoint: the trainer writes its state file last."""
        found = (path for path in self.folder.glob("checkpoint-*") if _read(path / _STATE) is not None)
        return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)


def _read(path: Path) -> Any:
    """A JSON file's value; None where it is missing or was cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
