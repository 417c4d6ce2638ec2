"""The bodies of calls: byte for byte as the service takes them, and read back as they were."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._wire._requests import (
    CONTENT_TYPE,
    KEY_HEADER,
    PROTOCOL_VERSION,
    CheckCap,
    CheckIn,
    Delete,
    Endpoint,
    FetchOutput,
    GetStatus,
    KeywordSearch,
    ListFiles,
    MalformedBody,
    Request,
    SemanticSearch,
    ShowTree,
    Submit,
    Update,
    decode,
    encode,
)

KINDS: list[type[Request]] = [
    CheckIn,
    Submit,
    GetStatus,
    FetchOutput,
    Delete,
    ListFiles,
    KeywordSearch,
    SemanticSearch,
    Update,
    ShowTree,
    CheckCap,
]
WITH_BODY = [kind for kind in KINDS if kind is not CheckIn]

SUBMIT = Submit(
    pipeline="bücher",
    pipeline_ordered_modules=("parser", "keyword-db"),
    pipeline_output_process_keys=("snippet", None),
    modules={"module_1": {"model": "fixed", "params": {"overlap_size": 4, "chunk_size": 10}}},
    file_name="a.txt",
    symbolic_directory_path="/etc",
    file_tags=({"author": "melville"}, {"author": "hawthorne"}),
    file_description='"quoted"',
    expire_time=1800,
)
NO_SELECTION = (
    '"file_ids": null, "file_names": null, "symbolic_directory_paths": ["/*"], '
    '"symbolic_file_paths": null, "file_tags": null, "max_files": 1000, "created_at_start": null, '
    '"created_at_end": 1717631999, "last_updated_start": null, "last_updated_end": null}'
)
BODIES = [
    (CheckIn(), '"{}"'),
    (
        SUBMIT,
        (
            '{"pipeline": "b\\u00fccher", "pipeline_ordered_modules": ["parser", "keyword-db"], '
            '"pipeline_output_process_keys": ["snippet", null], "modules": {"module_1": {"model": '
            '"fixed", "params": {"overlap_size": 4, "chunk_size": 10}}}, "version": "1.1.19", '
            '"file_name": "a.txt", "symbolic_directory_path": "/etc", "file_tags": [{"author": '
            '"melville"}, {"author": "hawthorne"}], "file_description": "\\"quoted\\"", '
            '"expire_time": 1800}'
        ),
    ),
    (
        attrs.evolve(SUBMIT, pipeline="p", modules={}, file_tags=(), file_description=""),
        (
            '{"pipeline": "p", "pipeline_ordered_modules": ["parser", "keyword-db"], '
            '"pipeline_output_process_keys": ["snippet", null], "modules": {}, '
            '"version": "1.1.19", "file_name": "a.txt", "symbolic_directory_path": "/etc", '
            '"file_tags": [], "file_description": "", "expire_time": 1800}'
        ),
    ),
    (
        GetStatus(pipeline="p", process_id="r"),
        '{"pipeline": "p", "version": "1.1.19", "process_id": "r"}',
    ),
    (
        FetchOutput(pipeline="p", file_id="f"),
        '{"pipeline": "p", "version": "1.1.19", "file_id": "f"}',
    ),
    (Delete(pipeline="p", file_id="f"), '{"pipeline": "p", "version": "1.1.19", "file_id": "f"}'),
    (
        ListFiles(
            pipeline="p",
            symbolic_directory_paths=("/*",),
            max_files=1000,
            created_at_end=1717631999,
        ),
        '{"pipeline": "p", "version": "1.1.19", ' + NO_SELECTION,
    ),
    (
        KeywordSearch(
            pipeline="p",
            pipeline_ordered_modules=("keyword-db",),
            query="  dust ",
            symbolic_directory_paths=("/*",),
            max_files=1000,
            created_at_end=1717631999,
        ),
        '{"pipeline": "p", "pipeline_ordered_modules": ["keyword-db"], "query": "  dust ", '
        + NO_SELECTION,
    ),
    (
        SemanticSearch(
            pipeline="vec-pipeline",
            pipeline_ordered_modules=("parser", "text-embedder", "vector-db"),
            query="zzz",
            symbolic_directory_paths=("/none",),
            k=5,
            max_files=1000,
        ),
        (
            '{"pipeline": "vec-pipeline", "pipeline_ordered_modules": ["parser", "text-embedder", '
            '"vector-db"], "query": "zzz", "file_ids": null, "file_names": null, '
            '"symbolic_directory_paths": ["/none"], "symbolic_file_paths": null, "file_tags": '
            'null, "k": 5, "max_files": 1000, "created_at_start": null, "created_at_end": null, '
            '"last_updated_start": null, "last_updated_end": null}'
        ),
    ),
    (
        Update(pipeline="p", file_id="f", file_tags=({"country": "uk"},)),
        (
            '{"pipeline": "p", "version": "1.1.19", "file_id": "f", "file_name": null, '
            '"symbolic_directory_path": null, "file_tags": [{"country": "uk"}], '
            '"file_description": null, "expire_time": null}'
        ),
    ),
    (
        ShowTree(pipeline="p", symbolic_directory_path="/*", max_files=1000),
        (
            '{"pipeline": "p", "symbolic_directory_path": "/*", "max_files": 1000, '
            '"version": "1.1.19"}'
        ),
    ),
    (
        CheckCap(),
        '{"version": "1.1.19", "pipeline": null, "pipeline_ordered_modules": []}',
    ),
]


@pytest.mark.parametrize(("request_", "body"), BODIES, ids=lambda v: type(v).__name__)
def test_a_body_is_byte_for_byte_what_the_service_takes(request_: Request, body: str) -> None:
    assert encode(request_) == body.encode("ascii")
    assert decode(type(request_), body.encode("ascii")) == request_


def test_every_kind_of_request_is_among_those_bodies() -> None:
    assert {type(request) for request, _ in BODIES} == set(KINDS) == set(Request.__subclasses__())


@pytest.mark.parametrize(
    ("kind", "endpoint"),
    [
        (CheckIn, Endpoint("check_in", "/cli-checkin", 15.0)),
        (Submit, Endpoint("process", "/krixik-core-process", 15.0, repeatable=False)),
        (GetStatus, Endpoint("process_status", "/krixik-core-process-status", 30.0)),
        (FetchOutput, Endpoint("fetch_output", "/krixik-core-fetch-output", 60.0)),
        (Delete, Endpoint("delete", "/krixik-core-delete", 60.0)),
        (ListFiles, Endpoint("list", "/krixik-core-list", 60.0)),
        (KeywordSearch, Endpoint("keyword_search", "/keyword-search", 60.0)),
        (SemanticSearch, Endpoint("semantic_search", "/semantic-search", 60.0)),
        (Update, Endpoint("update", "/krixik-core-update", 60.0)),
        (ShowTree, Endpoint("show_tree", "/krixik-core-show-tree", 60.0)),
        (CheckCap, Endpoint("check_cap", "/krixik-core-cap-check", 60.0)),
    ],
)
def test_each_request_has_its_path_and_its_time(kind: type[Request], endpoint: Endpoint) -> None:
    assert kind.endpoint == endpoint


def test_the_constants_of_the_protocol() -> None:
    assert (PROTOCOL_VERSION, CONTENT_TYPE, KEY_HEADER) == ("1.1.19", "text/plain", "krixikApiKey")


# --- round trips ---------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), values)
texts = st.lists(st.text()).map(tuple)
pairs = st.lists(st.dictionaries(st.text(), st.text())).map(tuple)
selection: dict[str, Any] = {
    "file_ids": st.none() | texts,
    "file_names": st.none() | texts,
    "symbolic_directory_paths": st.none() | texts,
    "symbolic_file_paths": st.none() | texts,
    "file_tags": st.none() | pairs,
    "max_files": st.integers(),
    "created_at_start": st.none() | st.integers(),
    "created_at_end": st.none() | st.integers(),
    "last_updated_start": st.none() | st.integers(),
    "last_updated_end": st.none() | st.integers(),
}
requests = st.one_of(
    st.builds(CheckIn),
    st.builds(
        Submit,
        pipeline=st.text(),
        pipeline_ordered_modules=texts,
        pipeline_output_process_keys=st.lists(st.none() | st.text()).map(tuple),
        modules=objects,
        version=st.text(),
        file_name=st.text(),
        symbolic_directory_path=st.text(),
        file_tags=pairs,
        file_description=st.text(),
        expire_time=st.integers(),
    ),
    st.builds(GetStatus, pipeline=st.text(), process_id=st.text()),
    st.builds(FetchOutput, pipeline=st.text(), file_id=st.text()),
    st.builds(Delete, pipeline=st.text(), file_id=st.text(), version=st.text()),
    st.builds(ListFiles, pipeline=st.text(), **selection),
    st.builds(
        KeywordSearch,
        pipeline=st.text(),
        pipeline_ordered_modules=texts,
        query=st.text(),
        **selection,
    ),
    st.builds(
        SemanticSearch,
        pipeline=st.text(),
        pipeline_ordered_modules=texts,
        query=st.text(),
        k=st.integers(),
        **selection,
    ),
    st.builds(
        Update,
        pipeline=st.text(),
        file_id=st.text(),
        file_name=st.none() | st.text(),
        symbolic_directory_path=st.none() | st.text(),
        file_tags=st.none() | pairs,
        file_description=st.none() | st.text(),
        expire_time=st.none() | st.integers(),
    ),
    st.builds(
        ShowTree,
        pipeline=st.text(),
        symbolic_directory_path=st.text(),
        max_files=st.none() | st.integers(),
    ),
    st.builds(
        CheckCap, pipeline=st.none() | st.text(), pipeline_ordered_modules=texts, version=st.text()
    ),
)


@given(requests)
def test_what_is_encoded_is_decoded_to_the_same(request: Request) -> None:
    body = encode(request)
    assert decode(type(request), body) == request
    assert encode(decode(type(request), body)) == body


@given(requests)
def test_the_keys_stand_in_wire_order(request: Request) -> None:
    if not isinstance(request, CheckIn):
        names = [field.name for field in attrs.fields(type(request))]
        assert list(json.loads(encode(request))) == names


# --- what comes in from strangers ----------------------------------------------------------


def decoded(kind: type[Request], body: bytes) -> Request | str:
    """Give the request, or what is wrong with the body."""
    try:
        return decode(kind, body)
    except MalformedBody as error:
        return str(error)


def mutilated(kind: type[Request]) -> st.SearchStrategy[tuple[type[Request], Any]]:
    """Give objects that have the right keys, or most of them, and anything under them."""
    names = [field.name for field in attrs.fields(kind)]
    right_keys = st.dictionaries(st.sampled_from(names), values) if names else st.just({})
    return st.tuples(st.just(kind), right_keys | values)


@given(st.one_of([mutilated(kind) for kind in KINDS]))
def test_any_json_is_a_request_or_malformed_and_nothing_else(
    case: tuple[type[Request], Any],
) -> None:
    kind, body = case
    assert type(decoded(kind, json.dumps(body).encode())) in (kind, str)


@given(st.data(), st.sampled_from(KINDS), st.binary())
def test_any_bytes_are_a_request_or_malformed_and_nothing_else(
    data: st.DataObject, kind: type[Request], noise: bytes
) -> None:
    good = next(encode(request) for request, _ in BODIES if type(request) is kind)
    place = data.draw(st.integers(0, len(good)))
    for body in (noise, good[:place] + noise, good[:place] + noise + good[place:]):
        assert type(decoded(kind, body)) in (kind, str)


@pytest.mark.parametrize("kind", WITH_BODY)
@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 200_000, b"9" * 5000], ids=lambda body: repr(body[:5])
)
def test_what_is_not_json_is_named_so(kind: type[Request], body: bytes) -> None:
    with pytest.raises(MalformedBody, match=r"^the body is not JSON$"):
        decode(kind, body)


@pytest.mark.parametrize("kind", WITH_BODY)
@pytest.mark.parametrize("body", [b"[]", b"null", b"5", b'"{}"'])
def test_what_is_not_an_object_is_named_so(kind: type[Request], body: bytes) -> None:
    with pytest.raises(MalformedBody, match=r"^the body is not a JSON object$"):
        decode(kind, body)


def test_a_check_in_is_one_whatever_it_says() -> None:
    assert decode(CheckIn, b"\xff") == CheckIn()


def body_of(kind: type[Request], **changes: Any) -> bytes:
    good = next(request for request, _ in BODIES if type(request) is kind)
    return json.dumps({**attrs.asdict(good), **changes}).encode()


FIELDS = [(kind, field.name) for kind in WITH_BODY for field in attrs.fields(kind)]
SELECTORS = {
    name
    for name in attrs.fields_dict(ListFiles)
    if name not in ("pipeline", "version", "max_files")
}
NULLABLE = {
    ListFiles: SELECTORS,
    KeywordSearch: SELECTORS,
    SemanticSearch: SELECTORS,
    Update: set(attrs.fields_dict(Update)) - {"pipeline", "version", "file_id"},
    ShowTree: {"max_files"},
    CheckCap: {"pipeline"},
}


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_key_may_be_missing_or_null_exactly_if_it_may_be_left_open(
    kind: type[Request], name: str
) -> None:
    whole = json.loads(body_of(kind))
    del whole[name]
    if name in NULLABLE.get(kind, ()):
        assert getattr(decode(kind, json.dumps(whole).encode()), name) is None
        assert getattr(decode(kind, body_of(kind, **{name: None})), name) is None
    else:
        with pytest.raises(MalformedBody, match=f"^'{name}' is missing$"):
            decode(kind, json.dumps(whole).encode())
        with pytest.raises(MalformedBody, match=f"^'{name}' must "):
            decode(kind, body_of(kind, **{name: None}))


TEXT, LIST = "must be a string", "must be a list"
NUMBER, OBJECT, PAIRS = (
    "must be a whole number",
    "must be an object",
    "must hold objects of strings",
)


@pytest.mark.parametrize(
    ("kind", "name", "value", "words"),
    [
        (Submit, "pipeline", 5, TEXT),
        (Submit, "pipeline_ordered_modules", "parser", LIST),
        (Submit, "pipeline_ordered_modules", {"a": 1}, LIST),
        (Submit, "pipeline_ordered_modules", [None], TEXT),
        (Submit, "pipeline_output_process_keys", [5], TEXT),
        (Submit, "modules", [], OBJECT),
        (Submit, "file_tags", {"a": "b"}, LIST),
        (Submit, "file_tags", ["a"], PAIRS),
        (Submit, "file_tags", [{"a": 5}], PAIRS),
        (Submit, "file_tags", [{"a": None}], PAIRS),
        (Submit, "expire_time", "1800", NUMBER),
        (Submit, "expire_time", 1800.0, NUMBER),
        (Submit, "expire_time", True, NUMBER),
        (GetStatus, "process_id", ["r"], TEXT),
        (FetchOutput, "version", 1, TEXT),
        (Delete, "file_id", {}, TEXT),
        (ListFiles, "file_ids", "f", LIST),
        (ListFiles, "file_ids", [5], TEXT),
        (ListFiles, "file_tags", [[]], PAIRS),
        (ListFiles, "created_at_start", "2024-01-01", NUMBER),
        (ListFiles, "max_files", False, NUMBER),
        (KeywordSearch, "query", None, TEXT),
        (KeywordSearch, "last_updated_end", 1.5, NUMBER),
        (SemanticSearch, "k", 2.0, NUMBER),
        (Update, "file_name", 5, TEXT),
        (Update, "file_tags", {"a": "b"}, LIST),
        (Update, "expire_time", "1800", NUMBER),
        (ShowTree, "symbolic_directory_path", ["/*"], TEXT),
        (ShowTree, "max_files", True, NUMBER),
        (CheckCap, "pipeline_ordered_modules", "parser", LIST),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_key(
    kind: type[Request], name: str, value: Any, words: str
) -> None:
    with pytest.raises(MalformedBody) as caught:
        decode(kind, body_of(kind, **{name: value}))
    assert str(caught.value) == f"'{name}' {words}"


@pytest.mark.parametrize("kind", WITH_BODY)
def test_an_unknown_key_is_passed_over(kind: type[Request]) -> None:
    assert decode(kind, body_of(kind, new={"key": 1})) == decode(kind, body_of(kind))


def test_another_version_is_taken_as_it_comes() -> None:
    assert decode(Delete, body_of(Delete, version="9.9")).version == "9.9"
    assert Delete(pipeline="p", file_id="f").version == PROTOCOL_VERSION


def test_a_malformed_body_is_a_value_error() -> None:
    assert issubclass(MalformedBody, ValueError)
