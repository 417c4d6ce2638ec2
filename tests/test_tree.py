"""The drawing of symbolic paths as a tree."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from krixik_async import MissingExtra, Tree


def tree(*paths: str) -> Tree:
    return Tree(status_code=200, request_id="r", message="", items=paths)


@pytest.mark.parametrize(
    ("paths", "drawing"),
    [
        ((), "/"),
        (("/a.txt",), "/\n└── a.txt"),
        (
            ("/novels/n0/book 0.txt", "/novels/n1/book 1.txt", "/novels/moby.txt", "/z.txt"),
            (
                "/\n"
                "├── /novels\n"
                "│   ├── /n0\n"
                "│   │   └── book 0.txt\n"
                "│   ├── /n1\n"
                "│   │   └── book 1.txt\n"
                "│   └── moby.txt\n"
                "└── z.txt"
            ),
        ),
        (("/v1/a.txt", "/v1"), "/\n├── /v1\n│   └── a.txt\n└── v1"),
        (("a/b",), "/\n└── /a\n    └── b"),
    ],
    ids=["nothing", "a file at the top", "folders in folders", "one name for both", "no slash"],
)
def test_a_tree_is_drawn_with_its_folders(paths: tuple[str, ...], drawing: str) -> None:
    assert tree(*paths).render() == drawing


def test_a_tree_of_any_depth_is_drawn() -> None:
    drawing = tree("/a" * 2000 + "/x.txt").render().splitlines()
    assert (len(drawing), drawing[-1].strip()) == (2002, "└── x.txt")


@given(st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)))
def test_each_file_has_one_line(names: set[str]) -> None:
    """A line ends in a file's name exactly as often as a path does."""
    paths = tuple(f"/{name}.txt" for name in sorted(names))
    drawn = [line.split(" ")[-1] for line in tree(*paths).render().splitlines()]
    files = sorted(line for line in drawn if line.endswith(".txt"))
    assert files == sorted(path.rpartition("/")[2] for path in paths)


def test_a_tree_is_iterable() -> None:
    found = tree("/b.txt", "/a.txt")
    assert (list(found), len(found)) == (["/b.txt", "/a.txt"], 2)


def drawn(found: Tree, width: int = 80) -> str:
    out = io.StringIO()
    found.draw(console=Console(file=out, width=width))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


@pytest.mark.parametrize(
    "paths",
    [
        (),
        ("/a.txt",),
        ("/novels/n0/book 0.txt", "/novels/n1/book 1.txt", "/novels/moby.txt", "/z.txt"),
        ("/v1/a.txt", "/v1"),
        ("/[red]a, b.txt",),
    ],
)
def test_drawn_with_rich_it_is_the_same_tree(paths: tuple[str, ...]) -> None:
    """Names are shown as they are: brackets in them are no markup."""
    assert drawn(tree(*paths)) == tree(*paths).render()


def test_a_deep_tree_is_drawn_with_rich_too() -> None:
    assert drawn(tree("/a" * 300 + "/x.txt"), width=5000).count("/a") == 300


def test_by_itself_it_draws_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    tree("/a.txt").draw()
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == ["/", "└── a.txt"]


def test_without_rich_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.tree", None)
    with pytest.raises(MissingExtra, match=r'pip install "krixik-async\[cli\]"'):
        tree("/a.txt").draw()
