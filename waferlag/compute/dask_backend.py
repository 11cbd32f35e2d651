"""Which processes or machines compute replications: this machine's cores, or a Dask cluster's workers."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from executor.errors import UnknownNameError, UserMistakeError
from waferlag import __version__

if TYPE_CHECKING:
    from distributed import Client, Future

    from planner.parallel.backends import Held, Spread
    from planner.scenario.models import Scenario

T = TypeVar("T")
BACKENDS = ("processes", "dask")
MOST = 8
"""More processes than this cost more to start than they save on the runs of a plan."""
CONNECT_SECONDS = 15


class ClusterError(UserMistakeError):
    """A cluster that cannot be used as asked."""


def spread(scenario: Scenario, backend: str | None = None, scheduler: str | None = None) -> int | Spread:
    """Where a scenario's replications are computed: a number of processes, or a cluster.

    ``backend`` and ``scheduler`` None: as the settings say. The results are the same bits either way.
    """
    from waferlag.settings import settings

    chosen = settings()
    backend, scheduler = backend or chosen.backend, scheduler or chosen.scheduler
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    if backend == "processes":
        return scenario.run.processes or min(MOST, _cores())
    if scheduler is None:
        raise ClusterError("the dask backend needs its scheduler's address: --scheduler tcp://HOST:8786")
    if importlib.util.find_spec("distributed") is None:
        raise ClusterError("the dask backend needs dask: pip install 'waferlag[cluster]'")
    return Dask(scheduler)


def _cores() -> int:
    """Cores that this process may use."""
    here = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(here(0)) if here else os.cpu_count() or 1


@dataclass(frozen=True)
class Dask:
    """A Dask cluster by its scheduler's address. Its workers need the same version of Waferlag installed."""

    scheduler: str

    def map(self, work: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> list[T]:
        """``work(*job)`` for each job, in order; what a lost worker had in hand is computed by another."""
        with self._client() as client:
            return list(client.gather([_submitted(client, work, *job) for job in jobs]))

    @contextmanager
    def hold(self, parts: Sequence[Any]) -> Iterator[Held]:
        """Parts on the workers; one that is lost with its worker is brought to another, as it was."""
        with self._client() as client:
            yield _Kept(client, [_submitted(client, _as_it_is, part) for part in parts])

    @contextmanager
    def _client(self) -> Iterator[Client]:
        from distributed import Client
        from distributed.scheduler import KilledWorker

        try:
            client = Client(self.scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {self.scheduler!r} ({error}): start one with `dask scheduler`, "
                "or mend --scheduler"
            ) from error
        with client:
            _check_workers(client)
            try:
                yield client
            except KilledWorker as error:
                raise ClusterError(
                    f"the workers of {self.scheduler} died again and again over the same part ({error}): see "
                    "their logs, most likely they lack memory"
                ) from error


@dataclass(frozen=True)
class _Kept:
    """Parts that lie in the memory of a cluster."""

    client: Client
    parts: list[Future]

    def map(self, work: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> list[T]:
        """See :class:`planner.parallel.backends.Held`."""
        pairs = zip(self.parts, jobs, strict=True)
        return list(self.client.gather([_submitted(self.client, work, part, *job) for part, job in pairs]))


def _submitted(client: Client, work: Callable[..., Any], *job: Any) -> Future:
    """Not pure: equal work must not be answered from what another run left on the cluster.

    Dask advises against large arguments; here they travel once, and the scheduler must hold them: it brings them
    to another worker when one is lost.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph")
        return client.submit(work, *job, pure=False)


def _as_it_is(part: T) -> T:
    return part


def _check_workers(client: Client) -> None:
    """Another version of Waferlag or numpy would give other figures without a word."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError as error:
        raise ClusterError("the Dask scheduler has no workers: start some with `dask worker ADDRESS`") from error
    own = versions()
    for address, found in client.run(versions).items():
        if found != own:
            raise ClusterError(
                f"worker {address} has {_told(found)}, here is {_told(own)}: install the same versions there"
            )


def versions() -> dict[str, str]:
    """What must agree for equal bits."""
    return {"waferlag": __version__, "numpy": version("numpy"), "simpy": version("simpy")}


def _told(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())
