"""No secret leaves the dashboard: not on a page, not in an export, not in the server's log."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.queue import MEASURE, Request, RunQueue
from db.repository import RunRepository
from db.schedules import Schedule, ScheduleRepository, Slots
from planner.record.models import PlanRecord
from tests.dashboard.conftest import open_page
from tests.dashboard.test_signin_files import CLIENT, COOKIE, WHOLE

pytestmark = pytest.mark.slow

SINK, SMTP, PASSWORD, KEY = "sesame-sink", "sesame-smtp", "sesame-database", "sesame-api-key"
SECRETS = (SINK, SMTP, PASSWORD, KEY, COOKIE, CLIENT)
PAGES = ("answer", "orders", "supply", "demand", "serving", "whatif", "scenario", "runs", "accuracy")


@pytest.fixture
def planted(database, record: PlanRecord, tmp_path: Path, monkeypatch) -> Iterator[None]:
    """A plan, a schedule with a webhook, and a measurement that a server refused with what it was sent."""
    from dashboard import signin_files

    monkeypatch.setenv("WAFERLAG_SMTP__PASSWORD", SMTP)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(signin_files, "_seen", threading.Event())
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text(WHOLE)
    RunRepository(database).add(record)
    webhook = {"kind": "webhook", "url": f"https://hooks.example/{SINK}?token={SINK}", "topics": ["failed"]}
    schedule = Schedule("weekly", "0 7 * * MON", "UTC", {"source": "1-quickstart"}, sinks=(webhook,))
    ScheduleRepository(database).add(schedule, lambda *_: Slots((), 0, None))
    queue = RunQueue(database)
    queue.put(Request(kind=MEASURE, args={}, scenario_name="a measurement"))
    claim = queue.claim("a worker", 30)
    assert claim is not None
    echoed = f"no request was completed (64 refused): HTTP 401: bad key Bearer {KEY}"
    assert queue.finish(claim, "failed", echoed)


@pytest.fixture
def as_planner(planted, monkeypatch) -> None:
    """Somebody who signed in and may do everything."""
    from dashboard import components, signin

    monkeypatch.setattr(components, "signing_in", lambda: not signin.signing_in())
    monkeypatch.setattr(signin, "is_planner", lambda user, settings: True)


@pytest.fixture
def exports(monkeypatch) -> list[str]:
    """What every download button of a page would hand out."""
    from dashboard import components

    known, made = components.download, []

    def noted(place, label, content, name, mime, key, **options):
        if mime != "application/pdf":  # it says what the HTML report says
            made.append(str(content()))
        return known(place, label, content, name, mime, key, **options)

    monkeypatch.setattr(components, "download", noted)
    return made


def drawn(app) -> str:
    """All that was sent to the browser, tables in full."""
    tables = [table.value.to_csv() for table in app.dataframe]
    return "\n".join([*(str(getattr(element, "proto", "")) for element in app), *tables])


@pytest.mark.parametrize("page", PAGES)
def test_no_secret_is_on_a_page_in_its_exports_or_in_the_log(as_planner, exports, page: str, caplog):
    app = open_page(page, allow_errors=page == "serving")  # which says that a measurement failed
    assert [box.value for box in app.error if "This page failed" in box.value] == []
    shown = drawn(app)
    everything = "\n".join([shown, *exports, caplog.text])
    assert [secret for secret in SECRETS if secret in everything] == []


def test_what_the_secrets_belong_to_is_shown(as_planner, exports):
    """Else the test above would look at empty pages."""
    assert "https://hooks.example/…" in drawn(open_page("runs"))
    assert any("https://hooks.example/…" in export for export in exports)
    assert "HTTP 401" in drawn(open_page("serving", allow_errors=True))


def test_before_sign_in_no_page_shows_a_secret(planted):
    app = open_page("runs")
    assert [button.label for button in app.button] == ["Sign in"]
    assert [secret for secret in SECRETS if secret in drawn(app)] == []


def test_a_databases_password_is_not_in_the_error_of_one_that_is_away(monkeypatch, caplog):
    monkeypatch.setenv("WAFERLAG_DB", f"postgresql://planner:{PASSWORD}@127.0.0.1:1/waferlag")
    app = open_page(allow_errors=True)
    assert app.error
    assert PASSWORD not in drawn(app) + caplog.text
    assert PASSWORD in os.environ["WAFERLAG_DB"]


def test_a_set_up_broken_while_the_server_runs_shows_why_and_nothing_else(as_planner, tmp_path: Path, record):
    secrets, answer = tmp_path / ".streamlit" / "secrets.toml", record.answer.sentence[:20]
    assert answer in drawn(open_page())
    for text, why in ((WHOLE.replace(f'"{COOKIE}"', f'"{COOKIE}'), "is no TOML"), (None, "is gone")):
        secrets.write_text(text) if text else secrets.unlink()
        app = open_page(allow_errors=True)
        assert why in app.error[0].value.replace("\\", "")
        assert not app.title
        assert not app.dataframe
        assert not app.selectbox
        assert answer not in drawn(app)
        assert COOKIE not in drawn(app)
