"""The routes: good and bad input, cancelling, retrying, a full queue, requests that break off."""

import logging
import queue
import socket
import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient
from sqlalchemy import Dialect, event
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.content_app.app.api.content.jobs_routes import process_job_async
from examples.content_app.app.database import create_tables, get_db_session, get_engine
from examples.content_app.app.main import create_app
from examples.content_app.app.models import JobRow
from examples.content_app.app.services.content.pack import ContentPack, make_pack
from examples.content_app.app.services.jobs import job_listeners, job_manager, job_processor
from examples.content_app.app.services.jobs.job_listeners import interrupt_open_rows
from examples.content_app.app.services.jobs.job_manager import JobManager
from tests.examples.conftest import Serve
from tests.examples.support import FINAL, TIMEOUT, Gate, until


@pytest.fixture
def client(app_database: Path) -> Iterator[TestClient]:
    """The app in this process, opened and closed."""
    with TestClient(create_app()) as client:
        yield client


def finished(client: TestClient, job_id: str) -> dict[str, Any]:
    return until(lambda: client.get(f"/jobs/{job_id}").json(), lambda job: job["status"] in FINAL)


# ---- good input ----------------------------------------------------------------------------------


def test_a_document_becomes_a_content_pack(client: TestClient) -> None:
    document = (
        "# Of bees\n\nBees make honey in a hive. The bees of one hive share its honey all winter.\n"
    )
    created = client.post("/jobs/create", content=document)
    assert created.status_code == 201
    assert created.json()["status"] == "pending"
    assert created.json()["title"] == "Of bees"

    job = finished(client, created.json()["id"])

    assert created.headers["location"] == f"/jobs/{job['id']}"
    assert (job["status"], job["percent"], job["reason"]) == ("completed", 100, None)
    assert job["pack"]["words"] == 18
    assert job["pack"]["sentences"] == 2
    assert job["pack"]["reading_minutes"] == 1
    assert job["pack"]["language"] == "en"
    assert job["pack"]["terms"][0] == {"term": "bees", "count": 3}
    assert "Bees make honey in a hive." in job["pack"]["summary"]
    article = client.get(job["article_url"])
    assert "<h1>Of bees</h1>" in article.text
    chart = client.get(job["chart_url"])
    assert chart.headers["content-type"] == "image/svg+xml"
    assert ">bees</text>" in chart.text


@pytest.mark.parametrize("document", ["x", " ", "\n", "0", "#", "\ufeff", "\U0001f600"])
def test_a_document_of_one_character_completes(client: TestClient, document: str) -> None:
    created = client.post("/jobs/create", content=document)
    assert created.status_code == 201, created.text
    assert finished(client, created.json()["id"])["status"] == "completed"


@pytest.mark.slow
def test_a_document_of_one_megabyte_completes_and_reports_on_its_way(client: TestClient) -> None:
    line = "The *quick* brown fox jumps over the [lazy](https://example.org) dog, says Dr. Who.\n\n"
    document = (line * (1_048_576 // len(line) + 1))[:1_048_576]
    created = client.post("/jobs/create", content=document)
    assert created.status_code == 201, created.text
    seen: list[int] = []

    def look() -> dict[str, Any]:
        job = dict(client.get("/jobs").json()["jobs"][0])
        seen.append(job["percent"])
        return job

    job = until(look, lambda job: job["status"] in FINAL, timeout=40)

    assert (job["status"], job["size"]) == ("completed", 1_048_576)
    assert len(set(seen)) > 4
    assert seen == sorted(seen)


def test_the_documents_to_try_are_accepted(client: TestClient) -> None:
    listed = client.get("/documents").json()
    assert len(listed) == 3
    for document in listed:
        text = client.get(f"/documents/{document['name']}").text
        created = client.post("/jobs/create", content=text)
        job = finished(client, created.json()["id"])
        assert (job["status"], job["title"]) == ("completed", document["title"])


# ---- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type", "status", "detail"),
    [
        (b"", "text/markdown", 400, "the document must have at least 1 byte, got none"),
        (
            b"x" * 1_048_577,
            "text/markdown",
            413,
            "a document must have at most 1,048,576 bytes, got 1,048,577",
        ),
        (
            "naïve".encode("latin-1"),
            "text/markdown",
            400,
            "the document must be UTF-8 text, but byte 2 is 0xef (invalid continuation byte)",
        ),
        (
            "text".encode("utf-16"),
            "text/markdown",
            400,
            "the document must be UTF-8 text, but byte 0 is 0xff (invalid start byte)",
        ),
        (b"a\0b", "text/plain", 400, "the document must be text, but character 1 is a NUL"),
        (b"x", "text/plain; charset=latin-1", 415, "the charset must be utf-8, got 'latin-1'"),
        (
            b"x",
            "image/png",
            415,
            "the document must be posted as text/markdown or text/plain, got 'image/png'",
        ),
    ],
)
def test_a_bad_document_is_refused_with_the_reason_and_leaves_nothing_behind(
    client: TestClient, body: bytes, content_type: str, status: int, detail: str
) -> None:
    answer = client.post("/jobs/create", content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})
    assert client.get("/jobs").json()["jobs"] == []


def test_a_body_without_a_length_is_refused_once_it_is_too_long(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(1025):
            yield b"x" * 1024

    answer = client.post("/jobs/create", content=chunks())
    assert answer.status_code == 413
    detail = "a document must have at most 1,048,576 bytes, got more than 1,048,576"
    assert answer.json() == {"detail": detail}
    assert client.get("/jobs").json()["jobs"] == []


@pytest.fixture
def _refuses_nul(client: TestClient) -> Iterator[None]:
    """Makes the database refuse what PostgreSQL refuses."""

    def look(_connection: object, _cursor: object, _sql: str, values: object, *_: object) -> None:
        assert "\\x00" not in repr(values), "a NUL has reached the database"

    event.listen(get_engine(), "before_cursor_execute", look)
    yield
    event.remove(get_engine(), "before_cursor_execute", look)


@pytest.mark.usefixtures("_refuses_nul")
def test_no_nul_reaches_the_database(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    created = client.post("/jobs/create?title=%20Of%00bees%0A", content="# Else")
    assert created.json()["title"] == "Of bees"
    for request in (client.get("/jobs/a%00b"), client.post("/jobs/a%00b/retry")):
        answer = (request.status_code, request.json())
        assert answer == (404, {"detail": "no job has the id 'a\\x00b'"})

    def fails(_source: str, _kind: str, report: Any, _check: Any) -> ContentPack:
        report(0.5, "a\0b")
        raise RuntimeError("a\0b")

    monkeypatch.setattr(job_processor, "make_pack", fails)
    job = finished(client, client.post("/jobs/create", content="# Of bees").json()["id"])
    assert (job["status"], job["reason"]) == ("failed", "RuntimeError: a\\0b")
    assert job["error"].endswith("RuntimeError: a\\0b\n")


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect(), mysql.dialect()])  # type: ignore[no-untyped-call]
def test_a_document_of_one_megabyte_fits_its_column_in_any_database(dialect: Dialect) -> None:
    table = str(CreateTable(JobRow.metadata.tables["jobs"]).compile(dialect=dialect))
    columns = dict(
        line.strip(", \t").split(" ")[:2] for line in table.splitlines() if "TEXT" in line
    )
    long = "LONGTEXT" if dialect.name == "mysql" else "TEXT"
    for name in ("source", "error", "article_html", "chart_svg", "stack"):
        assert columns[name] == long


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/jobs/nobody"),
        ("POST", "/jobs/nobody/cancel"),
        ("POST", "/jobs/nobody/retry"),
        ("GET", "/jobs/nobody/article"),
        ("GET", "/jobs/nobody/chart.svg"),
    ],
)
def test_an_unknown_id_is_not_found(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "no job has the id 'nobody'"})


def test_another_site_cannot_post(client: TestClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}
    assert client.post("/jobs/create", content="x", headers=headers).status_code == 403
    assert client.get("/jobs").json()["jobs"] == []


# ---- the life of a job ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_log_says_that_a_task_has_started_when_it_has_a_slot_and_not_before(
    serve_gated: Serve, gate: Gate
) -> None:
    server = serve_gated(CONTENT_LIMIT="1")
    server.create("# First")
    running = gate.next()
    waiting = server.create("# Second")
    server.until_status(waiting, "pending")
    started = f"🚀 BACKGROUND TASK STARTED for job {waiting}"
    called = f"🎬 process_job called for: {waiting}"
    assert started not in server.log()

    running.go()
    held = gate.next()
    assert held.row_id == waiting
    assert started in server.log()
    assert called not in server.log()

    held.go()
    server.until_status(waiting, "completed")
    assert called in server.log()


def test_the_list_can_be_of_one_status(client: TestClient) -> None:
    completed = client.post("/jobs/create", content="# Done").json()["id"]
    finished(client, completed)
    with get_db_session() as db:
        pending = JobManager(db).create_job("# Waits", title="Waits", kind="markdown").id

    for status, ids in (("completed", [completed]), ("pending", [pending]), ("failed", [])):
        answer = client.get("/jobs", params={"status": status}).json()
        assert [job["id"] for job in answer["jobs"]] == ids
        assert (answer["counts"]["completed"], answer["counts"]["pending"]) == (1, 1)
    assert client.get("/jobs", params={"status": "lost"}).status_code == 422


# ---- a job that takes long -----------------------------------------------------------------------


@pytest.mark.slow
def test_a_row_says_where_its_job_is_that_takes_long_until_it_ends(
    serve_gated: Serve, gate: Gate
) -> None:
    server = serve_gated(CONTENT_STUCK_AFTER="0.1")
    ids = [server.create("# First"), server.create("# Second")]
    held = {body.row_id: body for body in (gate.next(), gate.next())}
    for job_id in ids:
        job = until(lambda each=job_id: server.job(each), lambda job: job["stack"] is not None)  # type: ignore[misc]
        assert job["stack"].startswith("Thread 'content-")
        assert "in GatedProcessor.process_job\n" in job["stack"]
        assert job["started_at"] < job["stuck_at"]
    listed = server.client.get("/jobs").json()["jobs"]
    assert all("GatedProcessor" in job["stack"] for job in listed)

    held[ids[0]].go()
    held[ids[1]].fail("too long")
    for job_id, end in zip(ids, ("completed", "failed"), strict=True):
        job = server.until_status(job_id, *FINAL)
        assert (job["status"], job["stack"], job["stuck_at"]) == (end, None, None)


@pytest.mark.parametrize("end", ["the next process", "cancel", "retry"])
def test_whoever_ends_a_row_in_the_place_of_its_job_takes_the_stack_away(
    app_database: Path, end: str
) -> None:
    create_tables()
    with get_db_session() as db:
        manager = JobManager(db)
        row = manager.create_job("# Long", title="Long", kind="markdown")
        row.stack, row.stuck_at = "Thread 'content-0'", datetime.now(UTC)
        row.status = "interrupted" if end == "retry" else "generating"
        db.commit()
        if end == "the next process":
            interrupt_open_rows()
        elif end == "cancel":
            manager.cancel(row.id)
        else:
            manager.prepare_retry(row.id)
        row = manager.get(row.id)
        assert (row.stack, row.stuck_at) == (None, None)


@pytest.mark.slow
def test_a_job_whose_time_is_up_has_failed_and_stops_at_its_next_step(
    serve_gated: Serve, gate: Gate
) -> None:
    server = serve_gated(CONTENT_LIMIT="1", CONTENT_TIMEOUT="0.2")
    late = server.create("# First")
    held = gate.next()
    job = server.until_status(late, "failed")
    assert job["reason"].endswith("job 'process_job_async' ran longer than its timeout of 0.2 s")
    assert "in GatedProcessor.process_job\n" in job["error"]  # where it was
    second = server.create("# Second")
    assert gate.nobody_else()  # the body goes on, and has the slot
    held.go()
    gate.next().go()
    server.until_status(second, "completed")
    assert server.job(late) == job


# ---- the database --------------------------------------------------------------------------------


def test_a_database_of_an_earlier_version_is_brought_up_to_date(app_database: Path) -> None:
    create_tables()
    with get_db_session() as db:
        job_id = JobManager(db).create_job("# Old", title="Old", kind="markdown").id
    with closing(sqlite3.connect(app_database)) as database:
        for column in ("owner", "stuck_at", "stack"):
            database.execute(f"ALTER TABLE jobs DROP COLUMN {column}")

    with TestClient(create_app()) as client:  # and it ends the row: it is a server's
        job = client.get(f"/jobs/{job_id}").json()
        assert (job["title"], job["status"], job["stack"]) == ("Old", "interrupted", None)
        assert client.post(f"/jobs/{job_id}/retry").status_code == 202
        assert finished(client, job_id)["status"] == "completed"


# ---- cancel and retry ----------------------------------------------------------------------------


@pytest.mark.slow
def test_cancel_ends_a_pending_job_at_once_and_a_running_one_at_its_next_step(
    serve_gated: Serve, gate: Gate
) -> None:
    server = serve_gated(CONTENT_LIMIT="1")
    first = server.create("# First")
    running = gate.next()
    second = server.create("# Second")
    server.until_status(second, "pending")

    answer = server.client.post(f"/jobs/{second}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")

    answer = server.client.post(f"/jobs/{first}/cancel")
    assert (answer.json()["status"], answer.json()["cancel_requested"]) == ("generating", True)
    running.go()
    job = server.until_status(first, *FINAL)
    assert (job["status"], job["reason"]) == ("cancelled", "cancelled before it had ended")
    assert job["pack"] is None

    again = server.client.post(f"/jobs/{first}/cancel")
    detail = "a job can be cancelled while pending or generating, not cancelled"
    assert (again.status_code, again.json()) == (409, {"detail": detail})

    # The cancelled pending one never reached its body: the next at the gate is another.
    third = server.create("# Third")
    held = gate.next()
    assert held.row_id == third
    held.go()
    server.until_status(third, "completed")
    result = server.client.post(f"/jobs/{third}/retry")
    detail = "a job can be retried when it is failed, cancelled, interrupted or rejected, not "
    assert (result.status_code, result.json()) == (409, {"detail": detail + "completed"})


@pytest.mark.slow
def test_a_retry_makes_the_row_as_new(serve_gated: Serve, gate: Gate) -> None:
    server = serve_gated(CONTENT_LIMIT="1", CONTENT_DRAIN_TIMEOUT="0")
    job_id = server.create("# First")
    held = gate.next()
    as_new = server.client.get("/jobs").json()["jobs"][0] | {
        "status": "pending",
        "started_at": None,
    }
    held.report(0.5, "halfway")
    until(lambda: server.job(job_id)["percent"], lambda percent: percent == 50)
    server.client.post(f"/jobs/{job_id}/cancel")
    server.create("# Second")
    held.fail("too late")
    gate.next()  # the second has the slot: the first will have to wait
    job = server.job(job_id)
    assert (job["status"], job["cancel_requested"], job["percent"]) == ("failed", True, 50)
    assert job["error"].endswith("RuntimeError: too late\n")

    assert server.client.post(f"/jobs/{job_id}/retry").json() == as_new
    assert server.job(job_id)["error"] is None


@pytest.mark.slow
def test_a_full_queue_rejects_the_row_with_the_reason_and_retry_answers_503_until_there_is_room(
    serve_gated: Serve, gate: Gate
) -> None:
    server = serve_gated(CONTENT_LIMIT="1", CONTENT_MAX_PENDING="1")
    server.create("# Running")
    running = gate.next()
    waiting = server.create("# Waiting")
    server.until_status(waiting, "pending")

    refused = server.create("# One too many")  # the response is out before the queue is asked
    job = server.until_status(refused, *FINAL)
    assert job["status"] == "rejected"
    assert "content" in job["reason"]  # the runner's own words, its name among them
    assert "1" in job["reason"]

    answer = server.client.post(f"/jobs/{refused}/retry")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["detail"] == server.job(refused)["reason"]
    assert server.job(refused)["status"] == "rejected"

    running.go()
    gate.next().go()
    server.until_status(waiting, "completed")
    answer = server.client.post(f"/jobs/{refused}/retry")
    assert answer.status_code == 202
    gate.next().go()
    assert server.until_status(refused, *FINAL)["status"] == "completed"
    # A refusal is no error of the server's.
    assert " ERROR " not in server.log()


def test_a_row_whose_end_could_not_be_written_can_be_cancelled_and_retried(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable(_db: object, _change: object) -> int:
        raise ConnectionError("the database is away")

    started, go = threading.Event(), threading.Event()

    def meanwhile_the_database_goes(*_: Any) -> ContentPack:
        started.set()
        assert go.wait(TIMEOUT)
        raise RuntimeError("there is no telling")

    with monkeypatch.context() as patch:
        patch.setattr(job_processor, "make_pack", meanwhile_the_database_goes)
        job_id = client.post("/jobs/create", content="# Lost").json()["id"]
        assert started.wait(TIMEOUT)
        patch.setattr(job_listeners, "commit_change", unreachable)
        go.set()
        until(lambda: caplog.text, lambda log: "the database is away" in log)
    until(lambda: job_listeners.live_jobs, lambda live: not live)
    assert client.get(f"/jobs/{job_id}").json()["status"] == "generating"

    assert client.post(f"/jobs/{job_id}/cancel").json()["status"] == "cancelled"
    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert finished(client, job_id)["status"] == "completed"


# ---- requests that break off ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_client_that_leaves_right_after_the_post_leaves_no_row_stuck(serve: Serve) -> None:
    server = serve()
    request = (
        b"POST /jobs/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 11\r\n\r\nSome words."
    )
    for linger in (None, struct.pack("ii", 1, 0)):  # an ordinary close, and a reset
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                connection.sendall(request)
                if linger:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    # Whoever left before the server had read the document has no row; every other row gets its job.
    server.until_status(server.create("# One who stays"), "completed")
    until(server.counts, lambda counts: set(counts) == {"completed"})
    assert server.counts()["completed"] >= 1


class BreaksTheResponse:
    """Raises when the response begins: it never gets out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def broken_send(message: Message) -> None:
            if scope.get("path") == "/jobs/create":
                raise RuntimeError("the middleware is broken")
            await send(message)

        await self._app(scope, receive, broken_send)


class BreaksAfterTheRoute(BaseHTTPMiddleware):
    """Raises when it has got the response: what is left of the request is cancelled."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        if request.url.path == "/jobs/create":
            raise RuntimeError("the middleware is broken")
        return response


class BreaksBeforeTheRoute(BaseHTTPMiddleware):
    """Raises before the route is called."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if request.url.path == "/jobs/create":
            raise RuntimeError("the middleware is broken")
        return await call_next(request)


def app_with(middleware: Any) -> FastAPI:
    app = create_app()
    app.add_middleware(middleware)
    return app


@pytest.mark.parametrize("middleware", [BreaksTheResponse, BreaksAfterTheRoute])
def test_a_middleware_that_breaks_the_response_leaves_the_row_interrupted_with_the_reason(
    app_database: Path, middleware: Any
) -> None:
    with TestClient(app_with(middleware), raise_server_exceptions=False) as client:
        assert client.post("/jobs/create", content="# Lost").status_code == 500
        [job] = client.get("/jobs").json()["jobs"]
        assert job["status"] == "interrupted"
        reason = "the request that created this job broke off before the job was started"
        assert job["reason"] == reason
        # The row is good for another try.
        assert client.post(f"/jobs/{job['id']}/retry").status_code == 202
        assert finished(client, job["id"])["status"] == "completed"


def test_a_middleware_that_breaks_before_the_route_leaves_no_row(app_database: Path) -> None:
    app = app_with(BreaksBeforeTheRoute)
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.post("/jobs/create", content="# Lost").status_code == 500
        assert client.get("/jobs").json()["jobs"] == []


def test_a_job_whose_row_was_cancelled_before_it_was_submitted_does_nothing(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with get_db_session() as db:
        job_id = JobManager(db).create_job("# Not wanted", title="Not wanted", kind="markdown").id
    assert client.post(f"/jobs/{job_id}/cancel").json()["status"] == "cancelled"

    process_job_async(job_id).result(timeout=10)

    assert client.get(f"/jobs/{job_id}").json()["status"] == "cancelled"
    assert f"job {job_id} is not this run's: nothing to do" in caplog.text


def test_a_row_that_was_never_submitted_is_marked_when_the_app_is_closed(
    app_database: Path,
) -> None:
    with TestClient(create_app()), get_db_session() as db:
        job_id = JobManager(db).create_job("# Late", title="Late", kind="markdown").id
    with get_db_session() as db:
        row = JobManager(db).get(job_id)
    assert row.status == "interrupted"
    assert row.reason == "the server was stopped before this job had ended"


def ignore(*_: object) -> None:
    """In the place of what hears of the progress, and of what ends a cancelled job."""


class HeldWork:
    """In the place of `make_pack`: each run comes here, and does what the test says."""

    def __init__(self) -> None:
        self.runs: queue.SimpleQueue[HeldRun] = queue.SimpleQueue()

    def __call__(self, source: str, kind: str, report: Any, check: Any) -> ContentPack:
        run = HeldRun(report)
        self.runs.put(run)
        assert run.may_end.wait(TIMEOUT)
        return make_pack(source, kind, ignore, ignore)

    def next(self) -> "HeldRun":
        return self.runs.get(timeout=TIMEOUT)


class HeldRun:
    """A run that has come as far as its work. It heeds no cancellation."""

    def __init__(self, report: Any) -> None:
        self.job = report.__self__
        self.may_end = threading.Event()

    def end(self) -> None:
        """Let it end, and wait until its row has been written."""
        self.may_end.set()
        self.job.result(timeout=TIMEOUT)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> HeldWork:
    work = HeldWork()
    monkeypatch.setattr(job_processor, "make_pack", work)
    return work


def stored(job_id: str) -> dict[str, Any]:
    """All columns of a row."""
    with get_db_session() as db:
        row = JobManager(db).get(job_id, whole=True)
        columns = JobRow.metadata.tables["jobs"].columns
        return {column.key: getattr(row, column.key) for column in columns}


def test_a_run_whose_row_was_marked_interrupted_writes_nothing_more(
    client: TestClient, work: HeldWork
) -> None:
    job_id = client.post("/jobs/create", content="# Once").json()["id"]
    run = work.next()
    interrupt_open_rows()  # as the next process does when it starts
    before = stored(job_id)
    assert before["status"] == "interrupted"
    run.job.report(0.5, "late")
    run.end()
    assert stored(job_id) == before


def test_a_run_that_was_interrupted_cannot_write_over_the_run_of_a_retry(
    client: TestClient, work: HeldWork
) -> None:
    job_id = client.post("/jobs/create", content="# Once").json()["id"]
    late = work.next()
    interrupt_open_rows()
    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    second = work.next()
    before = stored(job_id)
    assert (before["status"], before["percent"]) == ("generating", 0)

    late.job.report(0.5, "late")
    late.end()
    assert stored(job_id) == before

    second.end()
    assert stored(job_id)["status"] == "completed"


def test_a_row_that_is_submitted_twice_belongs_to_the_first_run(
    client: TestClient, work: HeldWork
) -> None:
    job_id = client.post("/jobs/create", content="# Once").json()["id"]
    first = work.next()
    before = stored(job_id)

    process_job_async(job_id).result(timeout=TIMEOUT)

    assert stored(job_id) == before
    first.end()
    assert stored(job_id)["status"] == "completed"


def test_a_job_that_is_submitted_while_it_is_being_cancelled_hears_of_it(
    client: TestClient, work: HeldWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    with get_db_session() as db:
        job_id = JobManager(db).create_job("# Late", title="Late", kind="markdown").id
    runs: list[HeldRun] = []

    class SubmittedMeanwhile(dict[str, Any]):
        """The look-up of who works for the row finds nobody, and a moment later it is not true."""

        def get(self, key: str, default: Any = None) -> Any:
            if runs:
                return job_listeners.live_jobs.get(key, default)
            process_job_async(job_id)
            runs.append(work.next())
            return None

    monkeypatch.setattr(job_manager, "live_jobs", SubmittedMeanwhile())
    answer = client.post(f"/jobs/{job_id}/cancel").json()
    assert (answer["status"], answer["cancel_requested"]) == ("generating", True)
    runs[0].end()


def test_a_pack_is_shown_once_its_job_is_completed_and_not_before(
    client: TestClient, work: HeldWork
) -> None:
    job_id = client.post("/jobs/create", content="# Of bees").json()["id"]
    run = work.next()
    with get_db_session() as db:
        JobManager(db).get(job_id).pack = asdict(make_pack("Of bees", "text", ignore, ignore))
        db.commit()
    job = client.get(f"/jobs/{job_id}").json()
    assert (job["status"], job["pack"], job["article_url"]) == ("generating", None, None)
    refused = client.get(f"/jobs/{job_id}/article")
    detail = "only a completed job has a result, this one is generating"
    assert (refused.status_code, refused.json()) == (409, {"detail": detail})
    run.end()
    assert client.get(f"/jobs/{job_id}").json()["pack"]["terms"] == [{"term": "bees", "count": 1}]
