"""Talking to an OpenAI-compatible server: what may pass is tried again; the rest becomes one line with URL and fix.

Only the address that the user named is ever asked, through no proxy; a server that points elsewhere is not followed.
"""

import re
import ssl
from collections.abc import Sequence
from typing import Any

import httpx

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
AT_ONCE = 8
"""Requests in flight; servers batch what comes together."""
TIMEOUT_S = 300
CONNECT_S = 10
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try of a request that failed for a reason that may pass; longer, up to a minute, if the
server says so."""

_REASON = ("error", "detail", "message")
"""Where such servers put the reason of a failure."""

_TOO_LONG = re.compile(
    r"context.{0,8}(length|size|window)|too long|too many tokens|max_model_len|maximum.{0,20}tokens", re.IGNORECASE
)


class RefusedError(TitrateError):
    """The server does not take this request as it is; another might pass."""


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

    def models(self) -> list[dict[str, Any]]:
        """What the server says of its models; nothing if it has no list of them.

        Somebody who mistyped the address should not have to wait: this is tried once.

        Raises
        ------
        TitrateError
            If the server cannot be reached, refuses the key, or is no such server.
        """
        with self._client() as client:
            response = self._send(client, "GET", "/models", None, ())
        if response.status_code in (404, 405, 501):
            return []
        listed = self._parsed(response).get("data")
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
        with self._client() as client:
            return in_parallel(lambda request: self._choice(client, request), requests, AT_ONCE)

    def _choice(self, client: httpx.Client, request: dict[str, Any]) -> dict[str, Any]:
        answer = self._parsed(self._send(client, "POST", "/chat/completions", request, PAUSES_S))
        match answer:
            case {"choices": [{"message": {"content": str() | None}} as choice, *_]}:
                return dict(choice)
        raise self._not_openai()

    def _client(self) -> httpx.Client:
        headers = {} if self._api_key is None else {"authorization": f"Bearer {self._api_key}"}
        timeout = httpx.Timeout(TIMEOUT_S, connect=CONNECT_S)
        # Not the environment's: it could name a proxy, or a password file.
        return httpx.Client(headers=headers, timeout=timeout, verify=self._trusted, trust_env=False)

    def _send(
        self, client: httpx.Client, method: str, path: str, body: Any, pauses: tuple[float, ...]
    ) -> httpx.Response:
        """An answer that is not a failure that may pass. Every request may safely be made twice."""

        def once() -> httpx.Response:
            # The cause is left out of what is raised: it carries the request, and with it the key and the image.
            try:
                response = client.request(method, self.url + path, json=body)
            except httpx.ReadTimeout:
                raise TitrateError(
                    f"{self._name} did not answer within {TIMEOUT_S} s; check that it runs and its load"
                ) from None
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                why = quote(error, self._api_key)
                raise TransientError(
                    f"cannot reach {self._name}: {why}; check the address and that the server runs"
                ) from None
            if response.status_code in TRANSIENT_STATUSES:
                raise TransientError(
                    f"{self._name} fails ({response.status_code}: {self._reason(response)}); see its log and try again",
                    _seconds(response.headers.get("retry-after")),
                )
            return response

        return retry(once, pauses)

    def _parsed(self, response: httpx.Response) -> dict[str, Any]:
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            value = parse_json(response.content)
        except ValueError:
            raise self._not_openai() from None
        if not isinstance(value, dict):
            raise self._not_openai()
        return value

    def _not_openai(self) -> TitrateError:
        return TitrateError(
            f"{self._name} does not answer as an OpenAI-compatible one does; check the address, which often ends in /v1"
        )

    def _refusal(self, response: httpx.Response) -> TitrateError:
        status, said = response.status_code, self._reason(response)
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
            case _ if _TOO_LONG.search(stated_reason(response.content, _REASON)):
                return InputError(f"the prompt is too long for {self._name} ({said}); lower k, or raise its limit")
        return RefusedError(f"{self._name} refuses the request ({status}: {said}); check the address and the model")

    def _reason(self, response: httpx.Response) -> str:
        return quote(stated_reason(response.content, _REASON), self._api_key)


def _seconds(header: str | None) -> float:
    return float(header) if header and re.fullmatch(r"\d{1,6}", header) else 0.0
