"""The eleven modules: their table, what may follow what, and the parameters they take."""

from __future__ import annotations

import copy
import itertools
import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._catalogue import (
    EXTENSIONS,
    MAX_CHAIN,
    MODULES,
    OUTPUT_EXTENSIONS,
    can_keyword_search,
    can_semantic_search,
    check_chain,
    check_pipeline_name,
    fill_modules,
    fits,
    followers,
    input_format,
    labels,
    nearest,
    output_process_keys,
)
from krixik_async._errors import InvalidArgument, InvalidArgumentType

# The relation written out from the service's rules, not computed from the table.
JSON_KEYED_OUT = {"caption", "ocr", "parser", "sentiment", "transcribe", "translate"}
JSON_KEYED_IN = {"json-to-txt", "sentiment", "translate", "text-embedder"}
TEXT_OUT = {"json-to-txt", "summarize"}
TEXT_IN = {"keyword-db", "parser", "summarize"}
LEGAL_PAIRS = {
    *itertools.product(JSON_KEYED_OUT, JSON_KEYED_IN),
    *itertools.product(TEXT_OUT, TEXT_IN),
    ("text-embedder", "vector-db"),
}
FIXED = {"model": "fixed", "params": {"chunk_size": 10, "overlap_size": 4}}


def error_of(function: Any, *args: Any) -> Exception:
    with pytest.raises((InvalidArgument, InvalidArgumentType)) as caught:
        function(*args)
    return caught.value


# --- the table -----------------------------------------------------------------------------


def test_the_modules_are_the_official_eleven_in_order() -> None:
    names = (
        "caption json-to-txt keyword-db ocr parser sentiment summarize text-embedder transcribe "
        "translate vector-db"
    )
    assert list(MODULES) == names.split()
    assert {name: module.name for name, module in MODULES.items()} == {n: n for n in MODULES}


@pytest.mark.parametrize(
    ("name", "default", "models"),
    [
        ("caption", "vit-gpt2-image-captioning", 4),
        ("json-to-txt", "base", 1),
        ("keyword-db", "sqlite", 1),
        ("ocr", "tesseract-en", 2),
        ("parser", "sentence", 2),
        ("sentiment", "distilbert-base-uncased-finetuned-sst-2-english", 4),
        ("summarize", "bart-large-cnn", 2),
        ("text-embedder", "all-MiniLM-L6-v2", 5),
        ("transcribe", "whisper-tiny", 5),
        ("translate", "opus-mt-en-es", 7),
        ("vector-db", "faiss", 1),
    ],
)
def test_each_module_has_its_models_the_default_first(name: str, default: str, models: int) -> None:
    assert (MODULES[name].models[0], len(set(MODULES[name].models))) == (default, models)


def test_every_format_has_its_extensions_and_every_output_one() -> None:
    assert set(EXTENSIONS) == {module.takes for module in MODULES.values()} | {"faiss", "db"}
    assert set(OUTPUT_EXTENSIONS) == {module.gives for module in MODULES.values()}
    assert all(OUTPUT_EXTENSIONS[f] in EXTENSIONS[f] for f in OUTPUT_EXTENSIONS)
    assert EXTENSIONS["text"] == (".txt", ".pdf", ".docx", ".pptx")
    assert EXTENSIONS["image"] == (".jpg", ".jpeg", ".png")


# --- chains --------------------------------------------------------------------------------


def test_exactly_the_official_31_pairs_fit() -> None:
    found = {pair for pair in itertools.product(MODULES, repeat=2) if fits(*map(MODULES.get, pair))}  # type: ignore[arg-type]
    assert found == LEGAL_PAIRS
    assert len(found) == 31


@pytest.mark.parametrize("name", MODULES)
def test_followers_are_what_the_pairs_say(name: str) -> None:
    assert set(followers(name)) == {second for first, second in LEGAL_PAIRS if first == name}


@given(st.lists(st.sampled_from(list(MODULES)), min_size=1, max_size=MAX_CHAIN))
def test_a_chain_is_legal_exactly_if_each_pair_is(chain: list[str]) -> None:
    if set(itertools.pairwise(chain)) <= LEGAL_PAIRS:
        assert check_chain(chain) == tuple(chain)
    else:
        assert isinstance(error_of(check_chain, chain), InvalidArgument)


@given(st.data())
def test_every_chain_walked_along_the_pairs_is_legal(data: st.DataObject) -> None:
    chain = [data.draw(st.sampled_from(list(MODULES)))]
    while len(chain) < MAX_CHAIN and followers(chain[-1]) and data.draw(st.booleans()):
        chain.append(data.draw(st.sampled_from(followers(chain[-1]))))
    assert check_chain(chain) == check_chain(tuple(chain)) == tuple(chain)
    keys = output_process_keys(chain)
    assert len(keys) == len(chain)
    assert json.loads(json.dumps(fill_modules(chain, None))).keys() == set(labels(len(chain)))


def test_what_is_computed_from_a_chain() -> None:
    chain = check_chain(["transcribe", "translate", "json-to-txt", "keyword-db"])
    assert output_process_keys(chain) == ("transcript", "snippet", None, None)
    assert output_process_keys(["caption"]) == ("caption",)
    assert output_process_keys(["ocr", "text-embedder", "vector-db"]) == ("text", "data", None)
    assert input_format(chain) == "audio"
    assert can_keyword_search(chain)
    assert not can_keyword_search(["parser"])
    assert can_semantic_search(["text-embedder", "vector-db"])
    assert not can_semantic_search(["vector-db"])
    assert not can_semantic_search(["parser", "text-embedder"])
    assert labels(3) == ("module_1", "module_2", "module_3")
    assert labels(0) == ()


def test_the_pair_that_does_not_fit_is_named_with_what_may_stand_there() -> None:
    assert str(error_of(check_chain, ["parser", "sentiment", "parser", "nope"])) == (
        "module_chain names 'nope' at position 4, which is no module. There are: "
        + ", ".join(MODULES)
    )
    assert str(error_of(check_chain, ["sentiment", "parser", "caption"])) == (
        "module_chain has 'parser' after 'sentiment' (positions 1 and 2), but 'sentiment' gives "
        "json and 'parser' takes text: after 'sentiment' may stand one of: json-to-txt, "
        "sentiment, text-embedder, translate"
    )
    assert "may stand nothing, for 'keyword-db' ends a chain" in str(
        error_of(check_chain, ["keyword-db", "parser"])
    )


@pytest.mark.parametrize(
    ("chain", "kind", "words"),
    [
        ([], InvalidArgument, "is empty"),
        (["summarize"] * 11, InvalidArgument, "has 11 modules but at most 10"),
        (["Parser"], InvalidArgument, "Did you mean 'parser'?"),
        (["keyword_db"], InvalidArgument, "Did you mean 'keyword-db'?"),
        ("parser", InvalidArgumentType, "is str"),
        (b"parser", InvalidArgumentType, "holds int at position 1"),
        (None, InvalidArgumentType, "is NoneType"),
        ({"parser"}, InvalidArgumentType, "is set"),
        (["parser", 5], InvalidArgumentType, "holds int at position 2"),
        ([["parser"]], InvalidArgumentType, "holds list at position 1"),
    ],
)
def test_a_chain_that_is_none_is_refused_with_the_reason(
    chain: Any, kind: type[Exception], words: str
) -> None:
    error = error_of(check_chain, chain)
    assert (type(error), words in str(error)) == (kind, True)


def test_ten_modules_are_the_most() -> None:
    assert check_chain(["summarize"] * 10) == ("summarize",) * 10


def test_a_chain_may_be_any_sequence_and_is_not_kept() -> None:
    given_chain = ["parser"]
    chain = check_chain(given_chain)
    given_chain.append("keyword-db")
    assert chain == ("parser",)


@pytest.mark.parametrize("name", ["x", "n" * 64, " ", "ü/?* \n"])
def test_a_pipeline_may_have_any_name_of_1_to_64_characters(name: str) -> None:
    assert check_pipeline_name(name) == name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", InvalidArgument),
        ("n" * 65, InvalidArgument),
        (None, InvalidArgumentType),
        (b"x", InvalidArgumentType),
    ],
)
def test_other_pipeline_names_are_refused(name: Any, kind: type[Exception]) -> None:
    assert type(error_of(check_pipeline_name, name)) is kind


@pytest.mark.parametrize(
    ("word", "hint"),
    [("PARSER", " Did you mean 'parser'?"), ("sentimnt", " Did you mean 'sentiment'?"), ("q", "")],
)
def test_the_nearest_word_is_offered_if_any_is_near(word: str, hint: str) -> None:
    assert nearest(word, MODULES) == hint


# --- models and parameters -----------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_what_is_left_out_is_filled_in(name: str) -> None:
    params = {"quantize": True} if name == "text-embedder" else {}
    filled = {"module_1": {"model": MODULES[name].models[0], "params": params}}
    for given_modules in (None, {}, {name: {}}, {"module_1": {}}, {name: {"params": {}}}):
        assert fill_modules([name], given_modules) == filled


@pytest.mark.parametrize("name", MODULES)
def test_each_model_may_be_chosen(name: str) -> None:
    for model in MODULES[name].models:
        chosen = FIXED if model == "fixed" else {"model": model}
        assert fill_modules([name], {name: chosen})["module_1"]["model"] == model  # type: ignore[index,call-overload]


def test_a_choice_for_one_module_leaves_the_others_at_their_defaults() -> None:
    chain = ["parser", "text-embedder", "vector-db"]
    expected = {
        "module_1": FIXED,
        "module_2": {"model": "all-mpnet-base-v2", "params": {"quantize": False}},
        "module_3": {"model": "faiss", "params": {}},
    }
    embedder = {"model": "all-mpnet-base-v2", "params": {"quantize": False}}
    assert fill_modules(chain, {"parser": FIXED, "text-embedder": embedder}) == expected
    assert fill_modules(chain, {"module_2": embedder, "module_1": FIXED}) == expected
    assert list(fill_modules(chain, {"module_2": {}})) == ["module_1", "module_2", "module_3"]


def test_labels_tell_two_of_a_kind_apart() -> None:
    filled = fill_modules(["summarize"] * 2, {"module_2": {"model": "text-summarization"}})
    assert filled == {
        "module_1": {"model": "bart-large-cnn", "params": {}},
        "module_2": {"model": "text-summarization", "params": {}},
    }


@pytest.mark.parametrize(
    "params",
    [{"chunk_size": 20, "overlap_size": 19}, {"overlap_size": 1, "chunk_size": 4}],
)
def test_sizes_go_on_in_the_order_they_were_given(params: dict[str, int]) -> None:
    filled = fill_modules(["parser"], {"parser": {"model": "fixed", "params": params}})
    assert json.dumps(filled) == json.dumps({"module_1": {"model": "fixed", "params": params}})


def test_the_callers_objects_are_neither_kept_nor_changed() -> None:
    modules: dict[str, Any] = {"parser": copy.deepcopy(FIXED)}
    filled: Any = fill_modules(["parser"], modules)
    filled["module_1"]["params"]["chunk_size"] = 99
    assert modules == {"parser": FIXED}
    embedder: dict[str, Any] = {"text-embedder": {"params": {}}}
    fill_modules(["text-embedder"], embedder)
    assert embedder == {"text-embedder": {"params": {}}}
    first: Any = fill_modules(["keyword-db"], None)
    first["module_1"]["params"]["poison"] = 1
    assert fill_modules(["keyword-db"], None) == {"module_1": {"model": "sqlite", "params": {}}}


def test_read_only_mappings_do_as_well_and_come_out_as_json() -> None:
    frozen = MappingProxyType({"parser": MappingProxyType({"model": "sentence"})})
    assert json.dumps(fill_modules(["parser"], frozen)) == (
        '{"module_1": {"model": "sentence", "params": {}}}'
    )


def fixed(**params: Any) -> dict[str, Any]:
    return {"parser": {"model": "fixed", "params": params}}


def quantize(value: Any) -> dict[str, Any]:
    return {"text-embedder": {"params": {"quantize": value}}}


@pytest.mark.parametrize(
    ("chain", "modules", "kind", "words"),
    [
        (["parser"], [], InvalidArgumentType, "modules is list"),
        (["parser"], {"parser": "fixed"}, InvalidArgumentType, "is str but must be a dict"),
        (["parser"], {"parser": None}, InvalidArgumentType, "is NoneType"),
        (["parser"], {"caption": {}}, InvalidArgument, "not in this pipeline"),
        (["parser"], {"parsr": {}}, InvalidArgument, "Did you mean 'parser'?"),
        (["parser"], {5: {}}, InvalidArgument, "the key 5"),
        (["parser"], {"module_2": {}}, InvalidArgument, "the key 'module_2'"),
        (["parser"], {"module_0": {}}, InvalidArgument, "the key 'module_0'"),
        (["parser"], {"parser": {}, "caption": {}}, InvalidArgument, "the key 'caption'"),
        (["parser"], {"parser": {}, "module_1": {}}, InvalidArgument, "not both"),
        (["parser"], {"module_1": {}, "nope": {}}, InvalidArgument, "not both"),
        (["summarize"] * 2, {"summarize": {}}, InvalidArgument, "use labels instead (module_1, mo"),
        (["parser"], {"parser": {"x": 1}}, InvalidArgument, "only 'model' and 'params'"),
        (["parser"], {"parser": {"model": "nope"}}, InvalidArgument, "It has: sentence, fixed"),
        (["parser"], {"parser": {"model": "Fixed"}}, InvalidArgument, "Did you mean 'fixed'?"),
        (["parser"], {"parser": {"model": 3}}, InvalidArgument, "the model 3"),
        (["parser"], {"parser": {"model": None}}, InvalidArgument, "the model None"),
        (["parser"], {"parser": {"model": ["fixed"]}}, InvalidArgument, "the model ['fixed']"),
        (["parser"], {"parser": {"params": [1]}}, InvalidArgumentType, "params of list"),
        (["parser"], {"parser": {"params": None}}, InvalidArgumentType, "params of NoneType"),
        (["parser"], {"parser": {"params": {"x": 1}}}, InvalidArgument, "it takes none"),
        (["keyword-db"], {"keyword-db": {"params": {"x": 1}}}, InvalidArgument, "it takes none"),
        (["parser"], fixed(), InvalidArgumentType, "chunk_size=None"),
        (["parser"], fixed(chunk_size=10), InvalidArgumentType, "overlap_size=None"),
        (["parser"], fixed(overlap_size=4), InvalidArgumentType, "chunk_size=None"),
        (["parser"], fixed(chunk_size=5.0, overlap_size=1), InvalidArgumentType, "=5.0"),
        (["parser"], fixed(chunk_size=5, overlap_size=True), InvalidArgumentType, "=True"),
        (["parser"], fixed(chunk_size=3, overlap_size=1), InvalidArgument, "4 to 20 words"),
        (["parser"], fixed(chunk_size=21, overlap_size=1), InvalidArgument, "4 to 20 words"),
        (["parser"], fixed(chunk_size=5, overlap_size=0), InvalidArgument, "chunk_size - 1 (4)"),
        (["parser"], fixed(chunk_size=5, overlap_size=5), InvalidArgument, "chunk_size - 1 (4)"),
        (
            ["parser"],
            fixed(chunk_size=5, overlap_size=1, z=1),
            InvalidArgument,
            "only chunk_size, ",
        ),
        (["text-embedder"], quantize("yes"), InvalidArgumentType, "quantize='yes'"),
        (["text-embedder"], quantize(1), InvalidArgumentType, "quantize=1"),
        (["text-embedder"], quantize(None), InvalidArgumentType, "quantize=None"),
        (
            ["text-embedder"],
            {"text-embedder": {"params": {"quantise": True}}},
            InvalidArgument,
            "only quantize",
        ),
    ],
)
def test_a_choice_that_is_none_is_refused_with_the_reason(
    chain: list[str], modules: Any, kind: type[Exception], words: str
) -> None:
    error = error_of(fill_modules, chain, modules)
    assert (type(error), words in str(error)) == (kind, True), str(error)
