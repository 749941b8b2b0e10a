"""The page, in headless Chromium."""

from collections.abc import Callable
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.examples.conftest import Serve
from tests.examples.support import Gate, until

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Page:
    """What a person does on the page, and sees there."""

    def __init__(self, browser: Chrome, address: str) -> None:
        self.browser = browser
        browser.get(f"{address}/")
        until(lambda: self.shown("#loading"), lambda shown: not shown)
        # Gone if the page is ever loaded anew.
        browser.execute_script("window.loadedOnce = true")

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def shown(self, selector: str) -> bool:
        return self.find(selector).is_displayed()

    def text(self, selector: str) -> str:
        """What is readable there, from one look: the page may change between two."""
        return str(self.script("return document.querySelector(arguments[0]).innerText", selector))

    def script(self, code: str, *arguments: object) -> Any:
        return self.browser.execute_script(code, *arguments)

    def create(self, document: str) -> None:
        before = len(self.browser.find_elements(By.CSS_SELECTOR, ".job"))
        self.find("#text").send_keys(document)
        self.find("#create").click()
        self.until_jobs(before + 1)

    def until_jobs(self, count: int) -> None:
        """Wait until so many are listed."""
        jobs = "return document.querySelectorAll('.job').length"
        until(lambda: self.script(jobs), lambda listed: listed == count)

    def until_text(self, selector: str, wanted: Callable[[str], bool]) -> str:
        return until(lambda: self.text(selector), wanted)

    def until_status(self, status: str, job: str = ".job:first-child") -> None:
        self.until_text(f"{job} .status", lambda text: text == status)

    def problems(self) -> list[str]:
        """What the browser has complained about."""
        entries: list[dict[str, Any]] = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries]

    def never_reloaded(self) -> bool:
        return bool(self.script("return window.loadedOnce === true"))


def test_a_job_is_created_progresses_and_its_result_opens_in_place(
    serve_gated: Serve, gate: Gate, browser: Chrome
) -> None:
    page = Page(browser, serve_gated().address)
    assert page.text("#empty").startswith("No jobs yet.")

    page.create("# Of bees\n\nBees make honey. The bees of one hive share its honey all winter.")
    held = gate.next()
    page.until_status("Generating")
    assert not page.shown("#empty")
    widths = []
    for percent, stage in ((20, "reading"), (60, "writing")):
        held.report(percent / 100, stage)
        page.until_text(".job .percent", lambda text, p=percent: text == f"{p} %")  # type: ignore[misc]
        assert page.text(".job .stage") == stage
        widths.append(page.script("return document.querySelector('progress').value"))
    assert widths == [20, 60]

    held.go()
    page.until_status("Completed")
    assert not page.shown(".job .progress")
    assert page.text("#announce") == "Of bees: completed"
    page.find(".job .open").click()
    page.until_text(".job .panel", lambda text: "Key terms" in text)
    assert page.text(".job .facts .words") == "15"
    assert "The bees of one hive share its honey" in page.text(".job .summary")
    loaded = "return document.querySelector('.job .chart').naturalWidth"
    until(lambda: page.script(loaded), lambda width: width > 0)
    browser.switch_to.frame(page.find(".job iframe"))
    until(lambda: page.text("body"), lambda text: "Of bees" in text)
    # The article has its style: the sandbox lets that much through.
    assert page.script("return getComputedStyle(document.body).maxWidth") == "672px"
    browser.switch_to.default_content()

    page.find(".job .open").click()
    assert not page.shown(".job .panel")
    assert page.never_reloaded()
    assert page.problems() == []


def test_jobs_are_cancelled_and_a_failure_shows_its_traceback_and_can_be_retried(
    serve_gated: Serve, gate: Gate, browser: Chrome
) -> None:
    page = Page(browser, serve_gated(CONTENT_LIMIT="1").address)
    page.create("# First")
    held = gate.next()
    page.create("# Second")
    first, second = ".job:nth-child(2)", ".job:nth-child(1)"
    page.until_status("Generating", first)
    page.until_status("Pending", second)
    assert page.text(f"{second} .stage") == "waiting for a free slot"
    assert page.text("#filters").split("\n") == ["2 in all", "1 pending", "1 generating"]

    page.find(f"{second} .cancel").click()
    page.until_status("Cancelled", second)
    assert page.text(f"{second} .reason") == "cancelled before it had ended"
    # The button that had the focus is gone; it went to the job's title.
    assert page.script("return document.activeElement.innerText") == "Second"
    page.find(f"{first} .cancel").click()
    page.until_status("Cancelling", first)
    page.find("[data-filter=generating]").click()
    page.until_jobs(1)
    held.go()
    page.until_jobs(0)
    assert page.text("#empty") == "No job is generating."
    page.find("[data-filter='']").click()
    page.until_jobs(2)
    page.until_status("Cancelled", first)

    page.find(f"{second} .retry").click()
    gate.next().fail("the printer is <b>on fire</b>")
    page.until_status("Failed", second)
    assert page.text(f"{second} .reason") == "RuntimeError: the printer is <b>on fire</b>"
    page.find(f"{second} .trace").click()
    page.until_text(f"{second} .panel", lambda text: text.startswith("Traceback (most recent"))
    assert "gated_server.py" in page.text(f"{second} .traceback")
    assert "the printer is <b>on fire</b>" in page.text(f"{second} .traceback")

    page.find(f"{second} .retry").click()
    gate.next().go()
    page.until_status("Completed", second)
    assert not page.shown(f"{second} .panel")
    assert page.never_reloaded()
    assert page.problems() == []


def test_where_a_job_is_that_takes_long_is_shown_until_it_ends(
    serve_gated: Serve, gate: Gate, browser: Chrome
) -> None:
    page = Page(browser, serve_gated(CONTENT_STUCK_AFTER="0.4").address)
    page.create("# Of bees")
    held = gate.next()

    page.until_text(".job .stuck summary", lambda text: text.startswith("Takes long: after "))
    assert page.text("#announce") == "Of bees: takes long"
    stack = page.text(".job .stack")
    assert stack.startswith("Thread 'content-")
    assert "(most recent call last):" in stack
    assert "in GatedProcessor.process_job" in stack
    assert "# <b>is text in a stack that the page shows</b>" in stack
    assert browser.find_elements(By.CSS_SELECTOR, ".job .stuck b") == []
    assert page.script(
        "const one = document.querySelector('.job .stack');"
        "return one.scrollTop + one.clientHeight >= one.scrollHeight - 1"
    )
    # Folded it stays so, also when the next one comes, after twice the time.
    first = page.text(".job .stuck summary")
    page.find(".job .stuck summary").click()
    page.until_text(".job .stuck summary", lambda text: text != first)
    assert not page.shown(".job .stack")

    held.go()
    page.until_status("Completed")
    assert not page.shown(".job .stuck")
    assert page.never_reloaded()
    assert page.problems() == []


def test_nothing_that_a_document_says_is_executed(serve: Serve, browser: Chrome) -> None:
    server = serve()
    attack = (
        "<script>top.attacked = window.attacked = 1</script>"
        "<img src=x onerror='top.attacked = window.attacked = 1'>"
    )
    document = (
        f"# {attack}\n\n{attack}\n\n[link](javascript:top.attacked=1)\n\n"
        f"`{attack}` <svg onload='top.attacked = 1'>\n\n</text><script>attacked</script> " * 3
    )
    job_id = server.create(document.encode(), params={"title": attack[:200]})
    server.until_status(job_id, "completed")
    page = Page(browser, server.address)

    assert page.text(".job .title") == attack[:200]
    page.find(".job .open").click()
    page.until_text(".job .panel", lambda text: "Key terms" in text)
    frame = page.find(".job iframe")
    assert frame.get_attribute("sandbox") == "allow-popups allow-popups-to-escape-sandbox"
    browser.switch_to.frame(frame)
    until(lambda: page.text("body"), lambda text: "top.attacked = 1" in text)
    assert browser.find_elements(By.CSS_SELECTOR, "script, img, svg") == []
    browser.switch_to.default_content()
    assert page.script("return window.attacked") is None

    # Nor on their own, should somebody open them in a tab.
    for path in ("article", "chart.svg"):
        browser.get(f"{server.address}/jobs/{job_id}/{path}")
        assert page.script("return window.attacked") is None
        policy = server.client.get(f"/jobs/{job_id}/{path}").headers["content-security-policy"]
        assert "sandbox" in policy
        assert "default-src 'none'" in policy
        assert "allow-scripts" not in policy


def test_errors_are_said_where_they_happen(serve: Serve, browser: Chrome) -> None:
    server = serve()
    page = Page(browser, server.address)

    page.find("#create").click()
    assert page.text("#form-error") == "Paste a document or choose a file first."
    assert page.script("return document.activeElement.id") == "text"

    upload = server.folder / "latin.txt"
    upload.write_bytes("naïve".encode("latin-1"))
    page.find("#file").send_keys(str(upload))
    assert page.text("#chosen-name") == "latin.txt (5 bytes)"
    page.find("#create").click()
    page.until_text(
        "#form-error", lambda text: text.startswith("The document must be UTF-8 text, but byte 2")
    )
    assert page.shown("#empty")
    page.find("#chosen-remove").click()
    page.create("# A good one")
    page.until_status("Completed")

    server.close()
    page.script("document.dispatchEvent(new Event('visibilitychange'))")  # looks at once
    page.until_text("#offline", lambda text: text == "The server does not answer. Trying again…")
    assert page.text(".job .title") == "A good one"


def test_a_phone_and_a_keyboard_are_enough(serve: Serve, browser: Chrome) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    server = serve()
    page = Page(browser, server.address)
    too_wide = "return document.documentElement.scrollWidth > innerWidth"

    def focused() -> str:
        code = "const at = document.activeElement; return at.id || at.className || at.tagName"
        return str(page.script(code))

    def press(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    press(Keys.TAB)
    assert focused() == "skip"
    press(Keys.TAB)
    assert focused() == "text"
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert page.script(outline) == "solid"
    press("# Typed\n\nA few words.", Keys.TAB)
    assert focused() == "file"
    press(Keys.TAB)
    assert focused() == "kind"
    press(Keys.TAB)
    assert focused() == "create"
    press(Keys.ENTER)
    page.until_jobs(1)
    page.until_status("Completed")
    assert focused() == "create"
    assert page.script(too_wide) is False

    page.script("document.querySelector('.job .open').focus()")
    press(Keys.ENTER)
    page.until_text(".job .panel", lambda text: "Key terms" in text)
    assert page.text(".job .open") == "Close result"
    assert page.find(".job .open").get_attribute("aria-expanded") == "true"
    assert page.script(too_wide) is False

    unnamed = """
        return [...document.querySelectorAll("button, input, textarea, select, iframe, img, progress")]
          .filter((one) => !(one.innerText || one.labels?.length || one.title || one.alt || one.ariaLabel))
          .map((one) => one.outerHTML)
    """
    assert page.script(unnamed) == []
