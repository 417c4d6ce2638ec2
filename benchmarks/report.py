"""The page docs/benchmarks.md and its plots, made from the raw numbers and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import plots, results
from benchmarks.plots import short
from benchmarks.processes import ROOT, Numbers
from benchmarks.results import median

PAGE = "benchmarks.md"
# What to make of the numbers is said by a person, in a file that stays.
NOTES = Path(__file__).parent / "notes.md"

Cell = Callable[[Sequence[Numbers]], str]


def write(folder: Path, docs: Path = ROOT / "docs") -> None:
    """Write the page and its plots below `docs`."""
    parts = [_HEAD]
    for question, section in SECTIONS.items():
        found = results.load(folder, question)
        if found is not None:
            parts += [section(found["rows"], docs), _measured_on(found["measured_on"])]
    if NOTES.is_file():
        parts.append(NOTES.read_text(encoding="utf-8").strip())
    docs.mkdir(parents=True, exist_ok=True)
    (docs / PAGE).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


_HEAD = """# Benchmarks

`make bench` writes this page from the raw numbers in `benchmarks/results`; the modules in
`benchmarks/` say how each was measured. Client and server are separate processes, each on its own
core; the variants take turns in every round; figures are medians over the rounds. "official" is the
sync client krixik 1.1.19. "Faster by" and "cheaper by" are factors: below 1, krixik_async is slower
or takes more."""


_REQUESTS = """## Status requests on one core

How many a second, through the public API, and the CPU seconds that 1,000 take. Without latency the
CPU is what counts; with latency, how many requests are under way at once."""

_SERVER = """The last column, and the load generator in C, show that the server limits no client.
The official client always has its own workers, one or 32 threads, whatever the heading says."""

_ONE_JOB = """## One small job

From `process(wait_for_process=True)` to the output on disk, on a server that needs 10 ms for it."""

_WAITING = """## Waiting for 10,000 jobs

All submitted at once; durations are lognormal around 20 s (sigma 0.25), 2 % of the jobs fail, and
the service answers after 50 ms. The delay is the time from a job's end to its outcome in the
caller's hands. The other policies are the defaults of other SDKs, driven by this client's engine.
They, and the run without the bulk look, may have 1,024 requests under way, for they want more than
the default of 64 can carry."""

_MANY = """## Many waiting jobs

How much resident memory has grown two minutes into a wait for so many jobs, none of which ends, and
the CPU time of those minutes (in virtual time: the process runs only for its CPU time). The jobs
are given as references, or as bare request_ids, whose file_ids the client has to find out."""

_SUBMITTING = """## Sending 1,000 files of 100 kB

`process` without waiting: a ticket and an upload for each file. With 50 ms of latency the official
client in a loop sends only 100 of them. The last columns are the peak memory, and how much of it
came with the files."""

_IMPORTING = """## Importing

CPU seconds in a fresh interpreter, byte code compiled. httpx comes with the first client made,
aiohttp with the first request."""


def _measured_on(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {said}" for name, said in machine["versions"].items())
    return (
        f"*Measured {machine['date']} on {machine['cores']} cores ({machine['processor']}), "
        f"{machine['system']}, Python {machine['python']}; {versions}; "
        f"load average {machine['load_average']} at the end.*"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _save(docs: Path, name: str, title: str, svg: str) -> str:
    docs.mkdir(parents=True, exist_ok=True)
    (docs / name).write_text(svg, encoding="utf-8")
    return f"![{title}]({name})"


def _of(rows: Iterable[Numbers], **wanted: object) -> list[Numbers]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _variants(rows: Iterable[Numbers]) -> list[str]:
    return list(dict.fromkeys(row["variant"] for row in rows))


def _figure(value: float | None, unit: str = "") -> str:
    return "" if value is None else short(value) + unit


def _ratio(ours: float | None, other: float | None) -> str:
    return "" if ours is None or other is None else f"{ours / other:.3g}"


# --- the questions -----------------------------------------------------------------------------


def _a_second(row: Numbers) -> float:
    return float(row["answers"] / row["seconds"])


def _cpu_per_1000(row: Numbers) -> float:
    # A variant that got no answer at all in its window is no better than one that got one.
    return float(1000 * row["cpu_s"] / max(1, row["answers"]))


def _requests(rows: list[Numbers], docs: Path) -> str:
    parts = [
        _REQUESTS,
    ]
    settings = dict.fromkeys((row["latency_ms"], row["tls"], row["workers"]) for row in rows)
    for latency_ms, tls, workers in settings:
        here = _of(rows, latency_ms=latency_ms, tls=tls, workers=workers)
        server = _of(rows, latency_ms=latency_ms, tls=tls)
        title = f"{latency_ms} ms of latency, {workers} workers" + (", over TLS" if tls else "")
        others = [row for row in server if row["variant"].startswith("official")]
        shown = here + [row for row in others if row not in here]
        parts += [f"### {title}", _requests_table(shown)]
        if not tls:
            name = f"benchmarks-requests-{latency_ms}ms-{workers}.svg"
            values = {
                variant: median(_of(shown, variant=variant), _a_second) or 0.0
                for variant in _variants(shown)
            }
            svg = plots.bars(title, values, unit="/s", logarithmic=True)
            parts.append(_save(docs, name, f"Requests a second, {title}", svg))
    parts.append(_SERVER)
    return "\n\n".join(parts)


def _requests_table(rows: list[Numbers]) -> str:
    def figures(variant: str) -> tuple[float | None, float | None, float | None]:
        mine = _of(rows, variant=variant)
        server = median(mine, lambda row: 1000 * row["server_cpu_s"] / max(1, row["answers"]))
        return median(mine, _a_second), median(mine, _cpu_per_1000), server

    ours = figures("krixik_async")
    return _table(
        [
            "client",
            "requests/s",
            "CPU s per 1,000",
            "krixik_async is faster by",
            "and cheaper by",
            "server's CPU s per 1,000",
        ],
        [
            [
                variant,
                _figure(rate),
                _figure(cost),
                "" if variant == "krixik_async" else _ratio(ours[0], rate),
                "" if variant == "krixik_async" else _ratio(cost, ours[1]),
                _figure(server),
            ]
            for variant in _variants(rows)
            for rate, cost, server in [figures(variant)]
        ],
    )


def _one_job(rows: list[Numbers], _: Path) -> str:
    seconds = {
        variant: median(_of(rows, variant=variant), lambda row: row["seconds"])
        for variant in _variants(rows)
    }
    ours = seconds["krixik_async"]
    return "\n\n".join(
        [
            _ONE_JOB,
            _table(
                ["client", "seconds", "krixik_async is faster by"],
                [
                    [variant, _figure(taken), "" if taken is ours else _ratio(taken, ours)]
                    for variant, taken in seconds.items()
                ],
            ),
        ]
    )


def _waiting(rows: list[Numbers], docs: Path) -> str:
    virtual = [row for row in rows if not row["real"]]
    name, title = "benchmarks-waiting.svg", "Requests a job"
    values = {row["variant"]: _requests_of(row) / row["jobs"] for row in virtual}
    delays = {row["variant"]: row["delay_mean_s"] for row in virtual}
    return "\n\n".join(
        [
            _WAITING,
            _table(
                [
                    "policy",
                    "jobs",
                    "requests a job",
                    "delay, mean s",
                    "95 % within s",
                    "failures: mean s",
                    "95 % within s",
                    "CPU s",
                ],
                [
                    [
                        row["variant"] + (", real time" if row["real"] else ""),
                        f"{row['jobs']:,}",
                        f"{_requests_of(row) / row['jobs']:.2f}",
                        *(
                            _figure(row.get(key))
                            for key in (
                                "delay_mean_s",
                                "delay_95_s",
                                "failure_delay_mean_s",
                                "failure_delay_95_s",
                                "cpu_s",
                            )
                        ),
                    ]
                    for row in rows
                ],
            ),
            _save(docs, name, title, plots.bars(title, values, unit="")),
            _save(
                docs,
                "benchmarks-delays.svg",
                "Mean delay",
                plots.bars("Mean delay", delays, unit="s"),
            ),
        ]
    )


def _requests_of(row: Numbers) -> float:
    return float(row["status_requests"] + row["list_requests"])


def _many(rows: list[Numbers], docs: Path) -> str:
    title = "Memory and CPU time of waiting jobs"
    first_given = _of(rows, variant=_variants(rows)[0])
    series = {f"CPU s, {first_given[0]['variant']}": [(r["jobs"], r["cpu_s"]) for r in first_given]}
    grown, lines = [], []
    for variant in _variants(rows):
        mine = _of(rows, variant=variant)
        series[f"MB, {variant}"] = [(row["jobs"], row["megabytes"]) for row in mine]
        first, last = mine[-2], mine[-1]
        more = 1000 * (last["megabytes"] - first["megabytes"]) / (last["jobs"] - first["jobs"])
        grown.append(
            f"From {first['jobs']:,} to {last['jobs']:,} {variant} it grows by {more:.2g} kB a job."
        )
        lines += [
            [
                f"{row['jobs']:,} {variant}",
                _figure(row["megabytes"]),
                _figure(row["cpu_s"]),
                _figure(1000 * row["cpu_s"] / row["jobs"]),
            ]
            for row in mine
        ]
    svg = plots.lines(title, series, x_unit="jobs", y_unit="MB, CPU s")
    return "\n\n".join(
        [
            _MANY,
            " ".join(grown),
            _table(["jobs", "MB", "CPU s", "CPU ms a job"], lines),
            _save(docs, "benchmarks-many.svg", title, svg),
        ]
    )


def _submitting(rows: list[Numbers], _: Path) -> str:
    def files_a_second(row: Numbers) -> float:
        return float(row["files"] / row["seconds"])

    lines: list[list[str]] = []
    for latency_ms in dict.fromkeys(row["latency_ms"] for row in rows):
        here = _of(rows, latency_ms=latency_ms)
        ours = median(_of(here, variant="krixik_async"), files_a_second)
        for variant in _variants(here):
            mine = _of(here, variant=variant)
            rate = median(mine, files_a_second)
            grown = median(mine, lambda row: row["megabytes"] - row["megabytes_before"])
            cost = median(mine, lambda row: 1000 * row["cpu_s"] / row["files"])
            lines.append(
                [
                    f"{variant}, {latency_ms} ms",
                    _figure(rate),
                    "" if variant == "krixik_async" else _ratio(ours, rate),
                    _figure(cost),
                    _figure(median(mine, lambda row: row["megabytes"])),
                    _figure(grown),
                ]
            )
    heads = ["client, latency", "files/s", "krixik_async is faster by", "CPU ms a file"]
    return "\n\n".join(
        [
            _SUBMITTING,
            _table([*heads, "peak MB", "MB more than before"], lines),
        ]
    )


def _importing(rows: list[Numbers], _: Path) -> str:
    return "\n\n".join(
        [
            _IMPORTING,
            _table(
                ["statement", "CPU s"],
                [
                    [
                        f"`{variant}`" if "import" in variant else variant,
                        _figure(median(_of(rows, variant=variant), lambda row: row["cpu_s"])),
                    ]
                    for variant in _variants(rows)
                ],
            ),
        ]
    )


SECTIONS: dict[str, Callable[[list[Numbers], Path], str]] = {
    "requests": _requests,
    "one-job": _one_job,
    "waiting": _waiting,
    "many": _many,
    "submitting": _submitting,
    "importing": _importing,
}
