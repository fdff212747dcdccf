"""Checkpoints of a training run, kept inside the folder that the result will be in once it is whole."""

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from titrate import InputError, one_line_errors, parse_json, read_text, write_atomic

# They are moved last: a folder without them is not taken for an adapter, a model or an encoder.
_SETTINGS = ("adapter_config.json", "config.json", "open_clip_config.json")
_STATE = "trainer_state.json"


class Checkpoints:
    """The checkpoints of one training run, in the folder ``checkpoints`` inside the result's folder.

    Parameters
    ----------
    out
        The folder in which the adapter, the whole model or the encoder will be.
    writes
        Whether this process writes; of the processes that train together one does.
    """

    def __init__(self, out: Path, *, writes: bool = True) -> None:
        self.out, self.folder = out, out.absolute() / "checkpoints"
        self._run, self._writes = self.folder / "run.json", writes

    def refuse_finished(self) -> None:
        """Make sure that no finished result would be overwritten.

        Raises
        ------
        InputError
            If the folder holds an adapter, a model or an encoder.
        """
        if any(os.path.exists(self.out / name) for name in _SETTINGS):
            raise InputError(
                f"{self.out} holds an adapter, a model or an encoder already; give another folder, or delete it first"
            )

    @contextmanager
    def open_run(self, identity: dict[str, Any]) -> Iterator[Path | None]:
        """Begin a run, or resume one that was interrupted; yields the checkpoint to resume from, or None.

        A run that fails before its first checkpoint leaves nothing behind.

        Parameters
        ----------
        identity
            Everything that the result depends on, as JSON. A run is resumed only with the same.

        Raises
        ------
        InputError
            If the folder holds checkpoints of a run with other data, settings or model, or cannot be written to.
        """
        identity = json.loads(json.dumps(identity))  # tuples become lists, as in what is read from the file
        made = [folder for folder in (self.folder, self.out, *self.out.parents) if not os.path.exists(folder)]
        resume_from = self._newest()
        if resume_from is not None and _read(self._run) != identity:
            raise InputError(
                f"{self.folder} holds checkpoints of another run (other data, settings or model); "
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
                    if os.path.isdir(folder) and not any(folder.iterdir()):
                        folder.rmdir()
            raise

    def folder_of_step(self, step: int) -> Path:
        """The folder of the checkpoint that was written after a step."""
        return self.folder / f"checkpoint-{step}"

    def finish(self, save: Callable[[Path], object]) -> None:
        """Save the result, move it into the result's folder, and delete the checkpoints.

        Parameters
        ----------
        save
            Called with a folder that does not exist yet, and writes the result to it.

        Raises
        ------
        TitrateError
            If the disk is full, or the result cannot be written for another reason; the checkpoints stay.
        """
        whole = self.folder / "whole"
        remedy = "free some space and run again: nothing is trained twice"
        with one_line_errors(f"cannot write what was trained to {self.out}", remedy):
            shutil.rmtree(whole, ignore_errors=True)
            save(whole)
            mode = _mode_of_new_files(whole)
            for file in sorted(whole.iterdir(), key=lambda file: file.name in _SETTINGS):
                if os.path.isfile(file):
                    file.chmod(mode)  # PEFT makes weights readable to their owner alone
                else:
                    shutil.rmtree(self.out / file.name, ignore_errors=True)  # moved before a kill
                os.replace(file, self.out / file.name)
            shutil.rmtree(self.folder)

    def _newest(self) -> Path | None:
        """The newest checkpoint that is whole: the trainer writes its state file last, so one without it is not."""
        found = (path for path in self.folder.glob("checkpoint-*") if _read(path / _STATE) is not None)
        return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)


def _mode_of_new_files(folder: Path) -> int:
    """Who may read what is written without a mode of its own: the umask, which cannot be asked for without a change."""
    probe = folder / ".mode"
    probe.touch()
    try:
        return stat.S_IMODE(probe.stat().st_mode)
    finally:
        probe.unlink()


def _read(path: Path) -> Any:
    """The value in a JSON file; None where the file is missing or was cut short."""
    try:
        return parse_json(read_text(path))
    except (OSError, ValueError):
        return None
