"""A server that writes down what it is sent and answers each path with one plausible answer.

It judges nothing: what two clients send is to be compared, so both must get the same answers
whatever they ask. Answers have the shape of the hosted service's as its documentation shows them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FILE_ID = "83f7bc97-bf47-4b3d-8268-b1a147be8950"
PROCESS_ID = "0d9f2c1e-52a7-4b0e-9d1c-33a9b7c65f10"
CALL_ID = "6a1f0a52-3f63-4a9b-8a4e-1f2e3d4c5b6a"
RECORD = {
    "last_updated": "2026-11-01 10:00:00",
    "process_id": PROCESS_ID,
    "created_at": "2026-11-01 09:59:58",
    "file_metadata": {"modules": {}, "modules_data": {}},
    "file_tags": [],
    "file_description": "",
    "symbolic_directory_path": "/etc",
    "pipeline": "p",
    "file_id": FILE_ID,
    "expire_time": "2026-11-01 10:29:50",
    "file_name": "a.txt",
}


def answer(path: str, base_url: str) -> dict[str, Any]:
    """Give the JSON answer of an API path."""
    said: dict[str, Any] = {"request_id": CALL_ID, "message": "SUCCESS", "warnings": []}
    match path.removeprefix("/krixik-core-"):
        case "process":
            form = {"url": f"{base_url}/bucket", "fields": {"key": "k", "policy": "p"}}
            return {**said, "request_id": PROCESS_ID, "file_id": FILE_ID,
                    "presigned_post_url_results": form}  # fmt: skip
        case "process-status":
            flags = {"process_status": {"module_1": False}, "failure_status": None}
            return {**said, "file_id": FILE_ID, **flags}
        case "fetch-output":
            output = [{"url": f"{base_url}/output/{FILE_ID}", "extension": ".json"}]
            return {**said, "pipeline": "p", "file_id": FILE_ID, "process_output": output}
        case "list":
            return {**said, "items": [RECORD]}
        case "show-tree":
            return {**said, "items": ["/etc/a.txt"]}
        case "update" | "delete":
            return {"pipeline": "p", "file_id": FILE_ID, **said}
        case _:
            return {**said, "items": []}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RecordingServer

    def log_message(self, *_: object) -> None:
        """Say nothing: the tests say what went wrong."""

    def do_PUT(self) -> None:
        """Begin the call of this number: PUT /mark/7."""
        self.server.mark(int(self.path.rpartition("/")[2]))
        self._reply(204, b"")

    def do_GET(self) -> None:
        """Give an output."""
        self.server.note({"method": "GET", "path": self.path, "key": self._has_key()})
        self._reply(200, b'[{"snippet": "one", "line_numbers": [1]}]')

    def do_POST(self) -> None:
        """Take a call of the API, or an upload."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers.get("Content-Type", "")
        seen = {"method": "POST", "path": self.path, "key": self._has_key()}
        if kind.startswith("multipart/form-data"):
            self.server.note({**seen, "content_type": "multipart/form-data", **parts(kind, body)})
            self._reply(204, b"")
            return
        self.server.note({**seen, "content_type": kind, "body": body.decode("utf-8")})
        self._reply(200, json.dumps(answer(self.path, self.server.url)).encode())

    def _has_key(self) -> bool:
        return "krixikApiKey" in self.headers

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def parts(kind: str, body: bytes) -> dict[str, Any]:
    """Give a form's parts in order: name, file name, own headers, and the content."""
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body
    )
    found = [
        {
            "name": part.get_param("name", header="content-disposition"),
            "filename": part.get_filename(),
            "headers": sorted(key.lower() for key in part),
            "content": (part.get_payload(decode=True) or b"").hex(),
        }
        for part in message.iter_parts()
    ]
    return {"parts": found}


class RecordingServer(ThreadingHTTPServer):
    """Serve on the loopback; `calls[n]` is what came in during call n."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.calls: dict[int, list[dict[str, Any]]] = {}
        self.mark(-1)

    def mark(self, number: int) -> None:
        """Begin a call."""
        self._current = number
        self.calls[number] = []

    def note(self, request: dict[str, Any]) -> None:
        """Write a request down."""
        self.calls[self._current].append(request)


@contextmanager
def recording() -> Iterator[RecordingServer]:
    """Run a server for as long as the block lasts."""
    with RecordingServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
