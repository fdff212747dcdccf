"""Servers that a user names: their addresses, the keys that may be sent there, and trying again what may pass."""

import ipaddress
import random
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from titrate.errors import InputError, TitrateError
from titrate.reading import parse_json

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses of failures that may pass: the server, or a proxy before it, is busy, starting, or out of time."""

LONGEST_WAIT_S = 60

_Result = TypeVar("_Result")


class TransientError(TitrateError):
    """A request to a server failed for a reason that may pass.

    Parameters
    ----------
    message
        As of any error.
    wait_s
        Seconds after which the server asks to be tried again.
    away
        Whether nobody answered for the server, as while it starts anew.
    """

    def __init__(self, message: str, wait_s: float = 0.0, *, away: bool = False) -> None:
        super().__init__(message)
        self.wait_s, self.away = wait_s, away


def retry(
    action: Callable[[], _Result],
    pauses_s: Sequence[float],
    *,
    away_s: Sequence[float] = (),
    notice: Callable[[TransientError, float], None] | None = None,
) -> _Result:
    """What an action returns, tried again for as long as it raises `TransientError`.

    Parameters
    ----------
    action
        It must be safe to do twice.
    pauses_s
        Seconds before each further try, and up to a quarter more, so that many who wait do not come back at once;
        longer, up to a minute, if the server asks for it. Empty for one try only.
    away_s
        Pauses of further tries after these, for as long as the server is away.
    notice
        Told of each failure that is waited for, and for how many seconds.

    Raises
    ------
    TransientError
        That of the last try.
    """
    for number in range(len(pauses_s) + len(away_s)):
        try:
            return action()
        except TransientError as error:
            if number >= len(pauses_s) and not error.away:
                raise
            pause_s = [*pauses_s, *away_s][number] * random.uniform(1, 1.25)
            wait_s = max(pause_s, min(error.wait_s, LONGEST_WAIT_S))
            if notice is not None:
                notice(error, wait_s)
        time.sleep(wait_s)
    return action()


def stated_reason(content: bytes, names: Sequence[str]) -> str:
    """The reason in a server's answer, or the whole answer, which may be a proxy's, if it is not where it should be.

    Parameters
    ----------
    content
        Body of the answer.
    names
        Keys of JSON objects to follow from the outside to the inside; those that are not there are passed over.

    >>> stated_reason(b'{"error": {"message": "no such model"}}', ("error", "detail", "message"))
    'no such model'
    >>> stated_reason(b"<h1>Bad Gateway</h1>", ("error",))
    '<h1>Bad Gateway</h1>'
    """
    try:
        value = parse_json(content)
    except ValueError:
        value = None
    for name in names:
        if isinstance(value, dict) and value.get(name):
            value = value[name]
    return value if isinstance(value, str) else content.decode(errors="replace")


def is_address(name: str) -> bool:
    """Whether something named by the user is a server's address."""
    return name.startswith(("http://", "https://"))


def check_address(url: Any, server: str, example: str) -> str:
    """A server's address without a slash at its end, refused if it is none or gives away a password.

    Parameters
    ----------
    url
        What the user wrote, or what a file holds.
    server
        What should be there, for messages: "a Qdrant server".
    example
        How its address is written.

    Raises
    ------
    InputError
        If it is not http or https with a host, or holds a user, a password, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        plain = re.fullmatch(r"[\x21-\x7e]+", url) is not None
    except (TypeError, ValueError, AttributeError):  # not text, or a port that is no number
        sound = plain = False
    if not sound or not plain:
        raise InputError(f"{url!r} is not the URL of {server}; write it like {example}")
    if parts.username is not None or parts.password is not None:
        raise InputError(f"the URL of {server} must not hold a user or password; use the API key")
    if parts.query or parts.fragment:
        raise InputError(f"{url!r} has a query or fragment; write it like {example}")
    return str(url).rstrip("/")


def check_api_key(url: str, api_key: str) -> None:
    """Refuse a key that could be read on its way: it goes over https, or to this machine itself.

    Raises
    ------
    InputError
        If it would go over plain http to another machine, or cannot be sent at all.
    """
    # The HTTP library would quote a key that it cannot send in its error.
    if not re.fullmatch(r"[\x21-\x7e]+", api_key):
        raise InputError("the API key is empty or holds spaces, line breaks or other characters that no key has")
    if not is_private(url):
        host = urlsplit(url).hostname or ""
        raise InputError(f"an API key must not go over plain http to {host}; use https, or a tunnel to localhost")


def is_private(url: str) -> bool:
    """Whether nobody can read along on the way to this address: it is https, or this machine itself."""
    return is_this_machine(url) or urlsplit(url).scheme == "https"


def is_this_machine(url: str) -> bool:
    """Whether an address is this machine's own: localhost or a loopback address."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
