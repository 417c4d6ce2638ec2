"""Loaded models, kept for the next file: loading one takes longer than most files do.

One model at a time is kept in a process, for some are of gigabytes: the last one used. Who borrows
it has it alone, since tokenizers are not made for two threads; a second thread of the same process
that needs the same model meanwhile loads another copy.

All libraries compute with one thread: a server runs as many files at a time as it has workers, and
threads of each on all processors would only be in each other's way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from krixik_async.server.runners._request import RunnerError

__all__ = ["Foreign", "borrowed", "load_transformer", "tokenized"]

Foreign: TypeAlias = Any
"""An object of a library that need not be there when types are checked."""

# So many tokens all models of the catalogue that take batches of snippets read.
_LONGEST = 512


@lru_cache(maxsize=1)
def _idle(_load: Callable[..., object], *_key: object) -> list[Foreign]:
    return []


@contextmanager
def borrowed(load: Callable[..., Foreign], *key: object) -> Iterator[Foreign]:
    """Give what `load(*key)` gives, made anew or by an earlier call in this process."""
    idle = _idle(load, *key)
    try:
        loaded = idle.pop()
    except IndexError:
        loaded = load(*key)
    yield loaded
    # After an error it is dropped: it may be in any state.
    idle.append(loaded)


def load_transformer(folder: Path, *classes: str) -> tuple[Foreign, ...]:
    """Give an instance of each class of transformers that is named, from one folder of weights.

    Nothing is fetched, and no code that a folder may hold is run.

    Raises:
        RunnerError: the files are not those of such a model, or an extra is not installed.
    """
    try:
        import torch
        import transformers
    except ModuleNotFoundError as error:
        raise RunnerError(
            f"this model needs {error.name}: pip install 'krixik-async[hub]'"
        ) from error
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    try:
        return tuple(
            getattr(transformers, name).from_pretrained(folder, local_files_only=True)
            for name in classes
        )
    except (ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        why = str(error).strip().partition("\n")[0]
        raise RunnerError(f"the weights in {folder} cannot be loaded: {why}") from error


def tokenized(tokenizer: Foreign, texts: Sequence[str], *, at_a_time: int) -> Iterator[Foreign]:
    """Give a model's inputs, for so many texts at a time; what is longer than it reads is cut.

    A snippet of the 255 words that the service allows rarely is.
    """
    longest = min(tokenizer.model_max_length, _LONGEST)
    for start in range(0, len(texts), at_a_time):
        yield tokenizer(
            list(texts[start : start + at_a_time]),
            max_length=longest,
            padding=True,
            return_tensors="pt",
            truncation=True,
        )
