"""The server's description of itself, made of the tables that its codec reads by."""

from __future__ import annotations

from collections.abc import Collection

from krixik_async._reply import JSON
from krixik_async._version import __version__
from krixik_async._wire import KEY_HEADER, Request, body_schema
from krixik_async.server._bucket import OUTPUT_PATH, UPLOAD_PATH

OPENAPI_PATH = "/openapi.json"
_TEXT: JSON = {"type": "string"}
_ANSWER: JSON = {
    "type": "object",
    "properties": {"request_id": _TEXT, "message": _TEXT},
    "required": ["request_id", "message"],
}
_GATEWAY: JSON = {"type": "object", "properties": {"message": _TEXT}, "required": ["message"]}
_XML = "application/xml"


def describe(paths: Collection[str]) -> dict[str, JSON]:
    """Give the OpenAPI description of the API's `paths` and of the two hosts for files."""
    calls: dict[str, JSON] = {
        kind.endpoint.path: {"post": _call(kind)}
        for kind in Request.__subclasses__()
        if kind.endpoint.path in paths
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "krixik-async embedded server", "version": __version__},
        "paths": {
            **calls,
            UPLOAD_PATH: {"post": _upload()},
            f"{OUTPUT_PATH}/{{name}}": {"get": _download()},
        },
        "components": {
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": KEY_HEADER}}
        },
    }


def _call(kind: type[Request]) -> JSON:
    return {
        "operationId": kind.endpoint.name,
        "summary": (kind.__doc__ or "").partition("\n")[0],
        "security": [{"key": []}],
        "requestBody": {
            "required": True,
            # Whatever its Content-Type says: the official client sends text/plain.
            "content": {"application/json": {"schema": body_schema(kind)}},
        },
        "responses": {
            "200": _said("Done.", _ANSWER),
            "400": _said("Refused; the message says why.", _ANSWER),
            "403": _said("The api key is missing or wrong.", _GATEWAY),
            "413": _said("The body is too large.", _ANSWER),
        },
    }


def _said(what: str, schema: JSON, media: str = "application/json") -> JSON:
    return {"description": what, "content": {media: {"schema": schema}}}


def _upload() -> JSON:
    fields = ("key", "policy", "x-amz-algorithm", "x-amz-date", "x-amz-signature")
    form: JSON = {
        "type": "object",
        "properties": {**dict.fromkeys(fields, _TEXT), "file": {"type": "string"}},
        "required": [*fields, "file"],
    }
    return {
        "operationId": "upload",
        "summary": "Post the form of an upload ticket, its fields first and the file last.",
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": form}},
        },
        "responses": {
            "204": {"description": "The file is stored."},
            **{code: _said("Refused.", _TEXT, _XML) for code in ("400", "403", "409", "411")},
        },
    }


def _download() -> JSON:
    parameters: list[JSON] = [
        {"name": "name", "in": "path", "required": True, "schema": _TEXT},
        {"name": "expires", "in": "query", "schema": _TEXT},
        {"name": "signature", "in": "query", "schema": _TEXT},
    ]
    return {
        "operationId": "download",
        "summary": "Get an output by its signed link.",
        "parameters": parameters,
        "responses": {
            "200": {"description": "The file.", "content": {"application/octet-stream": {}}},
            **{code: _said("Refused.", _TEXT, _XML) for code in ("403", "404")},
        },
    }
