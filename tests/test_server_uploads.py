"""Signed forms and links."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async.server._uploads import Allowance, Refused, Signer

NOW = 1_750_000_000.25
SIGNER = Signer(b"s" * 32)


def make_form() -> dict[str, str]:
    return SIGNER.form("uploads/1", now=NOW, expires_at=NOW + 60, sizes=(1, 1000))


def test_a_form_holds_the_fields_of_an_s3_form_and_its_policy() -> None:
    form = make_form()
    policy = json.loads(base64.b64decode(form.pop("policy")))
    signature = form.pop("x-amz-signature")
    assert form == {
        "key": "uploads/1",
        "x-amz-algorithm": "HMAC-SHA256",
        "x-amz-date": "20250615T150640Z",
    }
    assert policy == {
        "expiration": "2025-06-15T15:07:40.250000+00:00",
        "conditions": [
            {"key": "uploads/1"},
            {"x-amz-algorithm": "HMAC-SHA256"},
            {"x-amz-date": "20250615T150640Z"},
            ["content-length-range", 1, 1000],
        ],
    }
    assert len(signature) == 64


def test_a_form_is_good_until_its_end_to_the_moment() -> None:
    form = make_form()
    assert SIGNER.check_form(form, NOW + 59.99) == Allowance("uploads/1", 1, 1000)
    with pytest.raises(Refused, match="Policy expired") as refused:
        SIGNER.check_form(form, NOW + 60)
    assert refused.value.code == "AccessDenied"


@pytest.mark.parametrize("name", ["key", "policy", "x-amz-signature"])
def test_a_form_without_a_needed_field_is_refused(name: str) -> None:
    form = make_form()
    del form[name]
    with pytest.raises(Refused, match=f"no field '{name}'"):
        SIGNER.check_form(form, NOW)


@pytest.mark.parametrize(
    "change",
    [{"key": "uploads/2"}, {"x-amz-date": "20200101T000000Z"}, {"acl": "public-read"}],
)
def test_a_form_with_other_fields_than_the_signed_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(Refused, match="not those signed"):
        SIGNER.check_form({**make_form(), **change}, NOW)


@given(st.sampled_from(["policy", "x-amz-signature"]), st.text())
def test_a_changed_policy_or_signature_is_refused(name: str, value: str) -> None:
    """Whatever is put in its place, the signature does not match, and nothing else is raised."""
    form = make_form()
    if value == form[name]:
        return
    with pytest.raises(Refused) as refused:
        SIGNER.check_form({**form, name: value}, NOW)
    assert refused.value.code == "SignatureDoesNotMatch"


def test_a_form_of_another_server_is_refused() -> None:
    with pytest.raises(Refused, match="signature"):
        Signer(b"t" * 32).check_form(make_form(), NOW)


def test_a_link_opens_its_path_until_its_end() -> None:
    query = dict(p.split("=") for p in SIGNER.link_query("/a", expires_at=1000).split("&"))
    SIGNER.check_link("/a", query, 999.9)
    for path, changes, now, words in (
        ("/b", {}, 0, "signature"),
        ("/a", {"expires": "2000"}, 0, "signature"),
        ("/a", {"signature": "é"}, 0, "signature"),
        ("/a", {}, 1000, "expired"),
    ):
        with pytest.raises(Refused, match=words):
            SIGNER.check_link(path, {**query, **changes}, now)
    with pytest.raises(Refused, match="signature"):
        SIGNER.check_link("/a", {}, 0)


def test_a_signature_of_one_kind_does_not_serve_as_another() -> None:
    """What was signed as a policy does not open a link."""
    signature = SIGNER._sign("upload", "/a\n1000")
    with pytest.raises(Refused, match="signature"):
        SIGNER.check_link("/a", {"expires": "1000", "signature": signature}, 0)


def test_the_secret_is_in_no_repr() -> None:
    assert "ssss" not in repr(SIGNER)
