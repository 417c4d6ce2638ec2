"""vector-db: rows of numbers into a FAISS index, and the search in such an index.

The index is the hosted service's, byte for byte: `IndexFlatIP`, each vector brought to length 1 as
it is added, ids are row numbers. A nearest neighbour is then the one of the largest cosine. The
distance that is told of it is (1 - cosine) / 2: 0 for the same direction, 1 for the opposite one
(fitted to the distances in the service's documentation, 2026-11).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from krixik_async.server.runners._request import RunnerError, RunRequest
from krixik_async.server.runners._vectors import float_rows, open_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["nearest", "run"]

# Rows that are converted and added at a time: 12 MB at 768 numbers a row.
_ROWS = 4096
# As many decimals as the service tells.
_DECIMALS = 3


def run(request: RunRequest) -> dict[str, object]:
    """Write the index of an array's rows; `num_vectors` is their number.

    Float32 is taken as it is; float64, float16 and integers are converted to it first. Beside the
    index itself no more than a few thousand rows are held.

    Raises:
        RunnerError: the input is no two-dimensional array of finite real numbers.
    """
    import faiss

    array = open_rows(request.source)
    index = faiss.IndexFlatIP(array.shape[1])
    for start in range(0, len(array), _ROWS):
        rows = float_rows(array, start, start + _ROWS)
        faiss.normalize_L2(rows)
        index.add(rows)
    faiss.write_index(index, str(request.destination))
    return {"num_vectors": index.ntotal}


def nearest(path: Path, query: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """Give (row, distance) of the `k` rows nearest to a query, the nearest first.

    Raises:
        RunnerError: there is no readable index at `path`, or it is of vectors of another length.
    """
    import faiss
    import numpy as np

    try:
        index: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    except RuntimeError as error:
        raise RunnerError("not a readable vector index") from error
    if index.d != len(query):
        raise RunnerError(f"the index is of {index.d} numbers a vector, the query of {len(query)}")
    row = np.array([query], dtype=np.float32)
    faiss.normalize_L2(row)
    cosines, rows = index.search(row, min(k, index.ntotal))
    return [
        # A cosine may be a rounding error above 1.
        (int(found), round(max(0.0, (1.0 - float(cosine)) / 2.0), _DECIMALS))
        for cosine, found in zip(cosines[0], rows[0], strict=True)
    ]
