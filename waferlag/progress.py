"""Progress of long work on stderr: a bar on a terminal, one JSON line per step otherwise."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

Progress = Callable[[float, str], None]
"""Called with the share done (0..1) and the step now under way."""


@contextmanager
def shown_progress(quiet: bool = False) -> Iterator[Progress]:
    """A progress callback that shows itself in the way that fits stderr."""
    if quiet:
        yield lambda _share, _step: None
        return
    with _bar() if sys.stderr.isatty() else nullcontext(_json_lines()) as callback:
        yield callback


def _json_lines() -> Progress:
    began = time.monotonic()
    last = ""

    def step(share: float, what: str) -> None:
        nonlocal last
        if what != last:
            last = what
            line = {"progress": round(share, 3), "step": what, "seconds": round(time.monotonic() - began, 2)}
            print(json.dumps(line), file=sys.stderr, flush=True)

    return step


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<28.28}"), BarColumn(bar_width=30), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=1.0)
        yield lambda share, what: bars.update(task, completed=share, description=what)
