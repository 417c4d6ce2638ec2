"""Reading what vector-db is given: a .npy file from anyone, checked before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from krixik_async.server.runners._request import RunnerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["float_rows", "open_rows"]


def open_rows(path: Path) -> NDArray[Any]:
    """Give the array of a .npy file, mapped and not read: rows of numbers, at least one.

    Raises:
        RunnerError: it is no .npy file, is cut off, holds pickled objects (which are not even
            looked at), or is not two-dimensional rows of real numbers.
    """
    import numpy as np

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        # What numpy says may quote the file, and speaks of an option that is not to be had.
        raise RunnerError("the input is no .npy file of numbers that can be read") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise RunnerError("the input is an archive (.npz): send one array, as numpy.save writes it")
    if array.dtype.kind not in "fiu":
        raise RunnerError(f"the array holds {array.dtype.name}: vectors are real numbers")
    if array.ndim != 2 or 0 in array.shape:
        raise RunnerError(
            f"the array has the shape {array.shape}: vectors are the rows of two dimensions, "
            "at least one row of at least one number"
        )
    return array


def float_rows(array: NDArray[Any], start: int, stop: int) -> NDArray[np.float32]:
    """Give rows as a fresh float32 array in C order.

    Raises:
        RunnerError: one of them holds a NaN or something that is no finite float32.
    """
    import numpy as np

    with np.errstate(over="ignore"):  # the check below says it better
        rows = np.array(array[start:stop], dtype=np.float32, order="C")
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        first = start + int(bad.argmax())
        raise RunnerError(f"row {first} of the array holds a NaN, or more than a float32 can hold")
    return rows
