"""The upload form, byte for byte."""

from __future__ import annotations

from email.parser import BytesParser

from hypothesis import given
from hypothesis import strategies as st

from krixik_async._wire import Form, encode_form


def whole(form: Form, content: bytes) -> bytes:
    return form.head + content + form.tail


def test_the_fields_come_first_in_order_and_the_file_last_without_a_type() -> None:
    form = encode_form([("key", "k/1"), ("policy", "p==")], file_name="a.txt", boundary="BOUND")
    assert whole(form, b"hello") == (
        b'--BOUND\r\nContent-Disposition: form-data; name="key"\r\n\r\nk/1\r\n'
        b'--BOUND\r\nContent-Disposition: form-data; name="policy"\r\n\r\np==\r\n'
        b'--BOUND\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        b"hello\r\n--BOUND--\r\n"
    )
    assert form.content_type == "multipart/form-data; boundary=BOUND"


@given(st.binary(max_size=50), st.text(max_size=20))
def test_the_length_is_exact(content: bytes, name: str) -> None:
    name = name.encode("utf-8", "ignore").decode()
    form = encode_form([("é", "ü")], file_name=name, boundary="B")
    assert form.content_length(len(content)) == len(whole(form, content))


def test_only_the_last_component_of_the_name_is_sent() -> None:
    for path in ("/home/me/a.txt", r"C:\me\a.txt", "a.txt"):
        form = encode_form([], file_name=path, boundary="B")
        assert b'filename="a.txt"' in form.head


def test_a_name_cannot_end_its_quotes() -> None:
    form = encode_form([('a"b', "v")], file_name='x"\r\ny.txt', boundary="B")
    assert b'name="a%22b"' in form.head
    assert b'filename="x%22%0D%0Ay.txt"' in form.head


def test_a_standard_parser_reads_it_back() -> None:
    form = encode_form([("key", "value")], file_name="naïve.txt", boundary="B")
    head = f"Content-Type: {form.content_type}\r\n\r\n".encode()
    parts = BytesParser().parsebytes(head + whole(form, b"content")).get_payload()
    assert isinstance(parts, list)
    assert [str(part.get_payload()) for part in parts] == ["value", "content"]


def test_the_repr_shows_no_field() -> None:
    assert "secret" not in repr(encode_form([("k", "secret")], file_name="f", boundary="B"))
