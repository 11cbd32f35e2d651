"""Where independent pieces of work are carried out: here, in several processes, or on other machines.

The random numbers of a replication depend on its number alone, so that what comes out does not depend on where it was
made: serial, parallel and on a cluster give the same bits.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context, parent_process, resource_tracker
from multiprocessing.context import BaseContext
from typing import Any, Protocol, TypeVar

from planner.parallel.workers import Crew, Here

T = TypeVar("T")


class Spread(Protocol):
    """Carries work out somewhere."""

    def map(self, work: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> list[T]:
        """``work(*job)`` for each job, in the order of the jobs. ``work`` is a function of a module."""
        ...

    def hold(self, parts: Sequence[Any]) -> AbstractContextManager[Held]:
        """Bring parts to where the work is done and keep them there while the context lasts."""
        ...


class Held(Protocol):
    """Parts that lie where the work is done: only questions and answers travel."""

    def map(self, work: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> list[T]:
        """``work(part, *job)`` for each part with its job, in the order of the parts.

        ``work`` may change its part, but a part may also be lost with its machine and come back as it was
        brought: the answer must not depend on that.
        """
        ...


@dataclass(frozen=True)
class Processes:
    """At most so many processes of this machine; 1: this one alone."""

    count: int

    def map(self, work: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> list[T]:
        """See :class:`Spread`."""
        if self.count <= 1 or len(jobs) <= 1:
            return [work(*job) for job in jobs]
        pool: ProcessPoolExecutor | None = None
        try:
            with _interrupts_held():
                pool = ProcessPoolExecutor(
                    min(self.count, len(jobs)), mp_context=_context(), initializer=_end_with_the_parent
                )
                made = [pool.submit(work, *job) for job in jobs]
            return [one.result() for one in made]
        finally:
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)

    @contextmanager
    def hold(self, parts: Sequence[Any]) -> Iterator[Held]:
        """See :class:`Spread`."""
        if self.count <= 1 or len(parts) <= 1:
            yield Here(parts)
            return
        with _interrupts_held():
            crew = Crew(parts, min(self.count, len(parts)), _context())
        try:
            yield crew
        finally:
            crew.close()


def _end_with_the_parent() -> None:
    """A pool's processes wait for work for ever, also once the one that gives it was killed: watch for that."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the processes stand.

    A pool that is interrupted while it is born leaves children behind that die with a traceback each. What is
    started in here inherits that it does not hear Ctrl-C at all; the parent ends it.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Started later, the tracker of semaphores would itself open the mask again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _context() -> BaseContext:
    """Copies of this process while it has one thread, which stand at once; else new ones that inherit no thread."""
    methods = get_all_start_methods()
    if "fork" in methods and threading.active_count() == 1:
        return get_context("fork")
    if "forkserver" not in methods:
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["planner.supply"])
    return context
