"""`202 Accepted`, then polling, without a database. Run it: `python -m examples.polling`.

    curl -i -X POST 'http://127.0.0.1:8000/jobs?below=1000000'    # 202, and where to look: Location
    curl http://127.0.0.1:8000/jobs/<id>                          # until `finished` is true

The runner itself is what remembers: a job while it is live, and the records of the last thousand
that have ended. They are this process's, so have one, or send whoever polls to the right one. A
record has no result in it: a short one can be the last that the job reports, as here, and a long
one belongs where results are kept, under the id.
"""

import argparse
from math import isqrt
from typing import Annotated, Self

import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request, Response
from pydantic import BaseModel

from boundedjobs import (
    BoundedRunner,
    Job,
    JobRecord,
    JobStatus,
    RunnerClosed,
    RunnerFull,
    current_job,
)

runner = BoundedRunner(2, name="polling", max_pending=100, timeout=30, history=1_000)
app = FastAPI(title="Polling", lifespan=runner.lifespan)

SECONDS_BETWEEN_POLLS = "1"


def count_primes(below: int) -> None:
    """The work: a million takes some seconds, ten million more than it may."""
    job = current_job()
    found = 0
    for number in range(2, below):
        if number % 1_000 == 0:
            job.check_cancelled()
            job.report(number / below, f"{found:,} primes so far")
        found += all(number % divisor for divisor in range(2, isqrt(number) + 1))
    job.report(1, f"{found:,} primes below {below:,}")


class JobView(BaseModel):
    """What a client sees of a job: not its traceback, which is for the log."""

    id: str
    status: JobStatus
    finished: bool
    fraction: float
    message: str
    failure: str | None
    waited: float
    ran: float | None

    @classmethod
    def of(cls, seen: JobRecord) -> Self:
        return cls(
            id=seen.id,
            status=seen.status,
            finished=seen.status.is_final,
            fraction=seen.progress.fraction if seen.progress else 0,
            message=seen.progress.message if seen.progress else "",
            failure=f"{seen.failure.type}: {seen.failure.message}" if seen.failure else None,
            waited=seen.waited,
            ran=seen.ran,
        )


@app.post("/jobs", status_code=202)
def start(
    request: Request, response: Response, below: Annotated[int, Query(ge=3, le=10_000_000)]
) -> JobView:
    """Start to count the primes below a number. 503 if there is no room for the job."""
    try:
        job = runner.submit(count_primes, below)
    except (RunnerFull, RunnerClosed) as refused:
        raise HTTPException(
            503, str(refused), headers={"Retry-After": SECONDS_BETWEEN_POLLS}
        ) from None
    response.headers["Location"] = request.url_for("show", job_id=job.id).path
    response.headers["Retry-After"] = SECONDS_BETWEEN_POLLS
    return JobView.of(job.record())


@app.get("/jobs/{job_id}")
def show(job_id: str, response: Response) -> JobView:
    """How a job is, or how it ended. 404 if none has this id, or it ended too long ago."""
    found = runner.get(job_id)
    if found is None:
        raise HTTPException(404, "no job has this id, or its record is not kept any more")
    seen = found.record() if isinstance(found, Job) else found
    if not seen.status.is_final:
        response.headers["Retry-After"] = SECONDS_BETWEEN_POLLS
    return JobView.of(seen)


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m examples.polling")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s; 0: any free")
    uvicorn.run(app, port=parser.parse_args().port)


if __name__ == "__main__":
    main()
