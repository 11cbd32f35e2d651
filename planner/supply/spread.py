"""Where independent pieces of work are carried out: here, in several processes, or on other machines.

The luck of a replication depends on its number alone, so that what comes out does not depend on where it was
made: serial, parallel and on a cluster give the same bits.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Spread(Protocol):
    """Carries work out somewhere."""

    def map(self, work: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> list[T]:
        """``work(*job)`` for each job, in the order of the jobs. ``work`` is a function of a module."""
        ...


@dataclass(frozen=True)
class Processes:
    """At most so many processes of this machine; 1: this one alone."""

    count: int

    def map(self, work: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> list[T]:
        """See :class:`Spread`."""
        if self.count <= 1 or len(jobs) <= 1:
            return [work(*job) for job in jobs]
        with ProcessPoolExecutor(min(self.count, len(jobs)), mp_context=_context()) as pool:
            return list(pool.map(work, *zip(*jobs, strict=True)))


def _context() -> BaseContext:
    """Processes that inherit no threads: forked from a server with the package imported, or new ones."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["planner.supply"])
    _start_server_deaf_to_interrupts()
    return context


def _start_server_deaf_to_interrupts() -> None:
    """Start the server of processes so that Ctrl-C stops us and not, with a traceback of its own, the server.

    It learns to ignore the signal only after it has imported what it preloads; a disposition to ignore is
    inherited from the start. Only the main thread may set one.
    """
    from multiprocessing.forkserver import ensure_running

    if threading.current_thread() is not threading.main_thread():
        ensure_running()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)
