from dataclasses import replace

import numpy as np
import pytest

from executor.errors import BadInputError
from executor.replay.arrivals import Arrivals
from executor.replay.cluster import replay
from executor.replay.disaggregated import Side, replay_disaggregated
from executor.scheduler.scheduler import Limits, Scheduler
from executor.scheduler.sequence import Request
from executor.serving_metrics import Bounds
from executor.steptime.batch import SECONDS, BatchTime

TIME = BatchTime(
    **{
        **dict.fromkeys(SECONDS, 0.0),
        **{"fixed": 0.01, "sequence": 1e-4, "context": 1e-7, "collective": 1e-5, "square": 1e-9, "request": 0.001},
    },
    untouched_log=0.0,
    halves=1,
    stages=1,
    kv_tokens=32_000,
    chunk_tokens=512,
    prefill_first=False,
)
LIMITS = Limits(pages=2000, page_size=16, max_batch=16, token_budget=512, prefix_caching=False)


def side(replicas=1, **changes):
    return Side(TIME, replicas, replace(LIMITS, **changes))


def test_a_lone_request_is_computed_here_travels_and_goes_on_there():
    given = Arrivals(np.array([2.0]), np.array([300]), np.array([4]))
    found = replay_disaggregated(given, side(), side(), transfer_s_per_token=1e-4)
    prompt = TIME.step(0, 0, 300, 300.0**2, 1)
    # The decode side takes in the sampled token as a chunk of one, then two decode steps.
    taken_in = TIME.step(0, 0, 1, 301.0**2 - 300.0**2, 1)
    rest = TIME.decode(1, 302) + TIME.decode(1, 303)
    latencies = found.latencies
    assert latencies.ttft[0] == pytest.approx(prompt, rel=1e-12)
    assert latencies.e2el[0] == pytest.approx(prompt + 0.03 + taken_in + rest, rel=1e-9)
    assert latencies.itl.total == 3


def test_long_prompts_no_longer_delay_the_tokens_of_others():
    chance = np.random.default_rng(4)
    count = 300
    given = Arrivals(
        np.sort(chance.uniform(0, 60, count)), chance.integers(50, 3000, count), chance.integers(5, 60, count)
    )
    whole = {"token_budget": 4096}  # prompts are not cut into chunks
    together = replay(given, TIME, replace(LIMITS, **whole), replicas=2).metrics()
    apart = replay_disaggregated(given, side(**whole), side(**whole), 1e-6).metrics()
    assert apart["p99_itl_ms"] < together["p99_itl_ms"]
    assert apart["completed"] == together["completed"] == count
    assert apart["total_output_tokens"] == together["total_output_tokens"]


def test_what_one_side_cannot_hold_is_counted_as_failed():
    given = Arrivals(np.array([0.0, 1.0]), np.array([100, 1000]), np.array([5, 5]))
    metrics = replay_disaggregated(given, side(), side(pages=20), 0.0).metrics(Bounds(ttft_ms=1e9))
    assert (metrics["completed"], metrics["failed"]) == (1, 1)


def test_single_tokens_need_no_decode_side():
    given = Arrivals(np.array([0.0, 1.0]), np.array([100, 50]), np.array([1, 1]))
    found = replay_disaggregated(given, side(), side(), 0.0)
    assert found.decode is None
    assert found.metrics()["completed"] == 2


def test_a_preempted_sequence_computes_again_what_came_with_it():
    scheduler = Scheduler(replace(LIMITS, pages=4, page_size=4, token_budget=16, max_batch=4))
    scheduler.add(Request("a", 8, 9, computed=7))
    scheduler.add(Request("b", 8, 9, computed=7))
    chunks = []
    while scheduler.unfinished:
        step = scheduler.schedule()
        chunks += [(chunk.sequence.request.id, chunk.start, chunk.count) for chunk in step.chunks]
        scheduler.finish(step)
    assert chunks[:2] == [("a", 7, 1), ("b", 7, 1)]
    assert ("b", 0, 9) in chunks


def test_nonsense_is_refused():
    given = Arrivals(np.array([0.0]), np.array([10]), np.array([2]))
    with pytest.raises(BadInputError, match="transfer_s_per_token"):
        replay_disaggregated(given, side(), side(), float("nan"))
    with pytest.raises(BadInputError, match="computed"):
        Scheduler(LIMITS).add(Request("a", 5, 1, computed=5))
