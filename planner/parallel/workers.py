"""Processes that each keep some parts of a large thing, so that questions about it travel and it does not."""

import contextlib
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from executor.errors import UserMistakeError

P = TypeVar("P")
T = TypeVar("T")


class CrewError(UserMistakeError):
    """A process of a crew was ended from outside: by the system, for want of memory, most likely."""


class Here(Generic[P]):
    """Parts kept in this process."""

    def __init__(self, parts: Sequence[P]) -> None:
        self._parts = parts

    def map(self, work: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> list[T]:
        """``work(part, *job)`` for each part with its job, in order."""
        return [work(part, *job) for part, job in zip(self._parts, jobs, strict=True)]


class Crew(Generic[P]):
    """``count`` processes; part i stays with process i modulo ``count``."""

    def __init__(self, parts: Sequence[P], count: int, context: BaseContext) -> None:
        self._count = count
        self._links: list[Connection] = []
        self._processes = []
        forked = context.get_start_method() == "fork"
        for member in range(count):
            link, theirs = context.Pipe()
            self._links.append(link)
            # A copy of this process has copies of its ends of the pipes, and would wait on them after its death.
            inherited = list(self._links) if forked else []
            process = context.Process(  # type: ignore[attr-defined]
                target=_serve, args=(theirs, list(parts[member::count]), inherited), daemon=True
            )
            process.start()
            theirs.close()
            self._processes.append(process)

    def map(self, work: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> list[T]:
        """See :meth:`Here.map`. ``work`` is a function of a module."""
        try:
            for member, link in enumerate(self._links):
                link.send((work, list(jobs[member :: self._count])))
            told = [link.recv() for link in self._links]
        except (EOFError, OSError) as error:
            raise CrewError(
                "a process of this computation was ended from outside; most likely it lacked memory: "
                "give run.processes a smaller number, or ask for fewer futures"
            ) from error
        for answer in told:
            if isinstance(answer, Exception):
                raise answer
        return [told[part % self._count][part // self._count] for part in range(len(jobs))]

    def close(self) -> None:
        """End the processes."""
        for link in self._links:
            link.close()
        for process in self._processes:
            process.terminate()
            process.join()


def _serve(link: Connection, parts: list[Any], inherited: list[Connection]) -> None:
    """Answer until the other end of the pipe is gone: closed, or its process killed."""
    for other in inherited:
        other.close()
    with contextlib.suppress(EOFError, OSError):  # the end of the pipe, whichever way it comes
        while True:
            work, jobs = link.recv()
            link.send(_answer(work, parts, jobs))


def _answer(work: Callable[..., T], parts: list[Any], jobs: list[tuple[Any, ...]]) -> list[T] | Exception:
    try:
        return [work(part, *job) for part, job in zip(parts, jobs, strict=True)]
    except Exception as error:
        return error
