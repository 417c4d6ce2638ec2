"""The rules for what a file may be called and carry, and its size, checked before it is sent.

Each message says what was given, what is allowed and what to do. The limits are the official
client's (1.1.19, read 2026-11); where that client lets through what the service cannot keep apart
later (wildcards in stored names, a trailing newline, anything after the first dot), ours does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from krixik_async._catalogue import EXTENSIONS, Format, input_format
from krixik_async._errors import InvalidArgument, InvalidArgumentType

MAX_FILE_NAME = 64
MAX_DIRECTORY_PATH = 128
MAX_TAGS = 20
MAX_TAG_TEXT = 32
MAX_DESCRIPTION = 256
EXPIRE_TIME_S = (1800, 2_592_000)
DEFAULT_EXPIRE_TIME_S = 1800
DEFAULT_DIRECTORY = "/etc"
GENERATED_NAME = "krixik_generated_file_name_"

_MIB = 2**20
# (smallest, largest) bytes a file may have, by the first module's format. The official client
# says them in MiB: 0.000001 at least (0.001 for images, 0.00001 for audio), and 2.000001 and so
# on at most, which lets one byte more through; only summarize's limit is exact.
SIZE_BYTES: Mapping[Format, tuple[int, int]] = {
    "text": (2, 2 * _MIB + 1),
    "json": (2, 3 * _MIB + 1),
    "image": (1049, 5 * _MIB + 1),
    "audio": (11, 3 * _MIB + 1),
    "npy": (2, 3 * _MIB + 1),
    "faiss": (2, 3 * _MIB + 1),
    "db": (2, 3 * _MIB + 1),
}
SUMMARIZE_BYTES = _MIB // 4
TO_CONVERT = (".pdf", ".docx", ".pptx")

_NAME = re.compile(r"[a-zA-Z0-9 _,.\-]+")
_DIRECTORY = re.compile(r"/|(/[a-zA-Z0-9 _\-]+)+")
_TAG = re.compile(r"[a-zA-Z0-9 \-_]+")
_DESCRIPTION = re.compile(r"[a-zA-Z0-9 \-_.,;'\"!?]*")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def kind_of(value: object) -> str:
    """Give the type's name for a message."""
    return type(value).__name__


def require_text(name: str, value: object) -> str:
    """Give the str back, or raise InvalidArgumentType."""
    if not isinstance(value, str):
        raise InvalidArgumentType(f"{name} is {kind_of(value)} but must be a str")
    return value


def check_id(name: str, value: object) -> str:
    """Give a request_id or file_id in lower case, or raise: it must have the form of a uuid."""
    given = require_text(name, value)
    text = given.lower()
    if not _ID.fullmatch(text):
        raise InvalidArgument(
            f"{name} is {text[:50]!r} but must be a uuid such as "
            "'0d9f1c3e-5b7a-4c2d-8e6f-1a2b3c4d5e6f': pass the id that process() gave"
        )
    # Mostly it is lower case already: the caller's own string, not a copy for each waiting job.
    return given if given == text else text


def check_bool(name: str, value: object) -> bool:
    """Give the bool back, or raise InvalidArgumentType."""
    if not isinstance(value, bool):
        raise InvalidArgumentType(f"{name} is {kind_of(value)} but must be True or False")
    return value


def extension_of(file_name: str) -> str:
    """Give what follows the last dot, with the dot, in lower case; "" if there is no dot."""
    _, dot, ending = file_name.rpartition(".")
    return f".{ending.lower()}" if dot else ""


def check_extension(file_name: str, chain: Sequence[str]) -> str:
    """Give the extension in lower case, or raise: the first module decides which are taken."""
    extension = extension_of(file_name)
    allowed = EXTENSIONS[input_format(chain)]
    if extension not in allowed:
        given = f"the extension {extension!r}" if extension else "no extension"
        raise InvalidArgument(
            f"{file_name!r} has {given}, but the first module ({chain[0]!r}) takes "
            f"{', '.join(allowed)}"
        )
    return extension


def check_file_name(file_name: object, *, extension: str) -> str:
    """Give the name in lower case, as it is stored.

    Raises for a name that is not 1 to 64 letters, digits, blanks and `_ , . -`, or that does not
    end in `extension`, the extension of the file itself.
    """
    name = require_text("file_name", file_name)
    if not 1 <= len(name) <= MAX_FILE_NAME:
        raise InvalidArgument(
            f"file_name has {len(name)} characters but must have 1 to {MAX_FILE_NAME}"
        )
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"file_name is {name!r}: only letters a-z, digits, blanks and _ , . - are allowed"
        )
    if extension_of(name) != extension:
        raise InvalidArgument(
            f"file_name is {name!r} but must end in {extension!r}, as the file itself does"
        )
    return name.lower()


def check_directory(path: object, *, name: str = "symbolic_directory_path") -> str:
    """Give a symbolic directory in lower case: "/" or "/a/b", at most 128 characters.

    Paths with "/etc" in them are the service's own, except "/etc" itself and names such as
    "/etcetera" at the top.
    """
    text = require_text(name, path)
    if len(text) > MAX_DIRECTORY_PATH:
        raise InvalidArgument(
            f"{name} has {len(text)} characters but at most {MAX_DIRECTORY_PATH} are allowed"
        )
    if not _DIRECTORY.fullmatch(text):
        raise InvalidArgument(
            f"{name} is {text!r}: it must start with '/', must not end with one, and holds "
            "letters a-z, digits, blanks, _ and - between single slashes, such as '/novels/short'"
        )
    refuse_etc(text, name=name)
    return text.lower()


def refuse_etc(path: str, *, name: str) -> None:
    """Raise InvalidArgument for "/etc" in a path of two levels or more, in capitals or not."""
    if "/etc" in path.lower() and path.count("/") >= 2:
        raise InvalidArgument(
            f"{name} is {path!r}: no folder below or beside '/etc' may be made; choose another"
        )


def split_symbolic_path(path: object) -> tuple[str, str]:
    """Split "/dir/name.txt" into ("/dir", "name.txt"); both parts still have to be checked."""
    text = require_text("symbolic_file_path", path)
    directory, slash, name = text.rpartition("/")
    if not slash or not name:
        raise InvalidArgument(
            f"symbolic_file_path is {text!r} but must be a folder and a name, "
            "such as '/novels/moby.txt'"
        )
    return directory or "/", name


def one_place(
    directory: str | None, name: str | None, path: object
) -> tuple[str | None, str | None]:
    """Give (directory, file name), None where not given, of a caller who may give `path` instead.

    Both still have to be checked.
    """
    if path is None:
        return directory, name
    if directory is not None or name is not None:
        raise InvalidArgument(
            "symbolic_file_path was given together with file_name or symbolic_directory_path: it "
            "is both of them in one, so give it alone"
        )
    return split_symbolic_path(path)


def check_tags(file_tags: object, *, wildcard: bool = False) -> tuple[dict[str, str], ...]:
    """Give the tags in lower case, as they are stored.

    A list of at most 20 one-pair dicts, keys and values of 1 to 32 letters, digits, blanks, `-`
    and `_`; no pair twice. In a query (`wildcard`) a value may be "*".
    """
    if isinstance(file_tags, str | Mapping) or not isinstance(file_tags, Iterable):
        raise InvalidArgumentType(
            f"file_tags is {kind_of(file_tags)} but must be a list of one-pair dicts, "
            'such as [{"author": "melville"}]'
        )
    tags: list[dict[str, str]] = []
    for tag in file_tags:
        if len(tags) == MAX_TAGS:
            raise InvalidArgument(
                f"file_tags holds more than the {MAX_TAGS} pairs that are allowed"
            )
        if not isinstance(tag, Mapping) or len(tag) != 1:
            raise InvalidArgumentType(
                f"file_tags holds {tag!r} but must hold dicts of one pair, such as "
                '{"author": "melville"}: write one dict for each pair'
            )
        ((key, value),) = tag.items()
        pair = {_tag_text(key, False): _tag_text(value, wildcard)}
        if pair in tags:
            raise InvalidArgument(f"file_tags holds {pair!r} twice: leave one out")
        tags.append(pair)
    return tuple(tags)


def _tag_text(text: object, wildcard: bool) -> str:
    if not isinstance(text, str):
        raise InvalidArgumentType(f"file_tags holds {text!r}: keys and values must be str")
    if wildcard and text == "*":
        return text
    if not 1 <= len(text) <= MAX_TAG_TEXT or not _TAG.fullmatch(text):
        raise InvalidArgument(
            f"file_tags holds {text!r}: keys and values must be 1 to {MAX_TAG_TEXT} letters a-z, "
            "digits, blanks, - and _"
        )
    return text.lower()


def check_description(file_description: object) -> str:
    """Give the description as it is: at most 256 letters, digits, blanks and `-_.,;'"!?`."""
    text = require_text("file_description", file_description)
    if len(text) > MAX_DESCRIPTION:
        raise InvalidArgument(
            f"file_description has {len(text)} characters but at most {MAX_DESCRIPTION} are allowed"
        )
    if not _DESCRIPTION.fullmatch(text):
        odd = next(character for character in text if not _DESCRIPTION.fullmatch(character))
        raise InvalidArgument(
            f"file_description holds {odd!r}: only letters a-z, digits, blanks and "
            "- _ . , ; ' \" ! ? are allowed"
        )
    return text


def check_expire_time(expire_time: object) -> int:
    """Give the seconds a file is kept: a whole number of 1800 (30 min) to 2592000 (30 days)."""
    if isinstance(expire_time, bool) or not isinstance(expire_time, int):
        raise InvalidArgumentType(
            f"expire_time is {kind_of(expire_time)} but must be a whole number of seconds"
        )
    low, high = EXPIRE_TIME_S
    if not low <= expire_time <= high:
        raise InvalidArgument(
            f"expire_time is {expire_time} s but must be {low} (30 minutes) to {high} (30 days)"
        )
    return expire_time


def check_size(size: int, chain: Sequence[str], *, what: str) -> None:
    """Raise InvalidArgument for a file too small or too large for the first module."""
    low, high = SIZE_BYTES[input_format(chain)]
    if chain[0] == "summarize":
        high = SUMMARIZE_BYTES
    if size < low:
        raise InvalidArgument(
            f"{what} has {size} bytes but must have at least {low}: it is empty or cut off"
            if size
            else f"{what} is empty: there is nothing to process"
        )
    if size > high:
        raise InvalidArgument(
            f"{what} has {size} bytes but {chain[0]!r} takes at most {high}: split it into parts"
        )
