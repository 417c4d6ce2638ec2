"""A service in memory whose jobs end when they are told to: for waits in virtual time.

It answers status and list requests as the real one does, after a fixed latency of the loop's own
time, and counts them. Ten thousand jobs of twenty seconds pass in as long as their requests take.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import Mapping

import attrs
import httpx

from krixik_async import JobRef

EPOCH = 1_780_000_000.0
PIPELINE = "bench"
MEDIAN_S, SIGMA, FAILING = 20.0, 0.25, 0.02
_STATUS = "/krixik-core-process-status"


@attrs.frozen
class Life:
    """Say when a job ends, in seconds from the start, and whether it fails then."""

    ends_s: float
    fails: bool = False


@attrs.define
class Service(httpx.AsyncBaseTransport):
    """Answer for jobs by number: process "p7" has the file "f7"."""

    lives: Mapping[str, Life]
    latency_s: float = 0.05
    started: float = 0.0
    requests: Counter[str] = attrs.field(factory=Counter)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path = request.url.path
        self.requests[path] += 1
        raw = await request.aread()
        await asyncio.sleep(self.latency_s / 2)
        answer = self._answer(path, raw)
        await asyncio.sleep(self.latency_s / 2)
        return httpx.Response(200, content=answer)

    def _answer(self, path: str, raw: bytes) -> bytes:
        """Answer at once, so that nothing but bytes is held while a request is on its way."""
        body, now = json.loads(raw), asyncio.get_running_loop().time() - self.started
        answer = self._status(body, now) if path == _STATUS else self._list(body, now)
        return json.dumps(answer).encode()

    def _status(self, body: Mapping[str, str], now: float) -> Mapping[str, object]:
        process = body["process_id"]
        life = self.lives[process]
        ended = now >= life.ends_s
        failure = {"process_id": process, "failure_module": "module_1.parser"}
        failed = ended and life.fails
        return {
            "request_id": "r",
            "file_id": process.replace("p", "f"),
            "message": "SUCCESS: process_status found",
            "process_status": None if failed else {"module_1": ended},
            "failure_status": failure if failed else None,
        }

    def _list(self, body: Mapping[str, list[str]], now: float) -> Mapping[str, object]:
        found = [
            file
            for file in body["file_ids"] or ()
            if now >= self.lives[file.replace("f", "p")].ends_s
            and not self.lives[file.replace("f", "p")].fails
        ]
        items = [
            {"file_id": file, "process_id": file.replace("f", "p"), "pipeline": PIPELINE}
            for file in found
        ]
        return {"request_id": "r", "message": f"found {len(items)}", "items": items}


def lognormal(number: int) -> dict[str, Life]:
    """Draw the lives of so many jobs, the same at every run.

    A failure comes early, after a uniform share of what the job would have taken.
    """
    rng = random.Random(20261101)
    lives = {}
    for index in range(number):
        ends_s = math.exp(rng.gauss(math.log(MEDIAN_S), SIGMA))
        fails = rng.random() < FAILING
        lives[f"p{index}"] = Life(ends_s * rng.random() if fails else ends_s, fails)
    return lives


def refs(lives: Mapping[str, Life], submitted_at: float) -> list[JobRef]:
    """Give what waits take, as if all had been submitted at that time (epoch seconds)."""
    return [
        JobRef(
            request_id=process,
            pipeline=PIPELINE,
            file_id=process.replace("p", "f"),
            submitted_at=submitted_at,
            expires_at=submitted_at + 86400.0,
            module_count=1,
        )
        for process in lives
    ]
