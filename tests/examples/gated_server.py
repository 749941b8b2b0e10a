"""The content app as it is, but each job stands at the test's gate before its work.

Run by `support.Server` with the gate's port in GATE_PORT. A body does what the gate says, line by
line: `report <fraction> <message>`, `fail <message>`, `go`.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from boundedjobs import current_job
from examples.content_app import __main__ as content_app
from examples.content_app.app.main import create_app
from examples.content_app.app.services.jobs.job_processor import JobProcessor


@contextmanager
def gate(name: str) -> Iterator[None]:
    """Asks at the gate, and enters the block when it may; says good-bye on leaving."""
    address = ("127.0.0.1", int(os.environ["GATE_PORT"]))
    with (
        socket.create_connection(address) as connection,
        connection.makefile("rw", encoding="utf-8") as gate,
    ):
        gate.write(f"{name}\n")
        gate.flush()
        try:
            for line in gate:  # <b>is text in a stack that the page shows</b>
                verb, _, rest = line.strip().partition(" ")
                if verb == "fail":
                    raise RuntimeError(rest)
                if verb == "go":
                    break
                fraction, _, message = rest.partition(" ")
                current_job().report(float(fraction), message)
            yield
        finally:
            gate.write("bye\n")
            gate.flush()
            gate.readline()  # until the gate has seen us leave


class GatedProcessor(JobProcessor):
    """Stands at the gate, then does the real work."""

    def process_job(self, job_id: str) -> None:
        with gate(job_id):
            super().process_job(job_id)


def gated_app() -> FastAPI:
    app = create_app()

    @app.get("/test/threads")
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate()]

    return app


if __name__ == "__main__":
    from examples.content_app.app.services.jobs import job_processor

    job_processor.JobProcessor = GatedProcessor  # type: ignore[misc]
    content_app.create_app = gated_app  # type: ignore[attr-defined]
    content_app.main()
