"""vector-db against FAISS itself, and everything that is no array of vectors."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from krixik_async.server.runners import RunnerError, RunRequest, run
from krixik_async.server.runners import _vector_db as vector_db
from krixik_async.server.runners import _vector_files as plain

RNG = np.random.default_rng(20261122)


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def request(folder: Path, content: bytes) -> RunRequest:
    source = folder / "in"
    source.write_bytes(content)
    return RunRequest("vector-db", "faiss", {}, source, folder / "out", "data")


def golden(array: Any, path: Path) -> bytes:
    """Give what FAISS makes of an array in the hosted service's way."""
    rows = np.ascontiguousarray(array, dtype=np.float32).copy()
    faiss.normalize_L2(rows)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    faiss.write_index(index, str(path))
    return path.read_bytes()


@pytest.mark.parametrize(
    "array",
    [
        RNG.normal(size=(5, 3)).astype(np.float32),
        RNG.normal(size=(5, 3)),
        RNG.normal(size=(5, 3)).astype(np.float16),
        RNG.normal(size=(5, 3)).astype(">f8"),
        np.asfortranarray(RNG.normal(size=(5, 3))),
        RNG.integers(-9, 9, size=(4, 2)),
        RNG.integers(0, 255, size=(4, 2), dtype=np.uint8),
        np.zeros((2, 3), dtype=np.float32),
        np.ones((1, 1)),
        RNG.normal(size=(9000, 4)),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}{'F' * (not array.flags.c_contiguous)}",
)
def test_the_index_is_faiss_own_byte_for_byte(tmp_path: Path, array: Any) -> None:
    """Of any real numbers, in any order of bytes and rows, in more pieces than one."""
    asked = request(tmp_path, npy(array))
    assert run(asked) == {"num_vectors": len(array)}
    assert asked.destination.read_bytes() == golden(array, tmp_path / "golden")


@given(
    array=arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_any_finite_rows_give_what_faiss_gives(
    tmp_path_factory: pytest.TempPathFactory, array: Any
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    asked = request(folder, npy(array))
    run(asked)
    assert asked.destination.read_bytes() == golden(array, folder / "golden")


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", content)
    return buffer.getvalue()


UNREADABLE = "the input is no .npy file of numbers that can be read"
SHAPE = "vectors are the rows of two dimensions, at least one row of at least one number"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", UNREADABLE),
        (b"text", UNREADABLE),
        (npy(np.ones((3, 3)))[:-1], UNREADABLE),
        (npy(np.ones((3, 3)))[:20], UNREADABLE),
        (npy(np.array([[{}]], dtype=object), allow_pickle=True), UNREADABLE),
        (b"\x80\x04N.", UNREADABLE),
        (
            zipped(npy(np.ones((3, 3)))),
            "the input is an archive (.npz): send one array, as numpy.save writes it",
        ),
        (npy(np.ones(3)), f"the array has the shape (3,): {SHAPE}"),
        (npy(np.ones((1, 1, 1))), f"the array has the shape (1, 1, 1): {SHAPE}"),
        (npy(np.ones((0, 3))), f"the array has the shape (0, 3): {SHAPE}"),
        (npy(np.ones((3, 0))), f"the array has the shape (3, 0): {SHAPE}"),
        (npy(np.array([["a"]])), "the array holds str32: vectors are real numbers"),
        (npy(np.array([[True]])), "the array holds bool: vectors are real numbers"),
        (npy(np.array([[1j]])), "the array holds complex128: vectors are real numbers"),
        (
            npy(np.array([[1.0], [np.nan]])),
            "row 1 of the array holds a NaN, or more than a float32 can hold",
        ),
        (
            npy(np.array([[1.0]] * 4098 + [[1e39]])),
            "row 4098 of the array holds a NaN, or more than a float32 can hold",
        ),
    ],
)
def test_what_is_no_array_of_vectors_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    """A pickle is not even looked at."""
    with pytest.raises(RunnerError) as caught:
        run(request(tmp_path, content))
    assert str(caught.value) == reason


def test_the_nearest_rows_come_with_half_of_one_minus_the_cosine(tmp_path: Path) -> None:
    """0 for the same direction, 0.5 for a right angle, 1 for the opposite; whatever the lengths."""
    asked = request(tmp_path, npy(np.array([[0, 5], [-1, 0], [7, 0], [1, 1]])))
    run(asked)
    expected = [(2, 0.0), (3, 0.146), (0, 0.5), (1, 1.0)]
    query = np.array([3, 0], dtype=np.float32)
    for k in (1, 3, 4, 10):
        assert vector_db.nearest(asked.destination, query, k) == expected[:k]
        # What is read where there is no FAISS agrees.
        assert plain.nearest(asked.destination, [3.0, 0.0], k) == expected[:k]
    assert list(query) == [3, 0]


def test_a_distance_is_never_below_zero(tmp_path: Path) -> None:
    """A vector's cosine with itself is a rounding error off 1, at times above it."""
    rows = RNG.normal(size=(200, 33)).astype(np.float32)
    asked = request(tmp_path, npy(rows))
    run(asked)
    nearest = [vector_db.nearest(asked.destination, row, 1) for row in rows]
    assert nearest == [[(number, 0.0)] for number in range(200)]
    assert all(str(found[0][1]) == "0.0" for found in nearest)


def test_an_index_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    query = np.ones(2, dtype=np.float32)
    asked = request(tmp_path, npy(np.ones((1, 3))))
    run(asked)
    for path, reason in (
        (asked.destination, "the index is of 3 numbers a vector, the query of 2"),
        (asked.source, "not a readable vector index"),
        (tmp_path / "none", "not a readable vector index"),
    ):
        with pytest.raises(RunnerError) as caught:
            vector_db.nearest(path, query, 1)
        assert str(caught.value) == reason
