"""Pages, run headless: what they say equals the record, and nothing a name says is obeyed."""

import re

import pytest

from db.queue import RunQueue
from db.repository import RunRepository
from planner.record.models import PlanRecord
from planner.report.sentences import POLICIES, VERDICTS

pytestmark = pytest.mark.slow

Screen = object


def visible(app) -> str:
    """All texts of a page on one line, Markdown escapes taken off."""
    parts = [
        element.value if hasattr(element, "value") else ""
        for kind in (app.title, app.header, app.markdown, app.caption, app.info, app.error, app.code)
        for element in kind
    ]
    parts += [element.proto.body for element in app.get("html")]
    plain = re.sub(r"\\(.)", r"\1", " ".join(map(str, parts))).replace("\u2060", "")
    return re.sub(r"[\s\u00a0]+", " ", plain)


@pytest.fixture
def stored(database, record: PlanRecord) -> str:
    return RunRepository(database).add(record, seconds=12)


def test_without_a_plan_the_page_offers_the_quickstart(screen):
    app = screen()
    assert "No plan yet" in visible(app)
    assert "waferlag plan 1-quickstart" in visible(app)
    assert [button.label for button in app.button] == ["Plan the quickstart"]


def test_the_answer_page_says_the_records_sentence_and_figures(drawn, record: PlanRecord):
    text = visible(drawn())
    assert record.answer.sentence in text
    assert record.answer.waiting in text
    for figure in ("14 Aug 2025", "91 %", "89–93 %", "76.4 M CNY", "61.2 M CNY to 94.8 M CNY", "4.6 M CNY"):
        assert figure in text
    assert all(reason in text for reason in record.reasons)


def test_the_rivals_table_holds_the_records_numbers(drawn, record: PlanRecord):
    frame = drawn().dataframe[-1].value
    assert next(iter(frame["way to act"])) == "this plan"
    assert set(frame["way to act"][1:]) == {POLICIES[rival.name][0] for rival in record.rivals}


def test_the_newest_plan_is_shown_unless_the_address_names_another(screen, database, record: PlanRecord):
    older = RunRepository(database).add(record)
    renamed = record.scenario.model_copy(update={"title": "A later plan"})
    RunRepository(database).add(record.model_copy(update={"scenario": renamed}))
    assert "A later plan" in visible(screen())
    assert "The day of the news" in visible(screen(run=older))


def test_an_unknown_run_in_the_address_is_told_plainly(screen, stored: str):
    app = screen(allow_errors=True, run="20000101-000000-000000")
    assert "unknown run" in re.sub(r"\\(.)", r"\1", app.error[0].value)
    assert "Traceback" not in app.error[0].value


def test_hostile_names_are_shown_as_they_are(screen, database, hostile: PlanRecord):
    run = RunRepository(database).add(hostile)
    app = screen(run=run)
    bodies = " ".join(element.proto.body for element in app.get("html"))
    assert "<script" not in bodies
    assert "**bold**" in visible(app)
    for element in app.markdown:
        bare = re.sub(r"\\.", "", element.value)  # what is left is Markdown that acts
        assert not re.search(r"<script|\]\(http|\$x|:red\[", bare)


def test_a_run_that_waits_is_shown_with_its_state(screen, database):
    from planner.open_scenario import open_scenario

    RunQueue(database).put_scenario(open_scenario("1-quickstart").scenario, (), "test")
    assert "waiting for a worker" in " ".join(bar.proto.text for bar in screen().get("progress"))


PAGES = ("answer", "orders", "supply", "demand", "serving", "whatif", "scenario", "runs", "accuracy")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_without_an_error_and_has_one_title(drawn, page: str):
    app = drawn(page)
    assert len(app.title) == 1


@pytest.mark.parametrize("page", ["answer", "orders", "whatif"])
def test_a_plan_of_an_older_version_without_its_study_is_drawn(screen, database, older: PlanRecord, page: str):
    text = visible(screen(page, run=RunRepository(database).add(older)))
    assert not re.search("Plan again|gates always open|nobody plans again|Cash by quarter|other goals", text)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_speaks_chinese(drawn, page: str):
    app = drawn(page, "zh")
    assert re.search("[\u4e00-\u9fff]", app.title[0].value)


@pytest.mark.parametrize("page", ["orders", "supply", "demand", "serving", "whatif"])
def test_a_page_about_a_plan_offers_the_quickstart_while_there_is_none(screen, page: str):
    assert "No plan yet" in visible(screen(page))


def test_the_orders_page_holds_the_records_orders(drawn, record: PlanRecord):
    app = drawn("orders")
    frame = next(table.value for table in app.dataframe if "last safe date" in table.value)
    assert list(frame["GPUs"]) == [order.gpus for order in record.orders]
    assert list(frame["prepayment"]) == [order.prepayment for order in record.orders]
    assert "14 Nov 2025" in visible(app)  # median arrival of the first order


def test_the_orders_page_holds_the_if_then_calendar_the_later_orders_and_the_cash(drawn, record: PlanRecord):
    app = drawn("orders")
    frames = [table.value for table in app.dataframe]
    calendar = next(frame for frame in frames if "placed" in frame)
    assert list(calendar["placed"]) == ["if at least promised", "while H20 new wafers is closed", "once cleared"]
    assert list(calendar["GPUs"]) == [line.gpus for line in record.calendar.lines]
    later = next(frame for frame in frames if "GPUs, mean" in frame)
    assert list(later["GPUs, mean"]) == [round(order.mean_gpus, 1) for order in record.later]
    cash = next(frame for frame in frames if "all payments, P50" in frame)
    assert cash["prepayments"][0].replace("\u00a0", " ") == "4.4 M CNY"
    assert "licence fees" not in cash, "what is never paid takes no column"
    assert "conditions save 2.2 M CNY (1.6 M CNY to 2.8 M CNY)" in visible(app)


def test_the_answer_page_says_what_knowing_more_is_worth(drawn, record: PlanRecord):
    text = visible(drawn())
    assert "Plan again on 1 Aug 2025" in text
    assert "instead of for the mean future saves 2.7 M CNY (1.9 M CNY to 3.5 M CNY)" in text
    assert "perfect forecast would save 11.8 M CNY at most" in text
    assert "All gates always open: cost −5.3 M CNY" in text
    assert "One GPU more in the monthly cap of H20 finished stock in Aug 2025 would save 31.5 k CNY." in text


def test_the_numbers_of_the_other_tables_are_the_records(drawn, record: PlanRecord):
    need = next(table.value for table in drawn("demand").dataframe if "needed, P50" in table.value)
    parts = [part for month in record.months for part in month.pools]
    for column, quantile in (("needed, P10", "p10"), ("needed, P50", "p50"), ("needed, P90", "p90")):
        assert list(need[column]) == [round(getattr(part.need_gpus, quantile), 1) for part in parts]
    rates = next(table.value for table in drawn("serving").dataframe if "requests/s per replica" in table.value)
    known = [item.requests_per_s for item in record.sizing if item.requests_per_s is not None]
    assert list(rates["requests/s per replica"].dropna()) == [rate.value for rate in known]
    assert list(rates["low"].dropna()) == [rate.low for rate in known]
    rivals = drawn().dataframe[-1].value.set_index("way to act")
    for rival in record.rivals:
        told = rivals.loc[POLICIES[rival.name][0]].str.replace("\u00a0", " ")
        assert told["mean cost"] == f"{rival.mean_cost.value / 1e6:.3g} M CNY"
        assert told["demand unmet"] == f"{100 * rival.shortfall_share:.1f} %"
        assert told["GPUs ordered"] == f"{rival.gpus_ordered:.0f}"
        assert told["beside this plan"] == VERDICTS[rival.verdict]


def test_charts_are_drawn_from_the_records_numbers(record: PlanRecord):
    from dashboard.charts import ahead, fleet, money, supply

    months = record.months
    strip = fleet.month_strip(record).rows
    assert [row["probability"] for row in strip] == [month.probability.value for month in months]
    spend = money.spend_by_month(record).rows
    assert [row["p50"] for row in spend] == [month.spend.p50 for month in months]
    assert [row["p90"] for row in supply.lead_times(record).rows] == [lead.days.p90 for lead in record.lead_times]
    assert [row["cost"] for row in ahead.frontier(record).rows] == [point.mean_cost.value for point in record.frontier]
    assert [row["cost_high"] for row in ahead.swings(record).rows] == [swing.cost_high for swing in record.tornado]
    cash = money.cash_by_quarter(record).rows
    assert sum(row["amount"] for row in cash) == pytest.approx(
        sum(sum(quarter.mean.values()) for quarter in record.quarters), rel=1e-12
    )
    assert sum(row["amount"] for row in money.cost_parts(record).rows) == pytest.approx(
        sum(record.kpis.cost_parts.values()), rel=1e-12
    )


def test_the_serving_page_shows_label_and_interval_of_every_figure(drawn, record: PlanRecord):
    text = visible(drawn("serving"))
    for item in record.sizing:
        if item.requests_per_s is not None:
            assert f"{item.requests_per_s.value:.2f} requests/s" in text
            assert f"-badge[{item.label}]" in text
    assert "does not fit" in text


def test_the_supply_page_tells_one_future(screen, stored: str):
    app = screen("supply")
    assert "One future as a story" in visible(app)
    before = visible(app)
    app.number_input(key="future").set_value(7).run()
    assert not app.error
    assert visible(app) != before


def test_the_scenario_page_shows_every_mistake_and_saves_nothing(screen, stored: str):
    app = screen("scenario")
    text = app.text_area[0].value.replace("horizon_months: 18", "horizon_months: -3\nnmae: x")
    app.text_area[0].set_value(text).run()
    shown = visible(app)
    assert "2 problems" in shown
    assert "did you mean name" in shown
    assert [button.label for button in app.button if "Save" in button.label] == []


def test_a_changed_scenario_is_queued_once(screen, stored: str, database):
    from db import queries

    app = screen("scenario")
    app.text_area[0].set_value(app.text_area[0].value.replace("seed: 20250716", "seed: 7")).run()
    for _ in range(2):
        next(button for button in app.button if button.label == "Save and plan").click().run()
    assert not app.error
    assert [run.seed for run in queries.runs(database, state="queued")] == [7]


def test_a_run_is_started_watched_and_cancelled(screen, stored: str, database):
    from db import queries

    app = screen("runs")
    next(box for box in app.selectbox if box.label == "Shipped scenario").set_value("1-quickstart")
    next(button for button in app.button if button.label == "Start").click().run()
    queued = queries.runs(database, state="queued")
    assert len(queued) == 1
    app.run()
    next(button for button in app.button if button.label == "Cancel").click().run()
    assert queries.run(database, queued[0].id).state == "cancelled"


def apply(app, **values: float):
    """Set values of the what-if and send the form."""
    for name, value in values.items():
        app.number_input(key=name).set_value(value)
    next(button for button in app.button if button.label == "Apply").click().run()
    assert not app.error
    return app


def what_if_runs(database) -> list:
    from db import queries

    return [run for run in queries.runs(database) if run.what_if_of is not None]


def test_the_what_if_answers_and_queues_all_futures_behind_it(screen, database, quickstart: PlanRecord):
    run = RunRepository(database).add(quickstart)
    app = apply(screen("whatif"), demand=2.0)
    assert "Cost +" in visible(app)
    assert "first 200 futures" in visible(app)
    (behind,) = what_if_runs(database)
    assert (behind.state, behind.scenario, behind.what_if_of) == ("queued", "1-quickstart-what-if", run)
    assert "waiting for a worker" in " ".join(bar.proto.text for bar in app.get("progress"))


def test_the_full_run_takes_the_small_samples_place(screen, database, quickstart: PlanRecord):
    from planner.compare.what_if import Changes

    RunRepository(database).add(quickstart)
    app = apply(screen("whatif"), demand=2.0)
    changed = Changes(demand=2.0).applied(quickstart.scenario)
    full = quickstart.model_copy(
        update={"scenario": changed.model_copy(update={"name": "1-quickstart-what-if"})}
        | {"kpis": quickstart.kpis.model_copy(update={"gpus_ordered": quickstart.kpis.gpus_ordered + 8})}
    )
    finish(database, what_if_runs(database)[0].id, full)
    app.run()
    assert not app.error
    assert "All 200 futures of both plans" in visible(app)
    assert "GPUs ordered +8" in visible(app)


def finish(database, run_id: str, record: PlanRecord) -> None:
    """What a worker does at the end of a run."""
    from db.repository import store_plan

    queue = RunQueue(database)
    claim = queue.claim("a worker", 30)
    assert claim is not None
    assert claim.run_id == run_id
    assert queue.finish(claim, "done", also=lambda session: store_plan(session, run_id, record, None))


def test_the_next_question_cancels_the_run_behind_the_last(screen, database, quickstart: PlanRecord):
    RunRepository(database).add(quickstart)
    app = apply(screen("whatif"), demand=2.0)
    apply(app, demand=1.5)
    assert [run.state for run in what_if_runs(database)] == ["queued", "cancelled"]


def test_the_full_run_is_left_out_where_its_switch_is_off(screen, database, quickstart: PlanRecord):
    RunRepository(database).add(quickstart)
    app = screen("whatif")
    app.toggle(key="full").set_value(False)
    apply(app, demand=2.0)
    assert what_if_runs(database) == []
    next(button for button in app.button if button.label == "Compute all futures").click().run()
    assert [run.state for run in what_if_runs(database)] == ["queued"]


def test_a_permalink_restores_the_what_if_and_queues_nothing(screen, database, quickstart: PlanRecord):
    run = RunRepository(database).add(quickstart)
    app = screen("whatif", run=run, demand="2.00", lead="1.50")
    assert "Cost +" in visible(app)
    assert app.number_input(key="lead").value == 1.5
    assert what_if_runs(database) == []


BENCHMARK = {
    "model_id": "Qwen3-235B-A22B",
    "date": "20260301-120000",
    "num_prompts": 64,
    "max_concurrency": 16,
    "duration": 60.0,
    "completed": 64,
    "total_input_tokens": 64_000,
    "total_output_tokens": 32_000,
    "request_throughput": 1.07,
    "output_throughput": 533.0,
    "total_token_throughput": 1600.0,
    "mean_ttft_ms": 210.0,
    "median_ttft_ms": 200.0,
    "p99_ttft_ms": 400.0,
    "mean_tpot_ms": 21.0,
    "median_tpot_ms": 20.5,
    "p99_tpot_ms": 30.0,
}


def bring_in(app, name: str, content: str):
    app.get("file_uploader")[0].set_value((name, content.encode(), "application/json"))
    next(button for button in app.button if button.label == "Bring in").click().run()
    return app


def test_a_benchmark_file_becomes_a_measured_profile(screen, database, quickstart: PlanRecord):
    import json

    from db import queries

    RunRepository(database).add(quickstart)
    app = bring_in(screen("serving"), "vllm.json", json.dumps(BENCHMARK))
    assert not app.error, [box.value for box in app.error]
    assert [profile.label for profile in queries.profiles(database)] == ["measured"]


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"a": NaN}', "\x00\x01"])
def test_a_file_that_is_no_benchmark_is_told_plainly(screen, database, quickstart: PlanRecord, content: str):
    from db import queries

    RunRepository(database).add(quickstart)
    app = bring_in(screen("serving"), "x.json", content)
    assert len(app.error) == 1
    assert "/tmp" not in app.error[0].value
    assert queries.profiles(database) == []


def test_where_sign_in_is_set_up_nobody_sees_a_plan_before(screen, stored: str, record: PlanRecord, monkeypatch):
    from dashboard import components

    monkeypatch.setattr(components, "signing_in", lambda: True)
    app = screen()
    assert [button.label for button in app.button] == ["Sign in"]
    assert record.answer.sentence not in visible(app)


def test_a_viewer_may_look_and_not_start(screen, stored: str, database, monkeypatch):
    from db import queries

    as_viewer(monkeypatch)
    app = screen("scenario", allow_errors=True)
    buttons = [button for button in app.button if "Save" in button.label]
    assert [button.disabled for button in buttons] == [True, True]
    buttons[1].proto.disabled = False  # a browser may send a click on what is grey
    buttons[1].click().run()
    assert queries.runs(database, state="queued") == []


def test_what_only_planners_may_is_refused_to_a_viewer_whatever_the_browser_sends(database, monkeypatch):
    from dashboard.empty_state import enqueue
    from dashboard.signin import NotAllowedError

    as_viewer(monkeypatch)
    with pytest.raises(NotAllowedError, match="only planners may"):
        enqueue("1-quickstart")


def as_viewer(monkeypatch) -> None:
    """Somebody who is signed in and on no list."""
    from dashboard import signin

    monkeypatch.setattr(signin, "may_plan", lambda: False)


def test_a_plan_is_approved_and_the_approval_withdrawn(screen, stored: str, database):
    from db import audit, queries

    app = screen()
    next(button for button in app.button if button.label == "Approve this plan").click().run()
    assert not app.error
    assert "Approved by" in app.success[0].value
    assert queries.approval(database, stored).actor == audit.actor()
    next(button for button in app.button if button.label == "Withdraw the approval").click().run()
    assert queries.approval(database, stored) is None
    assert [line.event for line in queries.audit_trail(database, stored)][:2] == ["approval withdrawn", "approved"]


def test_what_a_signed_in_planner_does_is_noted_under_their_name(database, stored: str, monkeypatch):
    from dashboard import signin
    from db import queries
    from db.audit import act_as
    from db.repository import approve

    monkeypatch.setattr(signin, "may_plan", lambda: True)
    monkeypatch.setattr(signin, "signing_in", lambda: True)
    monkeypatch.setattr(signin, "_name", lambda: "planner@example.org")
    signin.must_plan()
    approve(database, stored)
    act_as(None)
    assert queries.approval(database, stored).actor == "planner@example.org"


@pytest.mark.parametrize(
    ("claims", "planner"),
    [
        ({"email": "Planner@example.org"}, True),
        ({"email": "planner@example.org", "email_verified": True}, True),
        ({"email": "planner@example.org", "email_verified": False}, False),
        ({"email": "viewer@example.org"}, False),
        ({"email": "viewer@example.org", "groups": ["staff", "capacity"]}, True),
        ({"groups": "capacity"}, True),
        ({"groups": ["staff"]}, False),
        ({}, False),
    ],
)
def test_planners_are_known_by_their_address_or_by_a_claim(claims: dict, planner: bool):
    from dashboard.signin import is_planner

    settings = {"planners": ["planner@example.org"], "claim": "groups", "planner_roles": ["capacity"]}
    assert is_planner({"is_logged_in": True, **claims}, settings) is planner
    assert not is_planner({"is_logged_in": False, **claims}, settings)


def test_a_plan_of_another_version_is_told_plainly(screen, database, stored: str):
    from sqlalchemy import text

    with database.write() as session:
        session.execute(text("UPDATE plan SET record = json_set(record, '$.answer.goal', 'often')"))
    app = screen(allow_errors=True)
    said = re.sub(r"\\(.)", r"\1", app.error[0].value)
    assert "does not fit this version of Waferlag (answer.goal" in said


@pytest.mark.parametrize(
    "name", ["see http://x.test", "HTTPS://x.test", "www.x.test", "a@x.test", "[l](http://x.test)"]
)
def test_an_address_in_a_name_is_not_made_a_link_of(name: str):
    from dashboard.text import plain

    said = plain(name)
    assert not re.search(r"https?\\?:\\?/|www\\?\.|@\w", said, re.IGNORECASE)
    assert re.sub(r"\\(.)", r"\1", said).replace("\u2060", "") == name


def test_a_plan_that_is_not_the_newest_of_its_scenario_says_so(screen, database, record: PlanRecord):
    import time

    older = RunRepository(database).add(record)
    time.sleep(0.01)
    newer = RunRepository(database).add(record)
    assert f"?run={newer}" in " ".join(box.value for box in screen(run=older).info)
    assert not screen(run=newer).info


def measure(app, address: str, clients: str = "1, 8"):
    app.text_input(key="endpoint").set_value(address)
    app.text_input(key="clients").set_value(clients)
    next(button for button in app.button if button.label == "Measure").click().run()
    return app


def test_a_measurement_is_queued_and_its_progress_shown(screen, stored: str, database, record: PlanRecord, monkeypatch):
    from db import queries
    from db.queue import MEASURE

    monkeypatch.setenv("WAFERLAG_ENDPOINT_HOSTS", "localhost")
    app = measure(screen("serving"), " http://127.0.0.1:8000 ")
    assert not app.error, [box.value for box in app.error]
    (run,) = queries.runs(database, kind=MEASURE)
    assert (run.state, run.scenario) == ("queued", "DeepSeek-R1, http://127.0.0.1:8000")
    claim = RunQueue(database).claim("a worker", 30)
    assert claim.args["concurrency"] == [1, 8]
    assert claim.args["gpu"] == record.sizing[0].sku
    assert claim.args["layout"] == {"tp": 16}
    app.run()
    assert "DeepSeek" in " ".join(bar.proto.text for bar in app.get("progress"))
    assert queries.runs(database) == [queries.run(database, stored)], "no measurement among the plans"


@pytest.mark.parametrize(
    ("address", "clients", "told"),
    [
        ("127.0.0.1:8000", "1", "write http://HOST:PORT"),
        ("", "1", "write http://HOST:PORT"),
        ("file:///etc/passwd", "1", "write http://HOST:PORT"),
        ("http://h:99999999", "1", "write http://HOST:PORT"),
        ("http://name:secret@h", "1", "must hold no password"),
        ("http://169.254.169.254/latest", "1", "WAFERLAG_ENDPOINT_HOSTS does not list it"),
        ("http://127.0.0.1:8000", "1", "WAFERLAG_ENDPOINT_HOSTS does not list it"),
        ("http://h", "1, x", "no number from 1"),
        ("http://h", "", "no number from 1"),
    ],
)
def test_a_measurement_asked_for_wrongly_is_told_with_its_mend(
    screen, stored: str, database, monkeypatch, address: str, clients: str, told: str
):
    from db import queries
    from db.queue import MEASURE

    monkeypatch.setenv("WAFERLAG_ENDPOINT_HOSTS", "gpu1.example, 10.0.0.0/8")
    app = measure(screen("serving"), address, clients)
    assert told in re.sub(r"\\(.)", r"\1", app.error[0].value).replace("\u2060", "")
    assert queries.runs(database, kind=MEASURE) == []


def test_the_gpu_of_this_machine_is_offered_where_there_is_one(screen, stored: str, database, monkeypatch):
    from dashboard.pages import measurement_form as measuring

    monkeypatch.setattr(measuring, "_gpu", lambda: None)
    assert not screen("serving").radio
    monkeypatch.setattr(measuring, "_gpu", lambda: "1 x NVIDIA H100 80GB HBM3")
    app = screen("serving")
    app.radio[0].set_value("gpu")
    app = measure(app, "")
    claim = RunQueue(database).claim("a worker", 30)
    assert claim.args["endpoint"] is None
    assert (claim.args["gpu"], claim.args["engine"]) == ("1 x NVIDIA H100 80GB HBM3", "waferlag")
