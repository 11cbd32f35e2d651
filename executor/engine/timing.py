"""How long device work takes: medians and quartiles, without the host's share.

On CUDA the calls are captured in one graph, in turn over several sets of inputs so that none is found in L2, and
the graph's replays are timed by events. On the CPU they are timed by the wall clock.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of one call over several samples."""

    median: float
    low: float
    """First quartile."""
    high: float
    """Third quartile."""
    samples: int
    captured: bool
    """Timed as replays of a CUDA graph; else each call was launched by the host."""


def time_calls(
    calls: Sequence[Callable[[], object]], device: torch.device, samples: int = 30, rounds: int = 1
) -> Timing:
    """Time one call, on average over ``rounds`` turns of all ``calls``; the first turn is not counted."""

    def turns() -> None:
        for _ in range(rounds):
            for call in calls:
                call()

    for call in calls:
        call()
    count = rounds * len(calls)
    if device.type != "cuda":
        return _summary([_wall(turns, count) for _ in range(samples)], captured=False)
    torch.cuda.synchronize(device)
    graph = _captured(turns)
    run = turns if graph is None else graph.replay
    run()
    return _summary([_events(run, count) for _ in range(samples)], captured=graph is not None)


def time_replays(replay: Callable[[], object], samples: int) -> Timing:
    """Time a graph's replays as they are: a graph cannot be captured into another. The first three are not counted."""
    return _summary([_events(replay, 1) for _ in range(samples + 3)][3:], captured=True)


def _captured(turns: Callable[[], None]) -> torch.cuda.CUDAGraph | None:
    """All calls as one graph; None where one of them cannot be captured."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            turns()
    except RuntimeError:
        torch.cuda.synchronize()
        return None
    return graph


def _events(run: Callable[[], object], count: int) -> float:
    before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    before.record()
    run()
    after.record()
    after.synchronize()
    return float(before.elapsed_time(after)) / 1000 / count


def _wall(run: Callable[[], None], count: int) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) / count


def _summary(seconds: list[float], captured: bool) -> Timing:
    low, middle, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
    return Timing(middle, low, high, len(seconds), captured)
