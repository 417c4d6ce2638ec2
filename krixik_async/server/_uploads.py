"""Signed upload forms and download links: made and verified here, by HMAC-SHA256.

After the pattern of S3's POST policies: the form carries its own rules (what it is for, until
when, how large) in `policy`, and a signature over that text, so nothing has to be remembered and
nothing can be changed. Pure: the time is an argument. Signatures are compared in constant time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

_ALGORITHM = "HMAC-SHA256"


class Refused(Exception):
    """Say, with one of S3's codes, why a form or a link is not accepted."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@attrs.frozen
class Allowance:
    """Hold what a verified form allows: to store `key`, of so many bytes."""

    key: str
    least_bytes: int
    most_bytes: int


@attrs.frozen
class Signer:
    """Make and verify forms and links with one secret."""

    secret: bytes = attrs.field(repr=False)

    def _sign(self, purpose: str, text: str) -> str:
        # The purpose keeps a signature of one kind from serving as one of another.
        message = f"{purpose}\n{text}".encode()
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()

    def _check(self, purpose: str, text: str, signature: str) -> None:
        expected = self._sign(purpose, text)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise Refused("SignatureDoesNotMatch", "the signature does not match what was signed")

    def form(
        self, key: str, *, now: float, expires_at: float, sizes: tuple[int, int]
    ) -> dict[str, str]:
        """Give the fields of a form that may store `key` once, in `sizes` bytes, until then."""
        fields = {
            "key": key,
            "x-amz-algorithm": _ALGORITHM,
            "x-amz-date": datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ"),
        }
        policy = {
            "expiration": datetime.fromtimestamp(expires_at, UTC).isoformat(),
            "conditions": [
                *({name: value} for name, value in fields.items()),
                ["content-length-range", *sizes],
            ],
        }
        fields["policy"] = base64.b64encode(json.dumps(policy).encode()).decode()
        fields["x-amz-signature"] = self._sign("upload", fields["policy"])
        return fields

    def check_form(self, fields: Mapping[str, str], now: float) -> Allowance:
        """Give what the form allows. Raises Refused."""
        for name in ("key", "policy", "x-amz-signature"):
            if name not in fields:
                raise Refused("AccessDenied", f"the form has no field {name!r}")
        self._check("upload", fields["policy"], fields["x-amz-signature"])
        policy: dict[str, Any] = json.loads(base64.b64decode(fields["policy"]))
        if datetime.fromisoformat(policy["expiration"]).timestamp() <= now:
            raise Refused("AccessDenied", "Invalid according to Policy: Policy expired.")
        *conditions, (_, least, most) = policy["conditions"]
        signed = {name: value for condition in conditions for name, value in condition.items()}
        given = {n: v for n, v in fields.items() if n not in ("policy", "x-amz-signature")}
        if given != signed:
            raise Refused(
                "AccessDenied", "Invalid according to Policy: the fields are not those signed."
            )
        return Allowance(signed["key"], least, most)

    def link_query(self, path: str, *, expires_at: int) -> str:
        """Give the query string that opens `path` until then (epoch seconds)."""
        signature = self._sign("download", f"{path}\n{expires_at}")
        return f"expires={expires_at}&signature={signature}"

    def check_link(self, path: str, query: Mapping[str, str], now: float) -> None:
        """Accept a link that was made here and has not expired. Raises Refused."""
        expires, signature = query.get("expires", ""), query.get("signature", "")
        self._check("download", f"{path}\n{expires}", signature)
        if int(expires) <= now:
            raise Refused("AccessDenied", "Request has expired")
