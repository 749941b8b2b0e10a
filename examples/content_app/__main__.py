"""`python -m examples.content_app`: serve the app and say where it is."""

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

import uvicorn

from examples.content_app.app.database import database_place
from examples.content_app.app.main import create_app


class AnnouncingServer(uvicorn.Server):
    """A server that prints its address once it answers there."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            host, port = listening.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"Content app: http://{shown}:{port}/  (Ctrl-C stops it)", flush=True)
            print(f"Database:    {database_place()}", flush=True)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 means any that is free. Ends the program if there is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        # With its protocol named, for asyncio to switch Nagle's delay off: it costs 40 ms a request.
        listening = socket.socket(family, kind, protocol)
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        sys.exit(
            f"cannot listen on {host} port {port}: {error.strerror}. "
            "Choose another with --port; 0 takes any that is free."
        )
    return listening


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.content_app",
        description="Turns posted documents into content packs, two at a time.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s, loopback only")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s; 0: any free")
    chosen = parser.parse_args(arguments)
    if not 0 <= chosen.port <= 65535:
        parser.error(f"--port must be between 0 and 65535, got {chosen.port}")

    sockets = [listen(chosen.host, chosen.port)]
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    config = uvicorn.Config(
        create_app(),
        log_config=None,
        access_log=False,
        # Open requests get this long before the jobs' own time to drain begins.
        timeout_graceful_shutdown=2,
    )
    with suppress(KeyboardInterrupt):  # the server raises it again once the jobs have drained
        AnnouncingServer(config).run(sockets=sockets)


if __name__ == "__main__":
    main()
