"""Prompts on some replicas, answers on others: a layout in which prefill and decode never share a step.

A prefill replica computes the prompt and samples the first token; the KV cache travels; a decode replica goes on. Both
kinds run the same scheduler, so each can be a bottleneck of its own: TTFT belongs to the one, TPOT to the other.
"""

from dataclasses import dataclass, replace

import numpy as np

from executor.arithmetic_series import Ramps
from executor.errors import BadInputError
from executor.replay.arrivals import Arrivals
from executor.replay.cluster import Route, replay, replica_limits
from executor.replay.results import Replayed
from executor.scheduler.scheduler import Limits
from executor.serving_metrics import Bounds, Latencies, bench_metrics
from executor.steptime.batch import BatchTime


@dataclass(frozen=True)
class Side:
    """The replicas of one phase. ``limits`` None: as an engine would set them."""

    time: BatchTime
    replicas: int
    limits: Limits | None = None

    def limits_for(self, arrivals: Arrivals) -> Limits:
        """The limits that hold."""
        return self.limits or replica_limits(self.time, arrivals.block_tokens)


@dataclass(frozen=True)
class Disaggregated:
    """What the requests met. ``decode`` holds those with more than one output token, in order of their KV."""

    arrivals: Arrivals
    prefill: Replayed
    decode: Replayed | None
    order: np.ndarray
    """Place among the arrivals of each request that was decoded."""

    @property
    def sides(self) -> tuple[Replayed, ...]:
        """What happened on each side, prefill first."""
        return (self.prefill,) if self.decode is None else (self.prefill, self.decode)

    @property
    def latencies(self) -> Latencies:
        """TTFT, E2EL and gaps of the requests that came through, seconds."""
        first = self.prefill.first_token_s
        end = first.copy()
        gaps = Ramps.of(np.zeros(0))
        if self.decode is not None:
            end[self.order] = self.decode.end_s
            handed = self.decode.first_token_s - first[self.order]
            handed = handed[np.isfinite(handed)]
            gaps = Ramps.joined([self.decode.latencies.itl, Ramps.of(handed)])
        done = np.isfinite(end)
        arrival = self.arrivals.arrival_s
        return Latencies(
            ttft=(first - arrival)[done],
            e2el=(end - arrival)[done],
            prompt=self.arrivals.prompt[done],
            output=self.arrivals.output[done],
            itl=gaps,
        )

    def metrics(self, bounds: Bounds | None = None) -> dict[str, float]:
        """Counts, rates and percentiles under the names of ``vllm bench serve``, of both sides together."""
        found = self.latencies
        last = self.prefill.duration + float(self.arrivals.arrival_s[0])
        if self.decode is not None:
            last = max(last, self.decode.duration + float(self.decode.arrivals.arrival_s[0]))
        failed = len(self.arrivals) - len(found.ttft)
        return bench_metrics(found, last - float(self.arrivals.arrival_s[0]), failed, bounds)


def replay_disaggregated(
    arrivals: Arrivals, prefill: Side, decode: Side, transfer_s_per_token: float, route: Route = "least-loaded"
) -> Disaggregated:
    """Serve the requests on prefill replicas, then on decode replicas.

    ``transfer_s_per_token``: time for the KV of one prompt token to travel; transfers do not queue. A sequence
    that a decode replica preempts computes its prompt again there. The first token's delay to the client is
    the prefill side's.
    """
    if not (np.isfinite(transfer_s_per_token) and transfer_s_per_token >= 0):
        raise BadInputError(f"transfer_s_per_token must be 0 or more (got {transfer_s_per_token!r})")
    alone = replace(arrivals, output=np.ones_like(arrivals.output))
    begun = replay(alone, prefill.time, prefill.limits_for(arrivals), prefill.replicas, route)
    goes_on = np.flatnonzero((arrivals.output > 1) & np.isfinite(begun.end_s))
    if not goes_on.size:
        return Disaggregated(arrivals, begun, None, goes_on)
    ready = begun.end_s[goes_on] + transfer_s_per_token * arrivals.prompt[goes_on]
    order = goes_on[np.argsort(ready, kind="stable")]
    # The token sampled by the prefill side is the last one of what the decode side is given.
    given = Arrivals(np.sort(ready), arrivals.prompt[order] + 1, arrivals.output[order] - 1)
    limits = replace(decode.limits_for(arrivals), prefill_first=False)
    time = replace(decode.time, first_token=0.0, prefill_first=False)
    ended = replay(given, time, limits, decode.replicas, route, computed=arrivals.prompt[order])
    return Disaggregated(arrivals, begun, ended, order)
