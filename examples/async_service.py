"""Async jobs with an async listener, on one event loop. Run it: `python -m examples.async_service`.

A small line server counts for its clients, three requests at a time however many ask at once.
"""

import asyncio
from collections import Counter

from boundedjobs import BoundedRunner, JobEvent

heard: Counter[str] = Counter()


async def record(event: JobEvent) -> None:
    """An async listener. The job waits for it, so what it stores is there before the result is."""
    await asyncio.sleep(0)  # in a service: an insert by an async database driver
    heard[event.status.value] += 1


runner = BoundedRunner(3, name="requests", max_pending=100, on_status=record)


@runner.wrap
async def word_lengths(line: str) -> list[int]:
    """The work of one request; the loop serves others while it awaits."""
    lengths = []
    for word in line.split():
        await asyncio.sleep(0)
        lengths.append(len(word))
    if not lengths:
        raise ValueError("the line must have at least one word, got none")
    return lengths


async def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each line by a job's result, or by why there is none."""
    while line := await reader.readline():
        job = word_lengths(line.decode())
        try:
            answer = " ".join(str(length) for length in await job)
        except ValueError as error:
            answer = f"error: {error}"
        writer.write(f"{answer}\n".encode())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def ask(port: int, line: str) -> str:
    """A client that asks for one line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{line}\n".encode())
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer.decode().rstrip()


async def main() -> None:
    lines = ["to be or not to be", "", *[f"{'x' * n} y" for n in range(1, 9)]]
    # The runner outside: it drains while the server's clients are still being answered.
    async with runner:
        server = await asyncio.start_server(serve_client, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answers = await asyncio.gather(*(ask(port, line) for line in lines))
        server.close()
        await server.wait_closed()
    for line, answer in zip(lines, answers, strict=True):
        print(f"{line!r}: {answer}")
    print(", ".join(f"{count} {status}" for status, count in sorted(heard.items())))


if __name__ == "__main__":
    asyncio.run(main())
