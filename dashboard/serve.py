"""Start Streamlit with the dashboard, and load what the first page needs while the browser still opens."""

import importlib
import sys
import threading

_FIRST_PAGE = ("dashboard.components", "dashboard.report.content", "dashboard.empty_state")


def main() -> None:
    """Streamlit's own command line, given ours."""
    from streamlit.web import cli

    threading.Thread(target=_load, daemon=True).start()
    sys.argv[0] = "streamlit"
    cli.main()


def _load() -> None:
    for module in _FIRST_PAGE:
        importlib.import_module(module)
