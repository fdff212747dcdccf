"""Servers that fail, over real HTTP on loopback, and what is refused before any is asked."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from indexing.stores.edge_backend import EdgeBackend
from indexing.stores.open import open_backend
from indexing.stores.server import ServerBackend, ServerStore
from indexing.stores.settings import StoreSettings
from tests.indexing.stores.test_store import random_points
from titrate import InputError, TitrateError

KEY = "a-secret-key-of-the-hospital"
Answer = tuple[int, object]
INFO: Answer = (200, {"title": "qdrant - vector search engine", "version": "1.15.3"})


def done(result: object) -> Answer:
    return 200, {"result": result, "status": "ok", "time": 0.0}


def failed(status: int, reason: str) -> Answer:
    return status, {"status": {"error": reason}, "time": 0.0}


class Server:
    """Answers each request with what `answers` holds for its method and path, or else what `otherwise` says."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {"GET /": [INFO]}
        self.otherwise: Answer = failed(500, "out of order")
        self.delay = 0.0
        self.asked: list[str] = []
        self.keys: set[str | None] = set()
        self.bodies: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                request = f"{self.command} {self.path.partition('?')[0]}"
                outer.asked.append(request)
                outer.keys.add(self.headers["api-key"])
                outer.bodies.append(self.rfile.read(int(self.headers["content-length"] or 0)))
                time.sleep(outer.delay)
                known = outer.answers.get(request, [outer.otherwise])
                status, value = known.pop(0) if len(known) > 1 else known[0]
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def backend(self, api_key: str | None = KEY) -> ServerBackend:
        return ServerBackend(StoreSettings(self.url, prefix="p"), api_key)

    def store(self) -> ServerStore:
        return ServerStore(self.backend()._connection, "p-a-1", 8)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("indexing.stores.connection.PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr("indexing.stores.connection.TIMEOUT_S", 1)
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def refuses(action: Callable[[], object], *said: str) -> None:
    with pytest.raises(TitrateError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message and KEY not in message and caught.value.__cause__ is None
    for part in said:
        assert part in message


def test_refused_connection() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    refuses(lambda: ServerBackend(StoreSettings(url, prefix="p"), KEY), url, "cannot reach", "check the address")
    assert time.monotonic() - started < 3, "a first contact that fails is not tried again and again"


@pytest.mark.parametrize("status", [401, 403])
def test_api_key(server: Server, status: int) -> None:
    server.answers["GET /"] = [failed(status, f"Invalid API key {KEY}")]
    refuses(server.backend, server.url, "refuses the API key")
    refuses(lambda: server.backend(None), server.url, "wants an API key")
    assert server.keys == {KEY, None}


def test_key_that_a_server_repeats_is_not_repeated(server: Server) -> None:
    server.otherwise = failed(400, "x" * 190 + f" {KEY} is what you sent\nand it is wrong")
    refuses(server.store().count, "400", "***")


def test_silence(server: Server) -> None:
    server.delay = 1.5
    refuses(server.backend, server.url, "did not answer within 1 s")


@pytest.mark.parametrize("version", ["1.9.2", "2.0.0", "elephant"])
def test_version(server: Server, version: str) -> None:
    server.answers["GET /"] = [(200, {"title": "qdrant", "version": version})]
    refuses(server.backend, server.url, f"version {version}", "1.10 or later")


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"[]", b"{}"])
def test_something_that_is_not_qdrant(server: Server, body: bytes) -> None:
    server.answers["GET /"] = [(200, body)]
    refuses(server.backend, server.url, "does not answer as Qdrant does")


def test_trouble_that_passes_is_waited_for(server: Server) -> None:
    path = "PUT /collections/p-a-1/points"
    fine = done({"operation_id": 1, "status": "completed"})
    server.answers[path] = [failed(503, "starting"), (502, b"bad gateway"), fine]
    server.store().upsert(random_points(2))
    assert server.asked.count(path) == 3
    sent = json.loads(server.bodies[-1])["points"]
    assert [point["payload"]["id"] for point in sent] == ["0", "1"]
    np.testing.assert_allclose(sent[0]["vector"]["text"], random_points(2)[0].text, atol=1e-6)


def test_points_travel_in_batches(server: Server) -> None:
    path = "PUT /collections/p-a-1/points"
    server.answers[path] = [done({"operation_id": 1, "status": "completed"})]
    server.store().upsert(random_points(300))
    assert [len(json.loads(body)["points"]) for body in server.bodies[1:]] == [128, 128, 44]


def test_trouble_that_stays_is_told(server: Server) -> None:
    store = server.store()
    refuses(lambda: store.upsert(random_points(2)), server.url, "500: out of order", "see its log")
    assert server.asked.count("PUT /collections/p-a-1/points") == 3
    server.otherwise = failed(404, "Collection `p-a-1` doesn't exist!")
    refuses(store.count, "no collection p-a-1", "build the index anew")
    server.otherwise = failed(400, "Wrong input: Vector dimension error: expected dim: 4, got 8")
    refuses(lambda: store.search(np.ones((1, 8), np.float32)), "400", "expected dim: 4, got 8")
    assert server.asked.count("POST /collections/p-a-1/points/query/batch") == 1, "a refusal is not asked for again"
    server.otherwise = (200, {"result": None, "status": "ok", "time": 0.0})
    refuses(store.count, "does not answer as Qdrant does")


def test_missing_collection(server: Server) -> None:
    server.otherwise = done({"exists": False})
    refuses(lambda: server.backend().open("a", 8), server.url, "has no collection p-a-", "build the index anew")


@pytest.mark.parametrize(
    "url",
    ["localhost:6333", "ftp://x", "http://", "http://x:port", "https://x/?a=1", "https://x#a", "http://x y", 6333, ""],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="write it like https://"):
        StoreSettings(url)


def test_settings_that_are_refused() -> None:
    with pytest.raises(InputError, match="must not hold a user or password") as caught:
        StoreSettings("https://me:hunter2@x")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(InputError, match="need a Qdrant server"):
        StoreSettings(shards=2)
    with pytest.raises(InputError, match="replicas must be a whole number"):
        StoreSettings("https://x", replicas=0)
    with pytest.raises(InputError, match="letters and digits"):
        StoreSettings("https://x", prefix="../a")
    for text in ("[]", "{", '{"host": "x"}', '{"quantization": "int4"}'):
        with pytest.raises(InputError):
            StoreSettings.loads(text)


def test_settings_are_kept_and_compared() -> None:
    settings = StoreSettings("https://x:6333/", shards=2, replicas=1, quantization="int8")
    first, second = settings.renewed(), settings.renewed()
    assert first.url == "https://x:6333" and first.prefix != second.prefix
    assert first.agrees(second) and not first.agrees(StoreSettings("https://x:6333"))
    assert StoreSettings.loads(first.dumps()) == first
    assert StoreSettings().renewed() == StoreSettings()


def test_where_a_key_may_go(tmp_path: Path, server: Server) -> None:
    remote = StoreSettings("http://qdrant.example.org:6333", prefix="p")
    refuses(lambda: open_backend(remote, tmp_path, KEY), "plain http", "use https")
    for key in ("", "two words", "line\n", "schlüssel"):
        with pytest.raises(InputError, match="the API key is empty or holds"):
            open_backend(StoreSettings(server.url, prefix="p"), tmp_path, key)
    assert server.asked == []
    refuses(lambda: open_backend(StoreSettings(), tmp_path, KEY), "needs no API key")
    assert isinstance(open_backend(StoreSettings(), tmp_path), EdgeBackend)
    with open_backend(StoreSettings(server.url, prefix="p"), tmp_path, KEY) as backend:
        assert isinstance(backend, ServerBackend) and KEY not in repr(vars(backend))
    with pytest.raises(ValueError, match="prefix"):
        ServerBackend(StoreSettings(server.url))


def test_nothing_is_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        refuses(server.store().count, "500")
    assert caplog.records == []
