"""Real speech through real weights: both come in packages that `make test-full` installs.

The recording is ten seconds of Beckett's "Worstward Ho", from moonshine-voice.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from krixik_async.server.runners import RunRequest, run

SAID = "ever tried ever failed no matter try again fail again fail better"


def recording() -> Path:
    spec = importlib.util.find_spec("moonshine_voice")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "assets" / "beckett.wav"


@pytest.mark.parametrize("model", ["whisper-tiny", "whisper-base"])
def test_speech_becomes_its_words_with_their_times(tmp_path: Path, model: str) -> None:
    """Every word, in order, ascending in time; confident on the whole; each run the same."""
    request = RunRequest("transcribe", model, {}, recording(), tmp_path / "out", None)
    assert run(request) == {"num_lines": 1}
    written = request.destination.read_bytes()
    (entry,) = json.loads(written)
    assert " ".join(re.findall(r"\w+", entry["transcript"].lower())) == SAID
    assert entry["transcript"].startswith(" ")
    words = [word for segment in entry["timestamped_transcript"] for word in segment["words"]]
    assert len(words) == len(SAID.split())
    times = [time for word in words for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert times[-1] < 10
    assert sum(word["confidence"] for word in words) / len(words) > 0.7
    run(request)
    assert request.destination.read_bytes() == written
