"""The modules that run neural models: real loading, running and writing, on tiny models made here.

Each tiny model answers the same whatever it is asked, so that outputs can be told to the letter;
see `tiny_models`. Every model name of the catalogue is loaded by the code that would load the real
one, from the model folder, with no network.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from krixik_async._catalogue import MODULES
from krixik_async.server.runners import RunnerError, RunRequest, _shelf, run
from krixik_async.server.runners import _bert as bert
from krixik_async.server.runners import _transformer_encoder as transformer_encoder
from krixik_async.server.runners._weights import HUB_NAMES, IN_PARTS
from tests.full import tiny_models

ENTRIES = [
    {"snippet": "hello world the cat sat.", "line_numbers": [1, 2], "other": 1},
    {"snippet": ""},
    {"snippet": "good " * 200},
]
STARS = ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]
CAPTIONERS = {
    "vit-gpt2-image-captioning": tiny_models.vit_gpt2,
    "git-base": tiny_models.git,
    "blip-image-captioning-base": tiny_models.blip,
    "blip-image-captioning-large": tiny_models.blip,
}
KINDS = {"all-mpnet-base-v2": "mpnet", "msmarco-distilbert-dot-v5": "distilbert"}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nothing be fetched, and no model of one test serve the next."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    _shelf._idle.cache_clear()


def ask(
    tmp_path: Path, module: str, model: str, source: Any, *, key: str | None = None, **params: Any
) -> RunRequest:
    """Give a request for what is in `source`: a path, a text, or JSON."""
    path = source if isinstance(source, Path) else tmp_path / "input"
    if isinstance(source, str):
        path.write_text(source, encoding="utf-8")
    elif not isinstance(source, Path):
        path.write_text(json.dumps(source), encoding="utf-8")
    return RunRequest(module, model, params, path, tmp_path / "output", key, tmp_path / "models")


def output(request: RunRequest) -> Any:
    """Run it and give the JSON it writes."""
    run(request)
    return json.loads(request.destination.read_text(encoding="utf-8"))


# --- sentiment -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "shares", "expected"),
    [
        (0, {"NEGATIVE": 0.25, "POSITIVE": 0.75}, (0.75, 0.25, 0.0)),
        (1, dict(zip(STARS, (0.1, 0.2, 0.3, 0.25, 0.15), strict=True)), (0.4, 0.3, 0.3)),
        (2, {"positive": 0.6, "neutral": 0.3, "negative": 0.1}, (0.6, 0.1, 0.3)),
        (3, {"negative": 1 / 3, "neutral": 1 / 6, "positive": 1 / 2}, (0.5, 0.333, 0.167)),
    ],
)
def test_sentiment_gives_three_shares_of_two_three_or_five_classes(
    tmp_path: Path, model: int, shares: dict[str, float], expected: tuple[float, ...]
) -> None:
    """Three decimals; neutral is 0.0 where there are two classes; line numbers do not come through.

    A text beyond what the model reads is cut, one without a word is judged like any other.
    """
    name = MODULES["sentiment"].models[model]
    tiny_models.classifier(tmp_path / "models" / name, shares)
    request = ask(tmp_path, "sentiment", name, ENTRIES)
    of_each = dict(zip(("positive", "negative", "neutral"), expected, strict=True))
    assert output(request) == [{"snippet": entry["snippet"], **of_each} for entry in ENTRIES]
    assert list(output(request)[0]) == ["snippet", "positive", "negative", "neutral"]
    assert run(request) == {"num_lines": 3}


def test_sentiment_reads_the_key_of_the_module_before_in_batches(tmp_path: Path) -> None:
    """After ocr the texts are under "text"; 40 are more than are judged at a time."""
    name = MODULES["sentiment"].models[0]
    tiny_models.classifier(tmp_path / "models" / name, {"NEGATIVE": 0.5, "POSITIVE": 0.5})
    entries = [{"text": f"cat {number}", "detections": []} for number in range(40)]
    said = output(ask(tmp_path, "sentiment", name, entries, key="text"))
    assert [entry["snippet"] for entry in said] == [entry["text"] for entry in entries]


def test_a_classifier_of_anything_else_is_refused(tmp_path: Path) -> None:
    name = MODULES["sentiment"].models[0]
    tiny_models.classifier(tmp_path / "models" / name, {"spam": 0.5, "ham": 0.5})
    with pytest.raises(RunnerError, match="a model with the classes spam, ham is not known"):
        run(ask(tmp_path, "sentiment", name, ENTRIES))


# --- translate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODULES["translate"].models)
def test_translate_keeps_line_numbers_and_drops_letters_outside_ascii(
    tmp_path: Path, model: str
) -> None:
    tiny_models.marian(tmp_path / "models" / model, says="más", words=2)
    request = ask(tmp_path, "translate", model, ENTRIES)
    assert output(request) == [
        {"snippet": "ms ms", "line_numbers": [1, 2]},
        {"snippet": "ms ms"},
        {"snippet": "ms ms"},
    ]
    assert run(request) == {"num_lines": 3}


def test_nothing_to_translate_is_an_empty_list(tmp_path: Path) -> None:
    tiny_models.marian(tmp_path / "models" / "opus-mt-en-es", says="cat")
    assert output(ask(tmp_path, "translate", "opus-mt-en-es", [])) == []


# --- summarize -----------------------------------------------------------------------------------


def test_summarize_wraps_at_twelve_words_a_line_and_a_paragraph_for_each_part(
    tmp_path: Path,
) -> None:
    """A model that reads 64 tokens, a text of 100: two parts, a blank line between."""
    tiny_models.bart(tmp_path / "models" / "bart-large-cnn", says="cat", words=26)
    request = ask(tmp_path, "summarize", "bart-large-cnn", "hello world\nthe cat sat. " * 20)
    assert run(request) == {}
    full, rest = " ".join(["cat"] * 12), "cat cat"
    paragraph = f"{full}\n{full}\n{rest}"
    assert request.destination.read_text("utf-8") == f"{paragraph}\n\n{paragraph}"


def test_summarize_does_as_the_models_configuration_says(tmp_path: Path) -> None:
    """It has a prefix, which takes room, and a length."""
    folder = tmp_path / "models" / "text-summarization"
    tiny_models.t5(folder, prefix="the " * 20, words=5)
    # 64 tokens, less 8 and less the prefix's 20: 36 words, and then 4.
    request = ask(tmp_path, "summarize", "text-summarization", "hello " * 40)
    run(request)
    assert request.destination.read_text("utf-8") == "\n\n".join([" ".join(["cat"] * 5)] * 2)


@pytest.mark.parametrize(
    ("text", "words_a_part"),
    [
        # 56 tokens fit: cut after the last sentence, if that is in the second half.
        ("hello world the cat sat. " * 12, [55, 5]),
        ("sat. " + "hello " * 60, [56, 5]),
        ("hello " * 56, [56]),
    ],
)
def test_a_part_ends_with_a_sentence_if_it_can(
    tmp_path: Path, text: str, words_a_part: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from krixik_async.server.runners import _summarize

    asked: list[str] = []
    real = _summarize._summary

    def seeing(model: Any, tokenizer: Any, part: str, settings: Any) -> str:
        asked.append(part)
        return real(model, tokenizer, part, settings)

    monkeypatch.setattr(_summarize, "_summary", seeing)
    tiny_models.bart(tmp_path / "models" / "bart-large-cnn")
    run(ask(tmp_path, "summarize", "bart-large-cnn", text))
    assert [len(part.split()) for part in asked] == words_a_part
    assert " ".join(asked).split() == text.split()


def test_a_word_too_long_for_the_model_is_a_part_of_its_own(tmp_path: Path) -> None:
    """What cannot be cut is cut by the tokenizer, and nothing runs for ever."""
    folder = tiny_models.bart(tmp_path / "models" / "bart-large-cnn", words=1)
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 8}))
    request = ask(tmp_path, "summarize", "bart-large-cnn", "hello world")
    run(request)
    assert request.destination.read_text("utf-8") == "cat\n\ncat"


def test_the_summary_of_nothing_is_empty(tmp_path: Path) -> None:
    tiny_models.bart(tmp_path / "models" / "bart-large-cnn")
    request = ask(tmp_path, "summarize", "bart-large-cnn", " \n ")
    run(request)
    assert request.destination.read_bytes() == b""


# --- caption -------------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Give a picture with transparency, in a format the models do not read as it is."""
    path = tmp_path / "image.png"
    Image.new("RGBA", (50, 30), (200, 30, 30, 128)).save(path)
    return path


@pytest.mark.parametrize("model", MODULES["caption"].models)
def test_caption_gives_what_the_model_says(tmp_path: Path, model: str, image: Path) -> None:
    CAPTIONERS[model](tmp_path / "models" / model, says="cat")
    request = ask(tmp_path, "caption", model, image)
    (entry,) = output(request)
    assert list(entry) == ["caption"]
    assert set(entry["caption"].split(" ")) == {"cat"}
    assert run(request) == {"num_lines": 1}


def test_what_is_no_image_is_refused(tmp_path: Path, image: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(image.read_bytes()[:60])
    for source in ("no image", cut):
        with pytest.raises(RunnerError, match="not an image that can be read"):
            run(ask(tmp_path, "caption", "git-base", source))
    with pytest.raises(FileNotFoundError):
        run(ask(tmp_path, "caption", "git-base", tmp_path / "nowhere"))


# --- transcribe ----------------------------------------------------------------------------------


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"\x00\x10\x00\xf0" * 16000)
    return path


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.whisper(tmp_path_factory.mktemp("models") / "whisper")


def check_transcript(said: Any) -> None:
    (entry,) = said
    assert list(entry) == ["transcript", "timestamped_transcript"]
    assert entry["transcript"].startswith(" cat cat")
    segments = entry["timestamped_transcript"]
    assert [segment["id"] for segment in segments] == list(range(len(segments)))
    for segment in segments:
        assert list(segment) == [
            "id",
            "start",
            "end",
            "text",
            "no_speech_prob",
            "confidence",
            "words",
        ]
        assert 0 <= segment["confidence"] <= 1
        assert " " + " ".join(word["text"] for word in segment["words"]) == segment["text"]
        assert all(0 <= word["start"] <= word["end"] <= 31 for word in segment["words"])
    assert "".join(segment["text"] for segment in segments) == entry["transcript"]


@pytest.mark.parametrize("model", MODULES["transcribe"].models)
def test_transcribe_gives_segments_and_words(
    tmp_path: Path, model: str, sound: Path, whisper: Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / model).symlink_to(whisper)
    request = ask(tmp_path, "transcribe", model, sound)
    check_transcript(output(request))
    assert run(request) == {"num_lines": 1}


def test_weights_in_parts_are_put_together(
    tmp_path: Path, sound: Path, whisper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two packages, each with half of the largest file; one of them alone is not enough."""
    (first, second), folder, _ = IN_PARTS["whisper-base"]
    weights = (whisper / "model.bin").read_bytes()
    half = len(weights) // 2
    for package, part, content in ((first, 1, weights[:half]), (second, 2, weights[half:])):
        place = tmp_path / "site" / package
        (place / folder).mkdir(parents=True)
        (place / "__init__.py").touch()
        (place / folder / f"model.bin.part{part}").write_bytes(content)
    for path in whisper.iterdir():
        if path.name != "model.bin":
            (tmp_path / "site" / first / folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    check_transcript(output(ask(tmp_path, "transcribe", "whisper-base", sound)))
    monkeypatch.setitem(sys.modules, second, None)
    with pytest.raises(RunnerError, match="the weights of 'whisper-base' are not on this machine"):
        run(ask(tmp_path, "transcribe", "whisper-base", sound))


def test_what_is_no_sound_is_refused(tmp_path: Path, image: Path) -> None:
    for source in ("no sound", image):
        with pytest.raises(RunnerError, match="not a sound file that can be read"):
            run(ask(tmp_path, "transcribe", "whisper-tiny", source))


def test_whisper_weights_of_another_form_are_refused(tmp_path: Path, sound: Path) -> None:
    tiny_models.bart(tmp_path / "models" / "whisper-tiny")
    with pytest.raises(RunnerError, match=r"the weights in .* cannot be loaded"):
        run(ask(tmp_path, "transcribe", "whisper-tiny", sound))


# --- text-embedder -------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODULES["text-embedder"].models)
@pytest.mark.parametrize("quantize", [True, False])
def test_every_embedder_gives_a_row_a_snippet(tmp_path: Path, model: str, quantize: bool) -> None:
    tiny_models.sentence_encoder(tmp_path / "models" / model, KINDS.get(model, "bert"))
    request = ask(tmp_path, "text-embedder", model, ENTRIES, quantize=quantize)
    assert run(request) == {"num_vectors": 3}
    vectors = np.load(request.destination)
    assert (vectors.dtype, vectors.shape) == (np.float32, (3, tiny_models.WIDTH))
    assert len({tuple(row) for row in vectors.tolist()}) == 3


def test_the_two_encoders_agree_rounded_and_not(tmp_path: Path) -> None:
    """NumPy's and torch's, on the same BERT: two ways to one vector; rounding changes it."""
    folder = tiny_models.sentence_encoder(tmp_path, "bert")
    texts = [str(entry["snippet"]) for entry in ENTRIES]
    plain = transformer_encoder.load(folder, quantize=False).embed(texts)
    rounded = transformer_encoder.load(folder, quantize=True).embed(texts)
    np.testing.assert_allclose(bert.load(folder, quantize=False).embed(texts), plain, atol=2e-6)
    np.testing.assert_allclose(bert.load(folder, quantize=True).embed(texts), rounded, atol=2e-6)
    assert 1e-5 < float(np.abs(plain - rounded).max()) < 0.1


def test_a_vector_does_not_depend_on_its_company(tmp_path: Path) -> None:
    folder = tiny_models.sentence_encoder(tmp_path, "distilbert")
    encoder = transformer_encoder.load(folder, quantize=True)
    alone = encoder.embed(["hello world"])[0]
    among = encoder.embed(["cat " * 50, "hello world", *["the cat"] * 20])[1]
    np.testing.assert_allclose(alone, among, atol=2e-6)
    assert encoder.width == tiny_models.WIDTH


def test_an_encoder_reads_as_much_of_a_text_as_its_folder_says(tmp_path: Path) -> None:
    folder = tiny_models.sentence_encoder(tmp_path, "distilbert")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 6}', encoding="utf-8")
    encoder = transformer_encoder.load(folder, quantize=False)
    first, second = encoder.embed(["good cat the bad", "good cat the bad hello world"])
    np.testing.assert_array_equal(first, second)


# --- all of them ---------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[Path], Path]] = {
    "caption": tiny_models.blip,
    "sentiment": lambda folder: tiny_models.classifier(folder, {"NEGATIVE": 0.5, "POSITIVE": 0.5}),
    "summarize": tiny_models.bart,
    "translate": lambda folder: tiny_models.marian(folder, says="cat"),
}


def an_input(tmp_path: Path, module: str) -> Any:
    if module == "caption":
        Image.new("RGB", (8, 8)).save(tmp_path / "image.png")
        return tmp_path / "image.png"
    return "hello world" if module == "summarize" else ENTRIES


@pytest.mark.parametrize("module", MAKERS)
def test_the_same_input_gives_the_same_bytes_from_a_kept_model(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run loads nothing: the model is kept from the first."""
    model = MODULES[module].models[0]
    folder = MAKERS[module](tmp_path / "models" / model)
    request = ask(tmp_path, module, model, an_input(tmp_path, module))
    run(request)
    first = request.destination.read_bytes()
    for path in folder.glob("*.safetensors"):
        path.unlink()
    run(request)
    assert request.destination.read_bytes() == first
    _shelf._idle.cache_clear()
    with pytest.raises(RunnerError, match=r"the weights in .* cannot be loaded"):
        run(request)


@pytest.mark.parametrize("module", MAKERS)
def test_weights_that_are_nowhere_fail_with_the_way_to_get_them(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for model in MODULES[module].models:
        with pytest.raises(RunnerError) as caught:
            run(ask(tmp_path, module, model, an_input(tmp_path, module)))
        assert str(caught.value) == (
            f"the weights of {model!r} are not on this machine: "
            f"hf download {HUB_NAMES[model]} --local-dir {tmp_path / 'models' / model}"
        )


def test_a_model_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one has it who installed what the default embedder needs, and asks for another."""
    model = "all-mpnet-base-v2"
    tiny_models.sentence_encoder(tmp_path / "models" / model, "mpnet")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RunnerError) as caught:
        run(ask(tmp_path, "text-embedder", model, ENTRIES))
    assert str(caught.value) == "this model needs torch: pip install 'krixik-async[hub]'"


def test_two_borrowers_have_a_copy_each_and_an_error_gives_none_back() -> None:
    """Threads of one process may need the same model at the same time."""
    made: list[object] = []

    def load(_: str) -> object:
        made.append(object())
        return made[-1]

    with _shelf.borrowed(load, "a") as first, _shelf.borrowed(load, "a") as second:
        assert first is not second
    with _shelf.borrowed(load, "a") as again:
        assert again in (first, second)
    with pytest.raises(ZeroDivisionError), _shelf.borrowed(load, "b"):
        raise ZeroDivisionError
    with _shelf.borrowed(load, "b"):
        pass
    assert len(made) == 4


def test_no_library_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, krixik_async.server.runners as r, importlib\n"
        "for path in r.RUNNERS.values(): importlib.import_module(path)\n"
        "print(sorted({'torch', 'transformers', 'av', 'faster_whisper'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
