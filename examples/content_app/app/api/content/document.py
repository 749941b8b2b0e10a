"""Reading a posted document: all that can be wrong with it is said before a row is made."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import HTTPException, Query, Request
from starlette.requests import ClientDisconnect

from examples.content_app.app.services.jobs.job_source import MAX_BYTES, first_line

_KINDS = {
    "text/markdown": "markdown",
    "text/x-markdown": "markdown",
    "text/plain": "text",
    "application/octet-stream": "markdown",
}


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read whole and decoded."""

    title: str
    kind: str
    source: str


async def posted_document(
    request: Request,
    title: Annotated[
        str, Query(max_length=200, description="By default the document's first line.")
    ] = "",
) -> Document:
    """The request's body as a document: 1 byte to 1 MiB of UTF-8, Markdown or plain text.

    Answers 400 for an empty body and for one that is not UTF-8 text, 413 for one that is too long
    (before reading it, where its length is given), 415 for another type or charset.
    """
    kind = _kind(request)
    body = await _body(request)
    source = _decoded(body)
    title = " ".join(title.replace("\0", " ").split())  # a NUL is what some databases refuse
    return Document(title=title or first_line(source), kind=kind, source=source)


def _kind(request: Request) -> str:
    content_type, *parameters = request.headers.get("content-type", "text/markdown").split(";")
    kind = _KINDS.get(content_type.strip().lower())
    if kind is None:
        raise HTTPException(
            415,
            "the document must be posted as text/markdown or text/plain, got "
            f"{content_type.strip()[:80]!r}",
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in {"utf-8", "utf8", "us-ascii"}:
            raise HTTPException(415, f"the charset must be utf-8, got {charset[:40]!r}")
    return kind


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BYTES:
        raise _too_long(f"{int(length):,}")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BYTES:
                raise _too_long(f"more than {MAX_BYTES:,}")
    except ClientDisconnect:
        raise HTTPException(400, "the client left before it had sent the document") from None
    if not body:
        raise HTTPException(400, "the document must have at least 1 byte, got none")
    return bytes(body)


def _too_long(got: str) -> HTTPException:
    return HTTPException(413, f"a document must have at most {MAX_BYTES:,} bytes, got {got}")


def _decoded(body: bytes) -> str:
    try:
        source = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HTTPException(
            400,
            f"the document must be UTF-8 text, but byte {error.start:,} is {body[error.start]:#04x} "
            f"({error.reason})",
        ) from None
    if "\0" in source:
        raise HTTPException(
            400, f"the document must be text, but character {source.index(chr(0)):,} is a NUL"
        )
    return source
