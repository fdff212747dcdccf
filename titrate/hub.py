"""A model of the hub: which version a name means, its files in a folder of this machine, and whether they are whole."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from titrate.errors import InputError
from titrate.text import first_line

PATIENCE = 4.0
"""Seconds in which the hub has to say what a name means; later it counts as unreachable."""

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHTS, _SHARDS, _CONFIGURATION = "model.safetensors", "model.safetensors.index.json", "config.json"
_READ = {".json", ".jinja", ".txt", ".model"}
"""Suffixes of what is read besides weights: configuration, vocabulary, chat template."""


class _Unreachable(Exception):
    """Why the hub does not answer."""


def split_name(name: str) -> tuple[str, str | None]:
    """The repository and the revision that ``OWNER/NAME@REVISION`` names; None where it names no revision.

    >>> split_name("owner/name@v1.0"), split_name("owner/name")
    (('owner/name', 'v1.0'), ('owner/name', None))
    """
    repository, _, revision = name.partition("@")
    return repository, revision or None


def fetch_model(name: str) -> tuple[Path, str]:
    """The folder with a model's files, and the commit of the hub that they are of.

    The hub is asked once what the name means. Files that are not in the local cache are downloaded; where the hub
    cannot be reached, the version that was downloaded last is taken from there.

    Parameters
    ----------
    name
        ``OWNER/NAME`` or ``OWNER/NAME@REVISION``: a branch, a tag or a commit.

    Raises
    ------
    InputError
        If there is no such model, it holds no safetensors weights, or it is neither reachable nor in the cache.
    """
    from huggingface_hub import hf_hub_download  # who needs no model of the hub need not have its client

    repository, revision = split_name(name)
    if not _REPOSITORY.fullmatch(repository) or ".." in name:
        raise InputError(f"{name} is no name on the hub; write OWNER/NAME or OWNER/NAME@REVISION, or give a folder")
    try:
        try:
            commit, files = _within(PATIENCE, lambda: _on_the_hub(repository, revision))
        except _Unreachable as reason:
            return _cached(name, repository, revision, str(reason))
        if _CONFIGURATION not in files:
            raise InputError(f"no model in {name}: it has no {_CONFIGURATION}")
        folder = Path(hf_hub_download(repository, _CONFIGURATION, revision=commit)).parent
        read = [file for file in files if "/" not in file and PurePosixPath(file).suffix in _READ]
        for file in sorted(read):
            hf_hub_download(repository, file, revision=commit)
        for file in weight_files(name, folder, files):  # last: where they are, all else is
            hf_hub_download(repository, file, revision=commit)
    except InputError:
        raise
    except Exception as error:  # the hub's client raises many kinds
        raise InputError(f"cannot load model {name}: {first_line(error)}") from error
    return folder, commit


def check_complete(name: str, loading: Mapping[str, Any]) -> None:
    """Refuse a model some of whose weights were not in its files, or have another shape there.

    What is missing would be random numbers, and other ones in each run.

    Parameters
    ----------
    name
        The model's, for the message.
    loading
        What transformers says of the loading (``output_loading_info``).

    Raises
    ------
    InputError
        If anything is missing.
    """
    missing, misshapen = sorted(loading["missing_keys"]), sorted(str(key) for key in loading["mismatched_keys"])
    if not missing and not misshapen:
        return
    first, what = (missing[0], "missing") if missing else (misshapen[0], "of another shape than its configuration says")
    unused = len(loading["unexpected_keys"])
    more = f"; {unused} others have names that it does not know" if unused else ""
    raise InputError(
        f"cannot load model {name}: {len(missing) + len(misshapen)} of its weights are {what}, {first} first{more}; "
        "download it again, or use the version of transformers that it was saved with"
    )


def _on_the_hub(repository: str, revision: str | None) -> tuple[str, set[str]]:
    """The commit that a revision names now, and the names of its files."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        raise _Unreachable("HF_HUB_OFFLINE is set")
    try:
        # It also writes down which commit the name means, for when the hub cannot be reached.
        commit = HfApi().resolve_revision(repository, revision=revision).resolved
        found = HfApi().model_info(repository, revision=commit, timeout=PATIENCE)
    except HfHubHTTPError as error:
        if error.response.status_code >= 500:
            raise _Unreachable(f"the hub answers {error.response.status_code}") from error
        raise
    except Exception as error:  # of the HTTP library, whichever the hub's client uses: names, time, connections
        raise _Unreachable(f"the hub cannot be reached ({type(error).__name__})") from error
    return commit, {file.rfilename for file in found.siblings or ()}


def _within(seconds: float, ask: Callable[[], tuple[str, set[str]]]) -> tuple[str, set[str]]:
    """What the hub says, or `_Unreachable`: looking up a host's name takes as long as the system likes."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        raise _Unreachable(f"the hub did not answer within {seconds:.0f} seconds")
    if isinstance(answers[0], BaseException):
        raise answers[0]
    commit, files = answers[0]
    return commit, files


def _cached(name: str, repository: str, revision: str | None, reason: str) -> tuple[Path, str]:
    """The version in the local cache that was downloaded last under this name."""
    from huggingface_hub import constants

    kept = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    reference = kept / "refs" / (revision or constants.DEFAULT_REVISION)
    commit = reference.read_text().strip() if reference.is_file() else revision or ""
    folder = kept / "snapshots" / commit
    missing = _CONFIGURATION
    if commit and (folder / _CONFIGURATION).is_file():
        files = {path.name for path in folder.iterdir()}
        absent = sorted(set(weight_files(name, folder, files)) - files)
        if not absent:
            return folder, commit
        missing = absent[0]
    raise InputError(
        f"cannot load model {name}: {reason}, and its {missing} is not in the local cache; download it where the hub "
        f"can be reached (hf download {repository} --local-dir FOLDER), and give that folder in place of the name"
    )


def weight_files(name: str, folder: Path, files: set[str]) -> list[str]:
    """The names of a model's weight files, of which some may not be in its folder yet.

    Parameters
    ----------
    name
        The model's, for messages.
    folder
        Its folder; the list of its files of weights is in there, where it has several.
    files
        Names of all its files.

    Raises
    ------
    InputError
        If it has no weights as safetensors, or names some in another folder.
    """
    if _SHARDS in files:
        try:
            named = set(json.loads((folder / _SHARDS).read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(f"cannot load model {name}: {_SHARDS} is damaged ({first_line(error)})") from error
        if strange := sorted(str(file) for file in named if not isinstance(file, str) or "/" in file or "\\" in file):
            raise InputError(f"cannot load model {name}: {_SHARDS} names {strange[0]}, which lies in another folder")
        return sorted(named)
    if _WEIGHTS in files:
        return [_WEIGHTS]
    raise InputError(
        f"cannot load model {name}: it has no weights in safetensors format, the only one that is read; "
        "use another version, or convert it"
    )
