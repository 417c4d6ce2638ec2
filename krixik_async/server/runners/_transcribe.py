"""transcribe: speech to text with times, by Whisper.

Run by faster-whisper, on CTranslate2: weights in that form (`Systran/faster-whisper-*` on the hub)
are OpenAI's own, at half the size and several times the speed of the framework's, and the library
gives the times of words. The hosted service's outputs are of the same shape: segments with words,
each with a confidence. 44 s of speech take 2.0 s of one CPU with the tiny model, 3.6 s with base.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from krixik_async.server.runners._entries import write_entries
from krixik_async.server.runners._request import RunnerError, RunRequest
from krixik_async.server.runners._shelf import Foreign, borrowed
from krixik_async.server.runners._weights import locate, parts_of, weights_of

__all__ = ["run"]

# A file that is cut into pieces: model.bin.part1, ...
_PIECE = ".part"


def run(request: RunRequest) -> dict[str, object]:
    """Write a list of one object with the transcript and its segments; `num_lines` is 1.

    Raises:
        RunnerError: no sound that can be read; weights that are not here, or of another kind.
    """
    sound = _read_sound(request.source)
    with borrowed(_load, *_places(request)) as model:
        # Greedy at temperature 0 and no second try above it: the same file gives the same text.
        segments, _ = model.transcribe(sound, temperature=0.0, word_timestamps=True)
        said = [_segment(number, segment) for number, segment in enumerate(segments)]
    transcript = " " + "".join(str(segment["text"]) for segment in said).strip()
    entry = {"transcript": transcript, "timestamped_transcript": said}
    return {"num_lines": write_entries([entry], request.destination)}


def _places(request: RunRequest) -> tuple[Path, ...]:
    """Give the model's folder, or the folders that its parts are in."""
    if locate(request.model, request.model_dir) is None:
        parts = parts_of(request.model)
        if parts:
            return parts
    return (weights_of(request),)


def _load(*places: Path) -> Foreign:
    from faster_whisper import WhisperModel

    files = _joined(places) if len(places) > 1 else None
    try:
        return WhisperModel(
            str(places[0]),
            compute_type="int8",
            cpu_threads=1,
            device="cpu",
            files=files,
            local_files_only=True,
        )
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        why = str(error).strip().partition("\n")[0]
        raise RunnerError(f"the weights in {places[0]} cannot be loaded: {why}") from error


def _joined(places: Iterable[Path]) -> dict[str, object]:
    files: dict[str, bytes] = {}
    for path in sorted(path for place in places for path in place.iterdir()):
        name = path.name.partition(_PIECE)[0]
        files[name] = files.get(name, b"") + path.read_bytes()
    return dict(files)


def _read_sound(source: Path) -> Foreign:
    import av
    from faster_whisper import decode_audio

    try:
        with source.open("rb") as sound:
            return decode_audio(sound)
    except (av.FFmpegError, IndexError) as error:
        raise RunnerError("the input is not a sound file that can be read") from error


def _segment(number: int, segment: Foreign) -> dict[str, object]:
    return {
        "id": number,
        "start": round(float(segment.start), 2),
        "end": round(float(segment.end), 2),
        "text": segment.text,
        "no_speech_prob": round(float(segment.no_speech_prob), 3),
        # The geometric mean of the probabilities of the segment's tokens.
        "confidence": round(math.exp(segment.avg_logprob), 3),
        "words": [
            {
                "text": word.word.strip(),
                "start": round(float(word.start), 2),
                "end": round(float(word.end), 2),
                "confidence": round(float(word.probability), 3),
            }
            for word in segment.words or ()
        ],
    }
