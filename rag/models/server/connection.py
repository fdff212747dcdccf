"""Talking to an OpenAI-compatible server: what may pass is tried again; the rest becomes one line with URL and fix.

Only the address that the user named is ever asked, through no proxy; a server that points elsewhere is not followed.
Replies are read up to a size, counted as they are unpacked, and for a time, however slowly their bytes come.
"""

import re
import ssl
from collections.abc import Callable, Sequence
from threading import get_ident
from time import monotonic
from typing import Any, TypeVar

import httpx

from rag.models.server.gate import AT_ONCE, Gate
from titrate import (
    TRANSIENT_STATUSES,
    InputError,
    TitrateError,
    TransientError,
    check_address,
    check_api_key,
    in_parallel,
    parse_json,
    quote,
    retry,
    stated_reason,
)

EXAMPLE = "http://localhost:8000/v1#MODEL"
TIMEOUT_S = 300
"""For a whole reply, from the request to its last byte."""
CONNECT_S = 10
MOST_BYTES = 32 * 2**20
"""Of a reply, unpacked; the longest that is asked for takes a tenth."""
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try of a request that failed for a reason that may pass; longer, up to a minute, if the
server says so."""
AWAY_S = (15.0,) * 38
"""Pauses after these for a server that was there and is away: a large model takes minutes to be loaded again."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_REASON = ("error", "detail", "message")
"""Where such servers put the reason of a failure."""

_TOO_MANY = frozenset({408, 429, 503, 504})
"""Statuses of a server that has more to do than it can."""

_TOO_LONG = re.compile(
    r"context.{0,8}(length|size|window)|too long|too many tokens|max_model_len|maximum.{0,20}tokens", re.IGNORECASE
)


class RefusedError(TitrateError):
    """The server does not take this request as it is; another might pass."""


class TooLongError(InputError):
    """A prompt is too long for the model.

    Parameters
    ----------
    message
        As of any error.

    Attributes
    ----------
    row
        Which of the requests that were made together.
    """

    row = 0


class OpenAIServer:
    """An address and a key.

    Parameters
    ----------
    url
        Up to and with ``/v1``.
    api_key
        None if the server wants none. It is sent to this address and goes nowhere else.

    Raises
    ------
    InputError
        If the URL is none, or the key would go over plain http to another machine.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = check_address(url, "an OpenAI-compatible server", EXAMPLE)
        if api_key is not None:
            check_api_key(self.url, api_key)
        self._api_key = api_key
        self._name = f"server {self.url}"
        # What the system trusts, so that a hospital's own authority counts; SSL_CERT_FILE names another.
        self._trusted = ssl.create_default_context()
        self._begun: dict[int, float] = {}  # by thread: when the request under way was made
        self._gate = Gate()
        self.patient, self.was_away = False, False
        self.on_away: Callable[[str], None] = lambda message: None

    def models(self) -> list[dict[str, Any]]:
        """What the server says of its models; nothing if it has no list of them.

        Somebody who mistyped the address should not have to wait: this is tried once.

        Raises
        ------
        TitrateError
            If the server cannot be reached, refuses the key, or is no such server.
        """
        [(status, content)] = self._together([None], lambda client, _: self._send(client, "GET", "/models", None))
        if status in (404, 405, 501):
            return []
        listed = self._parsed(status, content).get("data")
        if not isinstance(listed, list):
            raise self._not_openai()
        return [entry for entry in listed if isinstance(entry, dict) and isinstance(entry.get("id"), str)]

    def complete(self, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The first choice of a chat completion for each request, in the order of these.

        Raises
        ------
        InputError
            If a prompt is too long for the model.
        RefusedError
            If the server does not take a request as it is.
        TitrateError
            If the server fails for good, or does not answer as such servers do.
        """
        return self._together(list(enumerate(requests)), self._choice)

    def beside(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer of what a server offers beside OpenAI's interface, such as ``/tokenize``; None if it does not.

        Raises
        ------
        TitrateError
            If the server fails for good.
        """
        root = self.url.removesuffix("/v1")
        if root == self.url:
            return None
        send = lambda client, _: self._send(client, "POST", path, body, root=root)  # noqa: E731
        [(status, content)] = self._together([None], send)
        if status != 200:
            return None
        try:
            value = parse_json(content)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def _together(self, items: Sequence[_Item], action: Callable[[httpx.Client, _Item], _Result]) -> list[_Result]:
        with self._client() as client:
            return in_parallel(lambda item: action(client, item), items, AT_ONCE, self._watch)

    def _watch(self) -> None:
        """Give up what takes too long: a reply of a byte now and then never runs into the HTTP library's limits."""
        if any(begun + TIMEOUT_S + 1 < monotonic() for begun in list(self._begun.values())):
            self._begun.clear()
            raise self._slow()

    def _choice(self, client: httpx.Client, numbered: tuple[int, dict[str, Any]]) -> dict[str, Any]:
        try:
            answer = self._parsed(*self._send(client, "POST", "/chat/completions", numbered[1]))
        except TooLongError as error:
            error.row = numbered[0]
            raise
        match answer:
            case {"choices": [{"message": {} as message} as choice, *_]} if isinstance(
                message.get("content"), str | None
            ):
                return {**choice, "system_fingerprint": answer.get("system_fingerprint")}
        raise self._not_openai()

    def _client(self) -> httpx.Client:
        headers = {"accept-encoding": "identity"}
        if self._api_key is not None:
            headers["authorization"] = f"Bearer {self._api_key}"
        timeout = httpx.Timeout(TIMEOUT_S, connect=CONNECT_S)
        # Not the environment's: it could name a proxy, or a password file.
        return httpx.Client(headers=headers, timeout=timeout, verify=self._trusted, trust_env=False)

    def _send(
        self, client: httpx.Client, method: str, path: str, body: Any, root: str | None = None
    ) -> tuple[int, bytes]:
        """Status and body of an answer that is not a failure that may pass. Every request may safely be made twice."""

        def once() -> tuple[int, bytes]:
            # The cause is left out of what is raised: it carries the request, and with it the key and the image.
            try:
                with self._gate.passing():
                    self._begun[get_ident()] = monotonic()
                    with client.stream(method, (root or self.url) + path, json=body) as response:
                        content = self._read(response)
                        if client.is_closed:  # after another request's failure, while this one was connecting
                            response.extensions["network_stream"].close()
                    if response.status_code in _TOO_MANY:
                        self._gate.overloaded()
            except httpx.ReadTimeout:
                raise self._slow() from None
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                why = quote(error, self._api_key)
                raise TransientError(
                    f"cannot reach {self._name}: {why}; check the address and that the server runs",
                    away=isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError | httpx.ConnectTimeout),
                ) from None
            finally:
                self._begun.pop(get_ident(), None)
            if response.status_code in TRANSIENT_STATUSES:
                raise TransientError(
                    f"{self._name} fails ({response.status_code}: {self._reason(content)}); see its log and try again",
                    _seconds(response.headers.get("retry-after")),
                    away=response.status_code in (502, 503),
                )
            self._gate.answered()
            return response.status_code, content

        # Somebody who mistyped the address should not have to wait.
        pauses = () if method == "GET" else PAUSES_S
        return retry(once, pauses, away_s=AWAY_S if self.patient else (), notice=self._waits if self.patient else None)

    def _waits(self, error: TransientError, wait_s: float) -> None:
        self.was_away = self.was_away or error.away
        if wait_s > max(PAUSES_S, default=0) * 1.25 and error.away:
            self.on_away(f"{self._name} went away; waiting up to ten minutes for it to come back")

    def _read(self, response: httpx.Response) -> bytes:
        found, end = bytearray(), monotonic() + TIMEOUT_S
        if response.headers.get("content-encoding", "identity") not in ("identity", "gzip", "deflate"):
            raise self._not_openai()
        for part in response.iter_bytes():
            found += part
            if len(found) > MOST_BYTES:
                raise TitrateError(
                    f"{self._name} answers with more than {MOST_BYTES // 2**20} MiB; check that it is the right server"
                )
            if monotonic() > end:
                raise self._slow()
        return bytes(found)

    def _parsed(self, status: int, content: bytes) -> dict[str, Any]:
        if status != 200:
            raise self._refusal(status, content)
        try:
            value = parse_json(content)
        except ValueError:
            raise self._not_openai() from None
        if not isinstance(value, dict):
            raise self._not_openai()
        return value

    def _slow(self) -> TitrateError:
        return TitrateError(f"{self._name} did not answer within {TIMEOUT_S} s; check that it runs and its load")

    def _not_openai(self) -> TitrateError:
        return TitrateError(
            f"{self._name} does not answer as an OpenAI-compatible one does; check the address, which often ends in /v1"
        )

    def _refusal(self, status: int, content: bytes) -> TitrateError:
        said = self._reason(content)
        match status:
            case 401 | 403 if self._api_key is None:
                return TitrateError(f"{self._name} wants an API key; set TITRATE_MLLM_API_KEY")
            case 401:
                return TitrateError(f"{self._name} refuses the API key; check TITRATE_MLLM_API_KEY")
            case 413:
                return InputError(f"{self._name} takes no request of this size; raise its limit or send smaller images")
            case _ if 300 <= status < 400:
                return TitrateError(
                    f"{self._name} points elsewhere ({status}), which is not followed; give that address"
                )
            case _ if _TOO_LONG.search(stated_reason(content, _REASON)):
                return TooLongError(f"the prompt is too long for {self._name} ({said}); lower k, or raise its limit")
        return RefusedError(f"{self._name} refuses the request ({status}: {said}); check the address and the model")

    def _reason(self, content: bytes) -> str:
        return quote(stated_reason(content, _REASON), self._api_key)


def _seconds(header: str | None) -> float:
    return float(header) if header and re.fullmatch(r"\d{1,6}", header) else 0.0
