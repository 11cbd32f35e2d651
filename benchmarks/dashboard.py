"""How fast the dashboard is: cold start to a drawn Answer page, warm page changes, what-ifs.

    python benchmarks/dashboard.py

Needs Chromium. Stores 50 runs of the quickstart with 10,000 replications written in their scenario (the pages read
the record and the rows, never the replications' own file), starts `waferlag dashboard`, and times what a visitor
waits for: from the process's start, or from a click, until Streamlit is at rest and the page's chart is drawn. A
what-if ends when the differences stand on the page; it is asked on the quickstart and on the day of the news
(2-h20-july-2025), with a worker beside the server, which takes up the full run behind it.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

RUNS = 50
PORT = 8791
ADDRESS = f"http://127.0.0.1:{PORT}"
PAGES = ("Orders", "Supply", "Demand", "Serving", "Answer")
CHART = "[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg.marks"
REST = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def main() -> None:
    """Measure and print."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        url = f"sqlite:///{Path(folder) / 'waferlag.sqlite'}"
        news = store_runs(url)
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("WAFERLAG_CHROMIUM") or shutil.which("chromium"), args=ARGUMENTS
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        command = [sys.executable, "-m", "waferlag", "dashboard", "--no-browser"]
        server = subprocess.Popen([*command, "--port", str(PORT), "--db", url], stdout=subprocess.DEVNULL)
        try:
            wait_until_healthy()
            page.goto(ADDRESS)
            drawn(page)
            print(f"cold start to drawn Answer page: {time.perf_counter() - began:.1f} s")
            for visit in ("first visit", "warm"):
                waits = {name: change(page, name) for name in PAGES}
                shown = ", ".join(f"{name} {seconds:.2f}" for name, seconds in waits.items())
                print(f"page change, {visit}: median {statistics.median(waits.values()):.2f} s ({shown})")
            for name, address in (("1-quickstart", "whatif"), ("2-h20-july-2025", f"whatif?run={news}")):
                page.goto(f"{ADDRESS}/{address}")
                waits = {demand: what_if(page, demand) for demand in ("1.5", "0.8", "2", "3")}
                shown = ", ".join(f"demand x {demand} {seconds:.2f}" for demand, seconds in waits.items())
                print(f"what-if, {name}: slowest {max(waits.values()):.2f} s ({shown})")
        finally:
            server.terminate()
            server.wait(timeout=30)
            browser.close()
    print(f"load of the machine, 1 minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def store_runs(url: str) -> str:
    """50 stored plans, each with a seed of its own, behind one of the day of the news, whose id is returned."""
    from db.repository import RunRepository
    from db.session import open_database
    from planner.open_scenario import open_scenario
    from planner.plan import plan
    from waferlag.settings import settings

    memory = settings().goodputs()
    scenario = open_scenario("1-quickstart", replications=400).scenario
    record = plan(scenario, memory=memory).record
    run = scenario.run.model_copy(update={"replications": 10_000})
    with open_database(url) as database:
        news = RunRepository(database).add(plan(open_scenario("2-h20-july-2025").scenario, memory=memory).record)
        for seed in range(RUNS):
            asked = scenario.model_copy(update={"seed": seed, "run": run})
            RunRepository(database).add(record.model_copy(update={"scenario": asked, "seed": seed}))
    return news


def wait_until_healthy() -> None:
    """Until the server answers."""
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{ADDRESS}/_stcore/health", timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit("the dashboard did not start within a minute")


def drawn(page: Any) -> None:
    """Until the script is at rest and a chart is on the page."""
    page.get_by_role("heading", level=1).first.wait_for(timeout=60_000)
    page.locator(CHART).first.wait_for(timeout=60_000)
    page.wait_for_function(REST, timeout=60_000)


def change(page: Any, name: str) -> float:
    """Seconds from a click on a page's link to the drawn page."""
    began = time.perf_counter()
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", level=1, name=name).wait_for(timeout=60_000)
    drawn(page)
    return time.perf_counter() - began


def what_if(page: Any, demand: str) -> float:
    """Seconds from Apply to the differences in numbers; the baseline is answered while the form is filled in."""
    page.get_by_role("heading", level=1, name="What-if").wait_for(timeout=60_000)
    page.wait_for_function(REST, timeout=60_000)
    before = page.get_by_role("heading", level=3).all_inner_texts()
    field = page.get_by_label("Demand, times").first
    field.fill(demand)
    field.press("Tab")
    began = time.perf_counter()
    page.get_by_role("button", name="Apply").click()
    change = page.get_by_role("heading", level=3).filter(has_text="Cost")
    change.first.wait_for(timeout=120_000)
    while page.get_by_role("heading", level=3).all_inner_texts() == before:
        time.sleep(0.02)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
