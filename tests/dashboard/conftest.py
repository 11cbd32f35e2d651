"""The dashboard without a browser: its pages, and plans to show."""

import pathlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from planner.record.models import PlanRecord
from tests.july import build

HOSTILE_TITLE = '<script>document.title="owned"</script><img src=x onerror=alert(1)>'
HOSTILE_CHAT = "مرحبا evil 😀 **bold** [l](http://x.test) $x^2$ :red[y]"
HOSTILE_CODER = "#panic(1) @ref *x* <b>b</b> " + "W" * 80


@pytest.fixture(scope="session")
def hostile() -> PlanRecord:
    """The same plan under names that try to break out: HTML, right-to-left, emoji, markup, very long."""
    return build(HOSTILE_TITLE, HOSTILE_CHAT, HOSTILE_CODER)


@pytest.fixture(scope="session")
def hostile_names() -> tuple[str, str, str]:
    """Title and pool names of the hostile plan."""
    return HOSTILE_TITLE, HOSTILE_CHAT, HOSTILE_CODER


@pytest.fixture
def database(tmp_path, monkeypatch):
    """An empty database that the dashboard will open."""
    from db.session import open_database

    url = f"sqlite:///{tmp_path / 'waferlag.sqlite'}"
    monkeypatch.setenv("WAFERLAG_DB", url)
    monkeypatch.delenv("WAFERLAG_RUNS_FOLDER", raising=False)
    with open_database(url) as opened:
        yield opened


@pytest.fixture(scope="session", autouse=True)
def components_are_looked_for_once() -> Iterator[None]:
    """Streamlit looks through every installed package once a server; its test harness does so once a page."""
    from streamlit.components.v2 import manifest_scanner

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


def open_page(page: str = "answer", allow_errors: bool = False, **parameters: str):
    """The dashboard headless, at a page of it; fails on an error box."""
    from streamlit.testing.v1 import AppTest

    import dashboard

    entry = pathlib.Path(dashboard.__file__).parent / "entry" / "waferlag.py"
    app = AppTest.from_file(str(entry), default_timeout=120)
    for name, value in parameters.items():
        app.query_params[name] = value
    if page != "answer":
        app.switch_page(f"../pages/{page}.py")
    app.run()
    assert not app.exception, app.exception
    assert allow_errors or not app.error, [box.value for box in app.error]
    return app


@pytest.fixture
def screen(database):
    """Opens the dashboard headless: ``screen(page="answer", run=...)``; fails on an error box."""
    return open_page


@pytest.fixture(scope="session")
def drawn(record: PlanRecord, tmp_path_factory):
    """``drawn(page, lang)``: a page of the July plan as it is first drawn; once for all who only read it."""
    from db.repository import RunRepository
    from db.session import open_database

    url = f"sqlite:///{tmp_path_factory.mktemp('drawn') / 'waferlag.sqlite'}"
    with open_database(url) as opened:
        RunRepository(opened).add(record, seconds=12)

    @cache
    def draw(page: str = "answer", lang: str = "en"):
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("WAFERLAG_DB", url)
            environment.delenv("WAFERLAG_RUNS_FOLDER", raising=False)
            return open_page(page, **({} if lang == "en" else {"lang": lang}))

    return draw


class Converter:
    """vl-convert that draws the same specification once: a drawing depends on nothing else."""

    def __init__(self, converter: Any) -> None:
        self.vegalite_to_svg = cache(converter.vegalite_to_svg)


@pytest.fixture(scope="session", autouse=True)
def charts_anew() -> Iterator[Callable[[], None]]:
    """Every chart is drawn once for all tests; ``charts_anew()`` forgets them."""
    from dashboard.charts import figure

    converter = Converter(figure._converter())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure, "_converter", lambda: converter)
        yield converter.vegalite_to_svg.cache_clear
