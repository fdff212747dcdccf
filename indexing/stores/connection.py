"""Talking to a Qdrant server: what may pass is tried again; what does not becomes one line with the URL and a fix."""

import json
import logging
import re
import warnings
from collections.abc import Callable
from typing import TypeVar

import httpx
from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from titrate import (
    TRANSIENT_STATUSES,
    TitrateError,
    TransientError,
    check_api_key,
    one_line,
    quote,
    retry,
    stated_reason,
)

TIMEOUT_S = 30
PAUSES_S = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try of a request that failed for a reason that may pass. Every request may safely be made
twice."""

OLDEST = (1, 10)
"""The first version of Qdrant that answers the queries made here."""

# The client asserts that an answer has a result, and lets some errors of the JSON parser through.
_NOT_QDRANT = (AssertionError, json.JSONDecodeError, UnicodeDecodeError)
_FAILURES = (ApiException, ResourceExhaustedResponse, *_NOT_QDRANT)
_Answer = TypeVar("_Answer")


class Connection:
    """A connection to a Qdrant server of a version that fits.

    Parameters
    ----------
    url
        Address of the server.
    api_key
        None if the server wants none.
    client
        A client to use; None for a new one.

    Raises
    ------
    InputError
        If the key would go over plain http to another machine.
    TitrateError
        If the server cannot be reached, refuses the key, or does not fit.
    """

    def __init__(self, url: str, api_key: str | None, client: QdrantClient | None) -> None:
        self.url = url
        self._api_key = api_key
        if api_key is not None:
            check_api_key(url, api_key)
        self._client = client or _connect(url, api_key)
        try:
            # At once, or not at all: somebody who mistyped the address should not have to wait.
            version = self._attempt(lambda client: client.info().version, None, ())
            _check_version(url, version)
        except BaseException:
            self._client.close()
            raise

    def call(self, action: Callable[[QdrantClient], _Answer], collection: str | None = None) -> _Answer:
        """Do something with the client, again if it failed for a reason that may pass.

        Parameters
        ----------
        action
            What to do; it must be safe to do twice.
        collection
            Name of the collection that it is done to, for messages.

        Raises
        ------
        TitrateError
            If it fails for good.
        """
        return self._attempt(action, collection, PAUSES_S)

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def _attempt(
        self, action: Callable[[QdrantClient], _Answer], collection: str | None, pauses: tuple[float, ...]
    ) -> _Answer:
        def once() -> _Answer:
            try:
                return action(self._client)
            except _FAILURES as error:
                kind = TransientError if _may_pass(error) else TitrateError
                # The cause is left out: it carries the request, and with it the key.
                raise kind(self._explain(error, collection)) from None

        return retry(once, pauses)

    def _explain(self, error: Exception, collection: str | None) -> str:
        server = f"Qdrant server {self.url}"
        not_qdrant = f"{server} does not answer as Qdrant does; check the address and the port (6333 by default)"
        if isinstance(error, _NOT_QDRANT):
            return not_qdrant
        if isinstance(error, ResponseHandlingException):
            source = error.source
            if isinstance(source, httpx.TimeoutException):
                return f"{server} did not answer within {TIMEOUT_S} s; check the address and the server's load"
            if isinstance(source, ValidationError | json.JSONDecodeError):
                return not_qdrant
            return f"cannot reach {server}: {quote(source, self._api_key)}; check the address and that the server runs"
        if isinstance(error, UnexpectedResponse):
            said = quote(stated_reason(error.content, ("status", "error")), self._api_key)
            match error.status_code:
                case 401 | 403 if self._api_key is None:
                    return f"{server} wants an API key; give one"
                case 401 | 403:
                    return f"{server} refuses the API key; check it and its rights"
                case 404 if collection is not None:
                    return f"{server} has no collection {collection}; build the index anew"
                case status if status is not None and status < 500 and status not in TRANSIENT_STATUSES:
                    return f"{server} refuses the request ({status}: {said}); check the address and its version"
                case status:
                    return f"{server} fails ({status}: {said}); see its log and try again"
        return f"{server} is overloaded; try again later"


def _connect(url: str, api_key: str | None) -> QdrantClient:
    # These log every request's address, and at their lowest level more.
    for name in ("httpx", "httpcore"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warns of a key over http, which goes no further than this machine
        return QdrantClient(url=url, api_key=api_key, timeout=TIMEOUT_S, prefer_grpc=False, check_compatibility=False)


def _check_version(url: str, version: str) -> None:
    parts = re.match(r"(\d+)\.(\d+)", version)
    found = (int(parts[1]), int(parts[2])) if parts else (0, 0)
    if found < OLDEST or found[0] != OLDEST[0]:
        wanted = ".".join(map(str, OLDEST))
        raise TitrateError(
            f"Qdrant server {url} is of version {one_line(version)[:20]}; this needs {wanted} or later, below 2"
        )


def _may_pass(error: Exception) -> bool:
    if isinstance(error, UnexpectedResponse):
        return error.status_code in TRANSIENT_STATUSES
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, httpx.TransportError)
    return isinstance(error, ResourceExhaustedResponse)
