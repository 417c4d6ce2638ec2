"""Hostile requests, byte by byte, to a server in a process of its own: no 500, no crash."""

from __future__ import annotations

import json
import random
import socket
import tempfile
from collections import Counter
from contextlib import closing
from typing import Any

from krixik_async.testing import ServerProcess
from tests.soak.running import begin, counted, resident_kib

PATHS = [
    "/cli-checkin", "/krixik-core-process", "/krixik-core-process-status", "/krixik-core-list",
    "/krixik-core-delete", "/krixik-core-update", "/krixik-core-show-tree", "/keyword-search",
    "/semantic-search", "/krixik-core-cap-check", "/krixik-core-fetch-output", "/upload",
    "/outputs/x", "/outputs/../../etc/passwd", "/outputs/%2e%2e%2fkrixik.sqlite3", "/outputs/%00",
    "/" + "a" * 5000, "/openapi.json", "/-/faults", "//", "/%ff%fe", "*", "http://evil/",
    "/outputs/" + "b" * 300, "/upload/", "/UPLOAD", "/krixik-core-list?x=%00", "/;a=b",
]  # fmt: skip
VERBS = ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "FOO", "post"]
HOSTS = ["127.0.0.1", "a b", "[", "", "evil.example:99999", "x" * 300, "a/b?c#d", "@@", "é"]
KINDS = [
    "multipart/form-data; boundary=frontier", "multipart/form-data",
    'multipart/form-data; boundary="' + "x" * 80 + '"', "text/plain", "é",
    "multipart/form-data;" + ";" * 2000, "multipart/form-data; boundary=é",
]  # fmt: skip
VALUES: list[Any] = [
    None, float("inf"), -1, 10**30, "\ud800", "\0", "../..", [], {}, [[]] * 50, "x" * 10_000, True,
    float("nan"), ["\udfff"], {"a": "\ud800"}, 0, [None], [{"a": 1}], "/*", ["*"], 10**4500 > 0,
]  # fmt: skip
BODY = {
    "pipeline": "b", "version": "1", "process_id": "x", "file_id": "y", "max_files": 10, "k": 3,
    "query": "a", "pipeline_ordered_modules": ["keyword-db"], "symbolic_directory_path": "/etc",
    "pipeline_output_process_keys": [None], "modules": {}, "file_name": "a.txt", "file_tags": [],
    "file_description": "", "expire_time": 1800, "file_ids": None,
}  # fmt: skip
FORM = (
    b'--frontier\r\nContent-Disposition: form-data; name="key"\r\n\r\nuploads/../../x\r\n'
    b'--frontier\r\nContent-Disposition: form-data; name="policy"\r\n\r\ne30=\r\n'
    b'--frontier\r\nContent-Disposition: form-data; name="x-amz-signature"\r\n\r\n0\r\n'
    b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="../../../x"\r\n\r\n'
    b"abc\r\n--frontier--\r\n"
)


def _body(rng: random.Random) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(rng.randrange(300))
    if kind == 1:
        return b"[" * 100_000
    if kind == 2:
        return FORM
    if kind == 3:
        return b'{"max_files": ' + b"9" * 5000 + b"}"
    body: dict[str, Any] = dict(BODY)
    for _ in range(rng.randrange(4)):
        body[rng.choice([*body])] = rng.choice(VALUES)
    return json.dumps(body).encode()


def _headers(rng: random.Random, key: str, size: int) -> list[str]:
    headers = [f"Host: {rng.choice(HOSTS)}"]
    if rng.random() < 0.8:
        headers.append(f"krixikApiKey: {rng.choice([key, key, key, '', 'x', 'é' * 10, key + ' '])}")
    chance = rng.random()
    if chance < 0.8:
        headers.append(f"Content-Length: {size}")
    elif chance < 0.9:
        headers.append("Transfer-Encoding: chunked")
    else:
        headers.append(f"Content-Length: {rng.choice([-1, 'abc', 10**11, 1, size + 5])}")
    for text, likely in (
        (f"Content-Type: {rng.choice(KINDS)}", 0.5),
        ("Expect: 100-continue", 0.1),
        ("Connection: upgrade\r\nUpgrade: websocket", 0.1),
        ("X: " + "y" * 20_000, 0.05),
    ):
        if rng.random() < likely:
            headers.append(text)
    return headers


def hostile_request(rng: random.Random, key: str) -> bytes:
    """Give a request that is wrong in some way, or in several."""
    body = _body(rng)
    verb = rng.choice(VERBS) if rng.random() < 0.3 else "POST"
    head = [f"{verb} {rng.choice(PATHS)} HTTP/1.1", *_headers(rng, key, len(body)), "", ""]
    request = bytearray("\r\n".join(head).encode("latin-1") + body)
    if rng.random() < 0.1:
        for _ in range(rng.randrange(1, 20)):
            request[rng.randrange(len(request))] = rng.randrange(256)
    return bytes(request)


def exchange(address: tuple[str, int], request: bytes) -> bytes:
    """Send bytes and say that there are no more; give all that comes back."""
    with closing(socket.create_connection(address, timeout=10)) as connection:
        answer = bytearray()
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(2**16):
                answer += piece
        except ConnectionError:
            pass
        return bytes(answer)


def main() -> None:
    """Run until the end."""
    run = begin("server_bytes", runs=30_000)
    rng, statuses = random.Random(run.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder, ServerProcess(folder) as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        sizes: list[int] = []
        for number in run.numbers():
            request = hostile_request(rng, server.api_key)
            try:
                answer = exchange(address, request)
            except OSError as error:
                run.finding(f"{type(error).__name__} for {request[:200]!r}")
                continue
            status = answer[9:12].decode("latin-1") or "closed"
            statuses[status] += 1
            if status.startswith("5"):
                run.finding(f"{status} for {request[:200]!r}")
            if number % 500 == 0:
                sizes.append(resident_kib(str(server.pid)))
    run.end(
        requests=statuses.total(),
        answers=counted(statuses),
        server_MiB=f"{sizes[0] / 1024:.1f} to {sizes[-1] / 1024:.1f}",
    )


if __name__ == "__main__":
    main()
