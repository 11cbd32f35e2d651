"""The dashboard in a real browser: every page, light and dark, wide and narrow, and what people do there."""

import signal
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1800)]

PLAN_PAGES = ("", "orders", "supply", "demand", "serving")
WORK_PAGES = ("whatif", "scenario", "runs", "accuracy")
CHARTS = "[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg.marks"
UPSTREAM = {"list", "listitem"}
"""Rules broken by Streamlit's own frame (the lists of its sidebar), not by our pages."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_every_page_draws_without_errors_and_asks_nothing_of_the_internet(visit, width: int, scheme: str):
    """At full width axe looks at each page too and finds no serious problem of ours."""
    window = visit(width, scheme)
    problems: dict[str, list[str]] = {}
    window.open()
    for path in (*PLAN_PAGES, *WORK_PAGES):
        if path:
            window.turn_to(path)
        assert window.errors() == [], path
        if path in PLAN_PAGES:
            window.page.locator(CHARTS).first.wait_for()
        heading = window.page.get_by_role("heading", level=1).first.inner_text().strip()
        window.settle()
        main = window.page.locator("[data-testid=stMain]")
        assert main.evaluate("m => m.scrollWidth - m.clientWidth") <= 1, f"{path} runs out of the window"
        first = main.inner_text().strip().split("\n")[0].strip()
        assert first == heading, f"{path or 'answer'}: something of its source is drawn above the heading"
        background = window.page.locator("[data-testid=stApp]").evaluate("a => getComputedStyle(a).backgroundColor")
        assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(17, 22, 28)")
        if width == 1280:
            for kind, places in axe_problems(window.page).items():
                problems.setdefault(kind, []).append(f"{path or 'answer'}: {places}")
    assert problems == {}
    assert window.outside == []


def axe_problems(page) -> dict[str, list[str]]:
    """Serious problems of ours that axe finds, with the first places of each."""
    from axe_playwright_python.sync_playwright import Axe

    return {
        problem["id"]: [node["html"][:160] for node in problem["nodes"][:3]]
        for problem in Axe().run(page).response["violations"]
        if problem["impact"] in ("serious", "critical") and problem["id"] not in UPSTREAM
    }


def test_the_answer_page_shows_what_the_record_says(visit):
    from db.repository import RunRepository
    from db.session import open_database

    window = visit()
    window.open()
    with open_database(window.site.database_url) as database:
        record = RunRepository(database).get(window.site.plan)
    # The heading comes first; a busy machine draws the rest a moment later.
    window.page.get_by_text(record.answer.sentence).first.wait_for()
    text = " ".join(window.page.locator("[data-testid=stMain]").inner_text().split())
    assert record.answer.sentence in text
    assert f"{100 * record.answer.probability.value:.0f} %" in text


def test_the_address_restores_the_plan_on_every_page(visit):
    window = visit()
    window.open("orders", run=window.site.hostile)
    assert f"run={window.site.hostile}" in window.page.url
    window.page.get_by_role("link", name="Demand").click()
    window.page.get_by_role("heading", level=1, name="Demand").wait_for()
    window.settle()
    assert f"run={window.site.hostile}" in window.page.url


def test_hostile_names_are_shown_and_not_obeyed(visit):
    window = visit()
    dialogs: list[str] = []
    window.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    window.open(run=window.site.hostile)
    for path in (*PLAN_PAGES, "whatif", "scenario"):
        if path:
            window.turn_to(path)
        assert f"run={window.site.hostile}" in window.page.url
        assert window.errors() == [], path
        heading = window.page.get_by_role("heading", level=1).first.inner_text().strip()
        window.settle()
        main = window.page.locator("[data-testid=stMain]")
        assert main.evaluate("m => m.scrollWidth - m.clientWidth") <= 1, f"{path} runs out of the window"
        first = main.inner_text().strip().split("\n")[0].strip()
        assert first == heading, f"{path or 'answer'}: something of its source is drawn above the heading"
        assert window.page.locator("img[src*='x.test'], img[src='x'], a[href*='x.test']").count() == 0
    assert window.page.title() != "1"
    assert dialogs == []
    assert window.outside == []


def test_the_what_if_changes_the_answer_all_futures_follow_and_its_address_restores_it(visit):
    window = visit()
    window.open("whatif")
    demand = window.page.get_by_label("Demand, times")
    demand.fill("2")
    demand.press("Tab")
    window.page.get_by_role("button", name="Apply").click()
    change = window.page.get_by_role("heading", level=3).filter(has_text="Cost +")
    change.wait_for()
    # The small sample answers; the full run behind it takes its place when it is done.
    window.page.get_by_text("All 200 futures of both plans").wait_for()
    window.settle()
    said = change.inner_text()
    assert "demand=2" in window.page.url
    assert window.errors() == []
    other = visit()
    other.page.goto(window.page.url)
    again = other.page.get_by_role("heading", level=3).filter(has_text="Cost +")
    again.wait_for()
    assert again.inner_text() == said
    other.open()
    assert f"run={window.site.plan}" in other.page.url, "a what-if is not taken for the newest plan"


def test_a_run_is_started_and_its_plan_appears(visit):
    window = visit()
    window.open("runs")
    start = window.page.get_by_role("button", name="Start", exact=True)
    window.press(window.page.get_by_text("Start a run"), until=start)
    window.press(start, until=window.page.get_by_text("Queued as run"))
    window.page.get_by_text("No run waits or is under way.").wait_for()
    assert window.errors() == []


def test_a_run_is_cancelled(visit):
    from db import queries
    from db.session import open_database

    window = visit()
    window.open("runs")
    start = window.page.get_by_role("button", name="Start", exact=True)
    window.press(window.page.get_by_text("Start a run"), until=start)
    window.choose("Shipped scenario", "2-h20-july-2025")
    window.press(start, until=window.page.get_by_role("button", name="Cancel").first)
    window.page.get_by_role("button", name="Cancel").first.click()
    window.page.get_by_text("No run waits or is under way.").wait_for()
    with open_database(window.site.database_url) as database:
        newest = queries.runs(database, scenario="2-h20-july-2025", limit=1)[0]
    assert newest.state == "cancelled"


def test_the_language_is_switched_and_kept_in_the_address(visit):
    window = visit()
    window.open()
    window.page.get_by_text("中文").click()
    window.page.get_by_role("heading", level=1, name="答案").wait_for()
    assert "lang=zh" in window.page.url


def test_the_keyboard_reaches_the_pages_and_opens_one(visit):
    window = visit()
    window.open()
    for _ in range(40):
        window.page.keyboard.press("Tab")
        if "Orders" in window.page.evaluate("document.activeElement.innerText || ''").split("\n"):
            break
    else:
        pytest.fail("no number of tabs reached the Orders page")
    window.page.keyboard.press("Enter")
    window.page.get_by_role("heading", level=1, name="Orders").wait_for()


def test_from_an_empty_database_one_click_leads_to_a_plan(browser, free_port, wait_until_healthy, patience, tmp_path):
    """`waferlag dashboard` alone: it brings its own worker, and the page opens the plan when it is there."""
    port = free_port()
    command = [sys.executable, "-m", "waferlag", "dashboard", "--no-browser", "--port", str(port)]
    process = subprocess.Popen([*command, "--db", f"sqlite:///{tmp_path / 'new.sqlite'}"])
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health")
        page = browser.new_page(reduced_motion="reduce")
        page.set_default_timeout(1000 * patience)
        page.goto(f"http://127.0.0.1:{port}")
        page.get_by_role("heading", level=1, name="No plan yet").wait_for()
        page.get_by_role("button", name="Plan the quickstart").click()
        page.get_by_role("heading", level=1, name="Answer").wait_for()
        page.locator(CHARTS).first.wait_for()
        page.close()
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=patience) == 0
