"""The FastAPI app: the routes, the page, and the runner's life within the app's."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boundedjobs import RunnerClosed, RunnerFull
from examples.content_app.app.api import health
from examples.content_app.app.api.content import jobs_routes, result_routes
from examples.content_app.app.database import create_tables
from examples.content_app.app.services.jobs.job_listeners import interrupt_open_rows
from examples.content_app.app.services.jobs.job_source import first_line

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
DOCUMENTS = Path(__file__).parents[1] / "documents"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Tables and leftovers first; then the runner, which drains when the server is stopped."""
    await run_in_threadpool(create_tables)
    if left := await run_in_threadpool(interrupt_open_rows):
        logger.warning("%d jobs of an earlier process are marked interrupted", left)
    async with jobs_routes.runner.lifespan(app):
        yield
    # What is open now was never handed to the runner, or its listener could not write.
    await run_in_threadpool(interrupt_open_rows)


class SafeHeaders:
    """Puts the page's policy on every answer that has none of its own, and refuses other sites.

    The app has no log-in: without this, any web page could post to it from its visitors' browsers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", PAGE_POLICY)
                headers.setdefault("Cache-Control", "no-cache")
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        site = Request(scope).headers.get("sec-fetch-site", "none")
        if scope["method"] == "POST" and site not in {"same-origin", "none"}:
            refusal = Response("requests from other sites are refused", status_code=403)
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


class RefusedAfterResponse:
    """Lets a background task end quietly that the runner refused.

    The response is out, and the row says `rejected` and why: there is nobody left to tell.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except (RunnerFull, RunnerClosed) as refused:
            if not started:
                raise
            logger.warning("a job was rejected after the response: %s", refused)


def create_app() -> FastAPI:
    """The app. Its runner is the module's: one for the process, however many apps are made."""
    app = FastAPI(title="Content app", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(RefusedAfterResponse)
    app.add_middleware(SafeHeaders)
    app.include_router(jobs_routes.router)
    app.include_router(result_routes.router)
    app.include_router(health.router)

    @app.get("/documents")
    def documents() -> list[dict[str, str]]:
        """The documents to try the app with."""
        return [
            {"name": path.name, "title": first_line(path.read_text(encoding="utf-8"))}
            for path in sorted(DOCUMENTS.iterdir())
        ]

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC))
    app.mount("/documents", StaticFiles(directory=DOCUMENTS))
    return app
