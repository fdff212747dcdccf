"""Where an index keeps its vectors, and how: in its own folder, or on a Qdrant server or cluster."""

import json
import re
import secrets
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from titrate import InputError, check_address, check_named, note_named, parse_json

Quantization = Literal["none", "int8"]
QUANTILE = 0.99
"""Share of a vector's components that the 8-bit range covers. The rest are clipped: a range that covered outliers, too,
would leave fewer steps for all other components."""
_EXAMPLE = "https://qdrant.example.org:6333"


@dataclass(frozen=True)
class StoreSettings:
    """Where an index keeps its vectors, and how. The API key is no part of it and is never written down.

    Attributes
    ----------
    url
        Of a Qdrant server, http or https, without user or password; None keeps the vectors in the index folder.
    prefix
        Which collections of the server belong to this index; see `renewed`. Empty without a server.
    shards, replicas
        Number of shards of each collection, and of copies of each shard, in a cluster; None leaves them to the server.
    quantization
        ``int8`` searches 8-bit vectors, a quarter of the memory, and ranks what it finds by the full vectors.

    Raises
    ------
    InputError
        If they cannot be used, or need a server and no URL is given.
    """

    url: str | None = None
    prefix: str = ""
    shards: int | None = None
    replicas: int | None = None
    quantization: Quantization = "none"

    def __post_init__(self) -> None:
        if self.url is None:
            if self.prefix or self.shards is not None or self.replicas is not None:
                raise InputError("shards, replicas and a prefix need a Qdrant server; give its URL or leave them out")
        else:
            object.__setattr__(self, "url", check_address(self.url, "a Qdrant server", _EXAMPLE))
        # No hyphen: it ends the prefix in a collection's name, so that no prefix is the beginning of another.
        if not re.fullmatch(r"[a-z0-9]{0,40}", self.prefix):
            raise InputError(f"collection prefix {self.prefix!r} must be at most 40 lower-case letters and digits")
        for name, number in (("shards", self.shards), ("replicas", self.replicas)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise InputError(f"{name} must be a whole number from 1, found {number!r}")
        if self.quantization not in ("none", "int8"):
            raise InputError(f"quantization must be none or int8, found {self.quantization!r}")

    def renewed(self) -> "StoreSettings":
        """The same place under a new prefix, for a build from nothing beside what is already there."""
        return self if self.url is None else replace(self, prefix=f"titrate{secrets.token_hex(6)}")

    def admit(self, url: str | None) -> None:
        """Refuse to talk to a server that only the index names.

        Parameters
        ----------
        url
            Of the server, if the user names it now; it is remembered for later. None if not.

        Raises
        ------
        InputError
            If the vectors are on another server or none, or on one that this user never named on this machine.
        """
        if url is None:
            if self.url is not None:
                check_named("Qdrant server", self.url, "--url")
            return
        url = check_address(url, "a Qdrant server", _EXAMPLE)
        if url != self.url:
            raise InputError(
                f"the index keeps its vectors {self.url or 'in its folder'}, not on {url}; leave out --url"
            )
        note_named(url)

    def agrees(self, other: "StoreSettings") -> bool:
        """True if they differ in nothing but the prefix."""
        return replace(self, prefix="") == replace(other, prefix="")

    def dumps(self) -> str:
        """As JSON, for `loads`."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> "StoreSettings":
        """Read what `dumps` wrote.

        Raises
        ------
        InputError
            If it is malformed.
        """
        try:
            return cls.parse(parse_json(text))
        except ValueError as error:
            raise InputError("the index's store settings are malformed; build the index again") from error

    @classmethod
    def parse(cls, value: Any) -> "StoreSettings":
        """From a JSON object.

        Raises
        ------
        InputError
            If it is malformed.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise InputError("the index's store settings are malformed; build the index again") from error
