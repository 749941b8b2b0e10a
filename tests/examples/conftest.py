"""Fixtures of the examples' tests. Whatever starts a process ends it, however the test went."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from examples.content_app.app import database
from examples.content_app.app.settings import settings
from tests.examples.support import GATED_SERVER, Gate, Server

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts the app as `python -m examples.content_app` does; keywords are its environment."""
    with ExitStack() as stack:

        def start(folder: Path = tmp_path, **variables: str) -> Server:
            return stack.enter_context(closing(Server(folder, variables=variables)))

        yield start


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


@pytest.fixture
def serve_gated(tmp_path: Path, gate: Gate) -> Iterator[Serve]:
    """Starts the app with its jobs held at `gate`."""
    with ExitStack() as stack:

        def start(**variables: str) -> Server:
            variables["GATE_PORT"] = str(gate.port)
            server = Server(tmp_path, [str(GATED_SERVER)], variables)
            return stack.enter_context(closing(server))

        yield start


@pytest.fixture
def app_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty database for an app in this process."""
    path = tmp_path / "content_app.db"
    here = replace(settings, database_url=f"sqlite:///{path}")
    monkeypatch.setattr(database, "settings", here)
    database.get_engine.cache_clear()
    yield path
    database.get_engine().dispose()
    database.get_engine.cache_clear()


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        missing = "chromium" if chromium is None else "chromedriver"
        pytest.skip(f"no browser: {missing} is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    # The profile is removed after the browser has let go of it.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            f"--user-data-dir={profile}",
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        chrome = webdriver.Chrome(options=options, service=Service(driver))
        try:
            chrome.set_page_load_timeout(20)
            yield chrome
        finally:
            chrome.quit()
