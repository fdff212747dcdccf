"""Addresses of servers that a user names, and the keys that may be sent there."""

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from titrate.errors import InputError


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
    host = urlsplit(url).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return local or urlsplit(url).scheme == "https"
