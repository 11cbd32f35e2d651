"""A real dashboard with a worker beside it, and a real Chromium to look at it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE_POOL = '<img src=x onerror="document.title=1"> ![p](http://x.test/p.png) :red[z] مرحبا 😀 ' + "W" * 30
PATIENCE = 600
"""Seconds until a condition that does not come about has failed. Generous: on busy cores a plan takes minutes."""


@dataclass(frozen=True)
class Site:
    """A running dashboard: its address, and the ids of the plans in its database."""

    url: str
    plan: str
    hostile: str
    database_url: str


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; without one the tests are skipped, unless WAFERLAG_REQUIRE_BROWSER asks for it."""
    found = os.environ.get("WAFERLAG_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found:
        return found
    if os.environ.get("WAFERLAG_REQUIRE_BROWSER") == "1":
        pytest.fail("WAFERLAG_REQUIRE_BROWSER is set, and there is no Chromium (apt-get install chromium)")
    pytest.skip("no Chromium on this machine")


@pytest.fixture(scope="session")
def site(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The dashboard over a database with a real plan and one under hostile names, and a worker."""
    from db.repository import RunRepository
    from db.session import open_database
    from planner.open_scenario import open_scenario
    from planner.plan import plan
    from planner.record.models import PlanRecord

    url = f"sqlite:///{tmp_path_factory.mktemp('site') / 'waferlag.sqlite'}"
    scenario = open_scenario("1-quickstart", replications=200).scenario
    record = plan(
        scenario.model_copy(update={"run": scenario.run.model_copy(update={"training_futures": 60, "engine": "fast"})}),
        depth="study",
    ).record
    renamed = record.model_dump_json().replace('"chat"', json.dumps(HOSTILE_POOL))
    with open_database(url) as database:
        hostile = RunRepository(database).add(PlanRecord.model_validate_json(renamed))
        stored = RunRepository(database).add(record)
    port = _free_port()
    environment = {**os.environ, "WAFERLAG_DB": url}
    server = [sys.executable, "-c", "from dashboard.serve import main; main()", "127.0.0.1", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    children = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, **quiet)
        for command in (server, [sys.executable, "-m", "waferlag", "worker"])
    ]
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_healthy(f"{address}/_stcore/health")
        yield Site(address, stored, hostile, url)
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(timeout=PATIENCE)


@pytest.fixture(scope="session")
def free_port():
    """``free_port()``: a port of loopback on which nothing listens."""
    return _free_port


@pytest.fixture(scope="session")
def patience() -> int:
    """Seconds until a condition that does not come about has failed."""
    return PATIENCE


@pytest.fixture(scope="session")
def wait_until_healthy():
    """``wait_until_healthy(address)``: until a dashboard answers there."""
    return _wait_until_healthy


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(address: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"the dashboard did not start within {PATIENCE} s")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[object]:
    """One Chromium for the tests of a file.

    Playwright's loop runs in this thread until it is closed, and no test after it could start one of its own.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield opened
        opened.close()


@dataclass
class Visitor:
    """Opens pages of the site in one window and notes every request that leaves it."""

    site: Site
    page: object
    outside: list[str] = field(default_factory=list)

    def open(self, path: str = "", **parameters: str) -> None:
        """Go to a page and wait until Streamlit has drawn it."""
        asked = "&".join(f"{name}={value}" for name, value in parameters.items())
        self.page.goto(f"{self.site.url}/{path}" + (f"?{asked}" if asked else ""))
        self.page.get_by_role("heading", level=1).first.wait_for()
        self.settle()

    def turn_to(self, path: str) -> None:
        """Go to another page with the frame as it stands, as the sidebar and the browser's arrows do."""
        before = self.page.get_by_role("heading", level=1).first.inner_text()
        self.page.evaluate(
            "path => { history.pushState({}, '', path + location.search);"
            " dispatchEvent(new PopStateEvent('popstate')) }",
            f"/{path}",
        )
        self.page.wait_for_function(
            "before => { const now = document.querySelector('h1'); return now && now.innerText !== before }", arg=before
        )
        self.settle()

    def settle(self) -> None:
        """Until the script has run and nothing is being computed."""
        self.page.wait_for_function(
            "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
        )

    def press(self, button: object, until: object) -> None:
        """Click until the page shows what the click leads to: one is lost where the page is drawn anew meanwhile."""
        from playwright.sync_api import TimeoutError as TooLateError

        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.settle()
            button.click()
            try:
                until.wait_for(timeout=30_000)
                return
            except TooLateError:
                continue
        pytest.fail(f"{button} was pressed for {PATIENCE} s, and {until} did not appear")

    def choose(self, label: str, option: str) -> None:
        """Pick an option of a select box; a rerun of the page may close its list, so it is opened again."""
        from playwright.sync_api import TimeoutError as TooLateError

        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.settle()
            self.page.get_by_label(label).click()
            try:
                self.page.get_by_role("option", name=option).click(timeout=15_000)
                return
            except TooLateError:
                self.page.keyboard.press("Escape")
        pytest.fail(f"{label} did not offer {option}")

    def errors(self) -> list[str]:
        """Texts of the error boxes on the page."""
        boxes = self.page.locator("[data-testid=stException], [data-testid=stAlertContentError]")
        return boxes.all_inner_texts()

    def note(self, request: object) -> None:
        own = (self.site.url, self.site.url.replace("http", "ws", 1), "data:", "blob:")
        if not request.url.startswith(own):
            self.outside.append(request.url)


@pytest.fixture(scope="module")
def context(browser: object) -> Iterator[object]:
    """What the windows of a file share: the scripts of the frame, fetched and compiled once."""
    opened = browser.new_context(reduced_motion="reduce")
    opened.set_default_timeout(1000 * PATIENCE)
    yield opened
    opened.close()


@pytest.fixture
def visit(site: Site, context: object) -> Iterator[object]:
    """``visit(width, scheme)`` opens a window on the site."""
    pages = []

    def window(width: int = 1280, scheme: str = "light") -> Visitor:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        pages.append(page)
        visitor = Visitor(site, page)
        page.on("request", visitor.note)
        return visitor

    yield window
    for page in pages:
        page.close()
