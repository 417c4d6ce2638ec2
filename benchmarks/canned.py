"""A server that is not the bottleneck: fixed answers, from one loop over `epoll`.

It is there to be measured against, so it does as little as a server can: a request is read with
one system call, its path is looked up, the answer is written with one more. It speaks enough of
the protocol for a client to check in, to ask for a status, and to submit a file, whose bytes are
counted and thrown away. `--latency` holds every answer back for that long, without a thread or a
task for it. `--cert` makes it speak TLS. That it is not the bottleneck is not taken on trust: its
CPU seconds are reported with each measurement (as is what a load generator in C gets out of it).

    python -m benchmarks.canned [--latency 0.05] [--cert FILE] [--cpu 1]

Prints "ready on URL", then serves until its standard input ends; a line on it is answered with the
CPU seconds used so far. Linux only, like `epoll`. Stdlib only: any interpreter runs it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import select
import socket
import ssl
import sys
import time

STATUS = {
    "request_id": "5b4bfe5c-9d2a-4b2f-8f7e-6d2d1a0f3c11",
    "file_id": "0d9e5a34-1f0b-4c43-9b3e-0a6c0a3d7c22",
    "message": "SUCCESS: process_status found",
    "process_status": {"module_1": True, "module_2": False},
    "failure_status": None,
}
TICKET = {
    "request_id": "5b4bfe5c-9d2a-4b2f-8f7e-6d2d1a0f3c11",
    "file_id": "0d9e5a34-1f0b-4c43-9b3e-0a6c0a3d7c22",
    "message": "SUCCESS",
}
READ_BYTES = 256 * 1024


def answer(status: str, body: bytes) -> bytes:
    """Give a whole answer; its head is what a server behind a gateway sends at the least."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Date: Mon, 02 Nov 2026 09:00:00 GMT\r\nServer: canned\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """One client: what came in and is not a whole request yet, and what is left to skip."""

    __slots__ = ("fd", "head", "reply", "shaken", "sock", "to_skip")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.head = b""
        self.to_skip = 0
        self.reply = b""
        self.shaken = not isinstance(sock, ssl.SSLSocket)


class Canned:
    """Answer every request by its path, after `latency_s`."""

    def __init__(self, *, latency_s: float, context: ssl.SSLContext | None) -> None:
        self._latency_s = latency_s
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        form = {"presigned_post_url_results": {"url": f"{self.url}/upload", "fields": {"key": "k"}}}
        self._replies = {
            b"/cli-checkin": answer("200 OK", b"{}"),
            b"/krixik-core-process-status": answer("200 OK", json.dumps(STATUS).encode()),
            b"/krixik-core-process": answer("200 OK", json.dumps(TICKET | form).encode()),
            b"/upload": b"HTTP/1.1 204 No Content\r\nServer: canned\r\n\r\n",
        }
        self._not_found = answer("404 Not Found", b"{}")
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._epoll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[float, int, Connection]] = []
        self._serial = 0
        # Clients send the same few heads over and over: each is parsed once.
        self._heads: dict[bytes, tuple[bytes, int]] = {}

    def serve(self) -> None:
        """Serve until standard input ends."""
        while True:
            for fd, _ in self._epoll.poll(self._patience()):
                if fd == sys.stdin.fileno():
                    if not os.read(fd, 4096):
                        return
                    print(f"cpu {time.process_time()}", flush=True)
                elif fd == self._listener.fileno():
                    self._accept()
                else:
                    connection = self._connections.get(fd)
                    if connection is not None:
                        self._readable(connection)
            while self._due and self._due[0][0] <= time.monotonic():
                self._send(heapq.heappop(self._due)[2])

    def _patience(self) -> float:
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._connections[sock.fileno()] = Connection(sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _readable(self, connection: Connection) -> None:
        sock = connection.sock
        try:
            if not connection.shaken and isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
                connection.shaken = True
                return
            received = sock.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            received = b""
        if received:
            self._take(connection, received)
        else:
            self._close(connection)

    def _take(self, connection: Connection, received: bytes) -> None:
        if connection.to_skip:
            connection.to_skip -= len(received)
            if connection.to_skip <= 0:
                self._answer(connection)
            return
        received = connection.head + received
        head, found, rest = received.partition(b"\r\n\r\n")
        if not found:
            connection.head = received
            return
        connection.head = b""
        known = self._heads.get(head)
        if known is None:
            known = self._heads[head] = parsed(head)
        connection.reply = self._replies.get(known[0], self._not_found)
        connection.to_skip = known[1] - len(rest)
        if connection.to_skip <= 0:
            self._answer(connection)

    def _answer(self, connection: Connection) -> None:
        connection.to_skip = 0
        if not self._latency_s:
            self._send(connection)
            return
        self._serial += 1
        due = time.monotonic() + self._latency_s
        heapq.heappush(self._due, (due, self._serial, connection))

    def _send(self, connection: Connection) -> None:
        try:
            # An answer is smaller than any socket's buffer: it goes at once or the peer is gone.
            connection.sock.send(connection.reply)
        except OSError:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        # An answer that was held back may find its connection closed, and the number in new hands.
        if self._connections.get(connection.fd) is connection:
            del self._connections[connection.fd]
            self._epoll.unregister(connection.fd)
            connection.sock.close()


def parsed(head: bytes) -> tuple[bytes, int]:
    """Give the path and the length of the body that a request's head names."""
    lines = head.split(b"\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
    return lines[0].split(b" ")[1], int(fields.get(b"content-length", b"0"))


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--cert", help="a PEM file with certificate and key: speak TLS")
    parser.add_argument("--cpu", type=int, help="run on this core only")
    given = parser.parse_args()
    if given.cpu is not None:
        os.sched_setaffinity(0, {given.cpu})
    context = None
    if given.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.cert)
    canned = Canned(latency_s=given.latency, context=context)
    print(f"ready on {canned.url}", flush=True)
    canned.serve()


if __name__ == "__main__":
    main()
