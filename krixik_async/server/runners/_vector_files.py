"""Files of vectors in plain Python: .npy, and FAISS's flat index of inner products.

For placeholders only, which must not need what the real modules need. The layouts are those of
NumPy's format 1.0 and of faiss 1.15 (`IndexFlatIP`, byte for byte as it writes it, 2026-11).
"""

from __future__ import annotations

import ast
import math
import operator
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from krixik_async.server.runners._request import RunnerError

__all__ = ["Vector", "nearest", "read_npy", "write_index", "write_npy"]

Vector: TypeAlias = Sequence[float]

_NPY_START = struct.Struct("<6sBBH")
_NPY_MAGIC = b"\x93NUMPY"
_NPY_ALIGN = 64
_NPY_CODES = MappingProxyType(
    {
        **{f"<{kind}{size}": code for kind, size, code in zip("fff", "248", "efd", strict=True)},
        **{f"<i{size}": code for size, code in zip("248", "hiq", strict=True)},
        **{f"<u{size}": code for size, code in zip("248", "HIQ", strict=True)},
        "|i1": "b",
        "|u1": "B",
    }
)
"""What NumPy calls a kind of number -> what struct calls it."""

# Kind, width, rows, two numbers without a use, trained, metric 0 (inner product), numbers in all.
_INDEX_START = struct.Struct("<4siqqq?iQ")
_INDEX_KIND = b"IxFI"
_UNUSED = 2**20
_DECIMALS = 3


def write_npy(path: Path, shape: tuple[int, int], rows: Iterable[Vector]) -> None:
    """Write rows of float32."""
    head = str({"descr": "<f4", "fortran_order": False, "shape": shape})
    head += " " * (-(_NPY_START.size + len(head) + 1) % _NPY_ALIGN) + "\n"
    with path.open("wb") as file:
        file.write(_NPY_START.pack(_NPY_MAGIC, 1, 0, len(head)) + head.encode("ascii"))
        for row in rows:
            file.write(struct.pack(f"<{len(row)}f", *row))


def read_npy(path: Path) -> tuple[tuple[int, int], Iterator[Vector]]:
    """Give the shape and the rows, read as they are asked for.

    Raises:
        RunnerError: it is not a .npy file of rows of numbers, or has fewer than it says.
    """
    try:
        with path.open("rb") as file:
            magic, version, _, length = _NPY_START.unpack(file.read(_NPY_START.size))
            head = ast.literal_eval(file.read(length).decode("latin-1").strip())
        code = _NPY_CODES[head["descr"]]
        (count, width), by_column = head["shape"], head["fortran_order"]
    except (KeyError, SyntaxError, TypeError, ValueError, struct.error) as error:
        raise RunnerError("the input is no .npy file of rows of numbers") from error
    start = _NPY_START.size + length
    size = count * width * struct.calcsize(f"<{code}")
    if (magic, version) != (_NPY_MAGIC, 1) or size < 1 or path.stat().st_size < start + size:
        raise RunnerError("the input is no .npy file of rows of numbers, or it is cut off")
    if by_column:
        return (count, width), zip(*_read(path, start, f"<{count}{code}", width), strict=True)
    return (count, width), _read(path, start, f"<{width}{code}", count)


def _read(path: Path, start: int, layout: str, count: int) -> Iterator[Vector]:
    with path.open("rb") as file:
        file.seek(start)
        for _ in range(count):
            yield struct.unpack(layout, file.read(struct.calcsize(layout)))


def write_index(path: Path, shape: tuple[int, int], rows: Iterable[Vector]) -> None:
    """Write an index of the rows, each brought to length 1."""
    count, width = shape
    numbers = (_INDEX_KIND, width, count, _UNUSED, _UNUSED, True, 0, count * width)
    with path.open("wb") as file:
        file.write(_INDEX_START.pack(*numbers))
        for row in rows:
            file.write(struct.pack(f"<{width}f", *_unit(row)))


def nearest(path: Path, query: Vector, k: int) -> list[tuple[int, float]]:
    """Give (row, distance) of the `k` rows nearest to a query, the nearest first.

    Raises:
        RunnerError: there is no such index at `path`, or it is of vectors of another length.
    """
    unit = _unit(query)
    try:
        with path.open("rb") as file:
            kind, width, count, *_ = _INDEX_START.unpack(file.read(_INDEX_START.size))
        if (kind, width) != (_INDEX_KIND, len(query)):
            raise RunnerError("the index is not one of vectors as long as the query's")
        rows = _read(path, _INDEX_START.size, f"<{width}f", count)
        cosines = [sum(map(operator.mul, unit, row)) for row in rows]
    except (OSError, struct.error) as error:
        raise RunnerError("not a readable vector index") from error
    order = sorted(range(count), key=cosines.__getitem__, reverse=True)[:k]
    # A cosine may be a rounding error above 1.
    return [(row, round(max(0.0, (1.0 - cosines[row]) / 2.0), _DECIMALS)) for row in order]


def _unit(row: Vector) -> Vector:
    length = math.hypot(*row)
    return [number / length for number in row] if length else row
