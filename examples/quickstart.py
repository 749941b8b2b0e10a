"""A few jobs, two at a time; one of them fails. Run it: `python -m examples.quickstart`."""

from pathlib import Path

from boundedjobs import BoundedRunner, Job, JobEvent, JobStatus, current_job


def count_words(path: Path) -> int:
    """The work: anything that takes a while. What it raises fails its job, and nothing else."""
    lines = path.read_text(encoding="utf-8").splitlines()
    words = 0
    for number, line in enumerate(lines, start=1):
        words += len(line.split())
        current_job().report(number / len(lines), f"line {number}")
    return words


def tell(event: JobEvent) -> None:
    """A listener: hears each step of each job, in order."""
    # With its newline in one piece: listeners of several jobs may be called at the same time.
    print(f"{event.args[0].name}: {event.status.value}\n", end="")


def main() -> None:
    documents = Path(__file__).parent / "content_app" / "documents"
    paths = [*sorted(documents.iterdir()), documents / "missing.md"]
    jobs: list[Job[int]] = []
    with BoundedRunner(2, name="quickstart", on_status=tell) as runner:
        jobs.extend(runner.submit(count_words, path) for path in paths)
    # Leaving the block waited for all of them.
    for job in jobs:
        name = job.args[0].name
        if job.status is JobStatus.SUCCEEDED:
            print(f"{name} has {job.result()} words")
        elif job.failure is not None:
            print(f"{name} {job.status.value}: {job.failure.type}: {job.failure.message}")


if __name__ == "__main__":
    main()
