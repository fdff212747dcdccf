"""Signatures of certificates: who vouches for a file, where its seal only says that it is whole.

The format is minisign's (https://jedisct1.github.io/minisign/): whoever passes a certificate on runs
``minisign -Sm certificate.json`` and sends certificate.json.minisig along; the public key travels by another way.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from titrate import InputError, open_file

if TYPE_CHECKING:
    from minisign import PublicKey

SUFFIX = ".minisig"
"""What the name of a signature adds to that of the file that it signs."""

_MOST_BYTES = 1 << 14
"""Of a key's or a signature's file: four short lines."""

_KEY_LENGTH, _KEY_START = 56, "RW"
"""Of a public key as text."""


def check_signature(path: Path, content: bytes, key: str) -> None:
    """Refuse what was not signed with the secret half of a public key.

    Parameters
    ----------
    path
        The file; its signature lies beside it, with `SUFFIX` after the same name.
    content
        Its bytes, as they were read and are used.
    key
        A minisign public key: the path of its file, or its line of 56 characters that begins with RW.

    Raises
    ------
    InputError
        If there is no signature, or it is by another key or of another content; if the key is none; or if py-minisign
        is not installed.
    """
    try:
        from minisign import Error, Signature
    except ImportError as error:
        raise InputError(
            "signatures are checked with py-minisign, which is not installed; pip install 'titrate[sign]'"
        ) from error
    signed = path.with_name(path.name + SUFFIX)
    public = _public_key(key)
    if not signed.exists():
        raise InputError(f"{path} is not signed: there is no {signed.name} beside it; ask whoever sent it for that")
    try:
        signature = Signature.from_bytes(_read(signed))
    except Error as error:
        raise InputError(f"{signed} is not a minisign signature ({error}); ask whoever sent it for another") from error
    try:
        public.verify(content, signature)
    except Error as error:
        raise InputError(
            f"{path} is not what was signed with this key ({error}); do not use it, and ask whoever sent it"
        ) from error


def _public_key(key: str) -> "PublicKey":
    from minisign import Error, PublicKey

    try:
        if len(key) == _KEY_LENGTH and key.startswith(_KEY_START):
            return PublicKey.from_base64(key)
        return PublicKey.from_bytes(_read(Path(key)))
    except Error as error:
        raise InputError(
            f"{key} is not a minisign public key ({error}); give its file, or its line that begins with {_KEY_START}"
        ) from error


def _read(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    if len(content) > _MOST_BYTES:
        raise InputError(f"{path} is larger than any minisign key or signature; check the path")
    return content
