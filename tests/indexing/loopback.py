"""Qdrant's REST interface on loopback, over the in-memory collections of qdrant-client: real requests and answers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from unittest.mock import patch

from qdrant_client import QdrantClient, models
from qdrant_client.local import distances

DONE = {"operation_id": 0, "status": "completed"}


def respond(client: QdrantClient, request: str, name: str, body: Any) -> Any:
    """The result of one request."""
    match request:
        case "GET /collections":
            return client.get_collections()
        case "GET /collections/*/exists":
            return {"exists": client.collection_exists(name)}
        case "GET /collections/*":
            return client.get_collection(name)
        case "PUT /collections/*":
            vectors = {each: models.VectorParams(**value) for each, value in body["vectors"].items()}
            return client.create_collection(name, vectors_config=vectors)
        case "DELETE /collections/*":
            return client.delete_collection(name)
        case "PUT /collections/*/index":
            return DONE
        case "PUT /collections/*/points":
            client.upsert(name, models.PointsList(**body).points)
            return DONE
        case "POST /collections/*/points/delete":
            client.delete(name, models.PointIdsList(**body))
            return DONE
        case "POST /collections/*/points/query/batch":
            return client.query_batch_points(name, models.QueryRequestBatch(**body).searches)
        case "POST /collections/*/points":
            return client.retrieve(name, body["ids"], body["with_payload"], body.get("with_vector", False))
        case "POST /collections/*/points/scroll":
            wanted = {key: body[key] for key in ("limit", "with_payload")}
            points, following = client.scroll(
                name, offset=body.get("offset"), with_vectors=body["with_vector"], **wanted
            )
            return {"points": points, "next_page_offset": following}
        case "POST /collections/*/points/count":
            return client.count(name)
    raise AssertionError(f"unexpected request {request}")


_cosine = distances.cosine_similarity


def cosine_of_copies(query: Any, vectors: Any) -> Any:
    """The in-memory engine normalises what it holds again at every search, which moves last digits; a server's stay."""
    return _cosine(query, vectors.copy())


@contextmanager
def loopback() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Serve; yields the URL, and the list of requests (method and path, body) as they come in."""
    client, lock = QdrantClient(":memory:"), Lock()
    asked: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or "null")
            parts = self.path.partition("?")[0].split("/")
            name = parts[2] if len(parts) > 2 else ""
            request = f"{self.command} {'/'.join(['*' if i == 2 else part for i, part in enumerate(parts)])}"
            with lock:
                asked.append((request, body))
                value: dict[str, Any] = {"title": "qdrant", "version": "1.15.3"}
                if self.path != "/":
                    value = {"result": respond(client, request, name, body), "status": "ok", "time": 0.0}
            data = json.dumps(value, default=lambda model: model.model_dump(mode="json")).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        with patch.object(distances, "cosine_similarity", cosine_of_copies):
            yield f"http://127.0.0.1:{http.server_port}", asked
    finally:
        http.shutdown()
        http.server_close()
        client.close()
