import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.errors import BadInputError, UnknownNameError
from executor.replay.arrivals import Arrivals, arrival_times
from executor.replay.cluster import highest_rate, replay, replica_limits
from executor.scheduler.scheduler import Limits, Scheduler
from executor.scheduler.sequence import Request
from executor.serving_metrics import Bounds
from executor.steptime.batch import BatchTime
from tests.executor.token_times import times_of

PLAIN = BatchTime(
    dense=0.010,
    experts=0.0,
    untouched_log=0.0,
    gemm=1e-5,
    context=1e-7,
    square=1e-10,
    latency=0.001,
    collective=1e-6,
    launch=0.0005,
    fixed=0.0005,
    sequence=1e-5,
    request=0.002,
    first_token=0.05,
    front_end=1e-6,
    halves=1,
    stages=1,
    kv_tokens=100_000,
    chunk_tokens=2048,
    prefill_first=False,
)


def arrivals(times, prompts, outputs, **more):
    return Arrivals(np.array(times, dtype=float), np.array(prompts, dtype=int), np.array(outputs, dtype=int), **more)


def limits(**changes):
    return Limits(**{"pages": 2000, "page_size": 16, "max_batch": 32, "token_budget": 512, **changes})


def token_times(found):
    return [times_of(found, at) for at in range(len(found.arrivals))]


# -- by hand -----------------------------------------------------------------------------------------------


def test_a_lone_request_takes_its_prompt_then_one_step_a_token():
    found = replay(arrivals([3.0], [100], [3]), PLAIN, limits())
    prompt = PLAIN.step(0, 0, 100, 100.0**2, 1)
    first = PLAIN.decode(1, 101)
    second = PLAIN.decode(1, 102)
    expected = 3.0 + 0.05 + np.cumsum([prompt, first, second])
    assert times_of(found, 0) == pytest.approx(expected, rel=1e-14)
    assert found.latencies.ttft[0] == pytest.approx(prompt + 0.05, rel=1e-12)
    assert found.latencies.tpot[0] == pytest.approx((first + second) / 2, rel=1e-12)


def test_a_prompt_in_a_mixed_step_delays_the_sequences_that_decode():
    found = replay(arrivals([0.0, 0.1], [16, 400], [40, 2]), PLAIN, limits())
    gaps = np.diff(times_of(found, 0))
    slow = int(np.argmax(gaps))
    # The step that holds the second prompt: one decoding sequence and 400 prompt tokens.
    assert gaps[slow] == pytest.approx(PLAIN.step(1, 16 + slow + 1, 400, 400.0**2, 1), rel=1e-12)


def test_prefill_first_lets_decoding_wait_for_a_pass_of_prompts_alone():
    time = replace(PLAIN, prefill_first=True)
    found = replay(arrivals([0.0, 0.1], [16, 1000], [40, 2]), time, limits(prefill_first=True))
    gaps = np.diff(times_of(found, 0))
    slow = int(np.argmax(gaps))
    alone = time.step(0, 0, 512, 512.0**2, 0) + time.step(0, 0, 488, 1000.0**2 - 512.0**2, 1)
    assert gaps[slow] == pytest.approx(alone + time.decode(2, (16 + slow + 1) + 1001), rel=1e-12)


def test_a_shared_prefix_is_computed_once():
    blocks = (("a", "b", "c"), ("a", "b", "d"))
    found = replay(arrivals([0.0, 5.0], [64, 64], [2, 2], blocks=blocks, block_tokens=16), PLAIN, limits())
    assert found.prompt_tokens_cached == 32
    assert found.latencies.ttft[1] < found.latencies.ttft[0]


def test_blocks_are_cut_into_pages_where_pages_are_smaller():
    blocks = (("a", "b"), ("a", "c"))
    given = arrivals([0.0, 5.0], [70, 70], [2, 2], blocks=blocks, block_tokens=32)
    assert replay(given, PLAIN, limits(page_size=16)).prompt_tokens_cached == 32
    with pytest.raises(BadInputError, match="do not divide"):
        replay(given, PLAIN, limits(page_size=24))


def test_a_request_that_no_replica_can_hold_is_refused_and_counted():
    found = replay(arrivals([0.0, 1.0], [40_000, 16], [2, 2]), PLAIN, limits(pages=100))
    metrics = found.metrics(Bounds(ttft_ms=1e6))
    assert (metrics["completed"], metrics["failed"]) == (1, 1)
    assert found.attained(Bounds(ttft_ms=1e6)) == (0.5, 0.5)
    assert times_of(found, 0).size == 0


def test_round_robin_deals_in_turn_and_least_loaded_avoids_the_busy_replica():
    given = arrivals([0.0, 0.1, 0.2, 0.3], [16] * 4, [400, 2, 400, 2])
    turns = replay(given, PLAIN, limits(), replicas=2, route="round-robin")
    assert turns.replica.tolist() == [0, 1, 0, 1]
    loads = replay(given, PLAIN, limits(), replicas=2, route="least-loaded")
    assert loads.replica.tolist() == [0, 1, 1, 0]  # request 1 has ended by then; 0 and 2 go on


def families(count, kinds, seed=4):
    """Prompts of ten blocks, eight of them shared within a kind."""
    chance = np.random.default_rng(seed)
    kind = chance.integers(0, kinds, count)
    blocks = tuple(
        (*((k, at) for at in range(8)), (k, 8, number), (k, 9, number)) for number, k in enumerate(kind.tolist())
    )
    times = arrival_times(count, 4.0, 1.0, chance)
    return arrivals(times, [160] * count, [20] * count, blocks=blocks, block_tokens=16)


def test_a_cache_aware_router_finds_more_of_the_prompts_in_the_caches():
    """Twelve kinds of prompts and caches of 60 pages, which hold six of them: dealt out by kind they fit."""
    given = families(600, 12)
    hits = {
        route: replay(given, PLAIN, limits(pages=60), replicas=3, route=route).prompt_tokens_cached
        for route in ("round-robin", "least-loaded", "cache-aware")
    }
    assert hits["cache-aware"] > 1.3 * hits["least-loaded"]
    assert hits["cache-aware"] > 1.3 * hits["round-robin"]


def test_a_cache_aware_router_leaves_a_replica_that_is_overloaded():
    """One kind of prompt alone: all of it on one replica would leave the others idle."""
    given = families(200, 1)
    crowd = replace(given, arrival_s=given.arrival_s / 1000)
    found = replay(crowd, PLAIN, limits(), replicas=3, route="cache-aware")
    shares = np.bincount(found.replica, minlength=3)
    assert shares.min() > 200 / 3 * 0.6


def test_an_unknown_router_is_an_error_that_names_the_known():
    with pytest.raises(UnknownNameError, match="round-robin"):
        replay(arrivals([0.0], [1], [1]), PLAIN, limits(), route="robin")


def test_a_cache_smaller_than_a_page_is_an_error():
    with pytest.raises(BadInputError, match="less than one page"):
        replica_limits(replace(PLAIN, kv_tokens=10))


def test_gaps_between_tokens_are_those_of_the_token_times():
    chance = np.random.default_rng(3)
    given = arrivals(np.sort(chance.uniform(0, 2, 120)), chance.integers(1, 200, 120), chance.integers(1, 90, 120))
    for prefill_first, emitted in ((False, 1.0), (True, 1.0), (False, 1.7), (True, 2.0)):
        time = replace(PLAIN, prefill_first=prefill_first, emitted=emitted)
        bound = limits(pages=40, prefill_first=prefill_first, prefix_caching=False, tokens_per_step=emitted)
        found = replay(given, time, bound, replicas=2)
        assert found.preemptions.sum() > 0
        expected = np.sort(np.concatenate([np.diff(times) for times in token_times(found)]))
        itl = found.latencies.itl
        rows = zip(itl.first, itl.growth, itl.steps, itl.count, strict=True)
        written = np.sort(np.concatenate([np.repeat(a + g * np.arange(k), n) for a, g, k, n in rows]))
        assert written == pytest.approx(expected, rel=1e-9, abs=1e-12)  # differences of times up to 100 s
        assert [times.size for times in token_times(found)] == given.output.tolist()


# -- both forms --------------------------------------------------------------------------------------------


@st.composite
def loads(draw):
    count = draw(st.integers(1, 25))
    chance = np.random.default_rng(draw(st.integers(0, 10_000)))
    times = np.sort(np.round(chance.uniform(0, draw(st.sampled_from([0.01, 1.0, 30.0])), count), 3))
    prompts, outputs = chance.integers(1, 200, count), chance.integers(1, 90, count)
    blocks = tuple(tuple(chance.integers(0, 6, prompt // 8).tolist()) for prompt in prompts)
    return arrivals(times, prompts, outputs, blocks=draw(st.sampled_from([None, blocks])), block_tokens=8)


@settings(max_examples=150, deadline=None)
@given(
    loads(),
    st.sampled_from([12, 40, 1000]),
    st.sampled_from([1, 3, 32]),
    st.booleans(),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["round-robin", "least-loaded", "cache-aware"]),
    st.sampled_from([PLAIN, replace(PLAIN, front_end=0.004), replace(PLAIN, halves=2), replace(PLAIN, stages=2)]),
    st.sampled_from([1.0, 2.0, 1.75, 2.4391]),
)
def test_jumping_from_event_to_event_gives_the_same_token_times(
    given_load, pages, max_batch, prefill_first, replicas, route, time, emitted
):
    time = replace(time, prefill_first=prefill_first, emitted=emitted)
    bound = limits(
        pages=pages,
        page_size=8,
        max_batch=max_batch,
        token_budget=64,
        prefill_first=prefill_first,
        tokens_per_step=emitted,
    )
    jumped = replay(given_load, time, bound, replicas, route)
    stepped = replay(given_load, time, bound, replicas, route, jump=False)
    assert jumped.steps == stepped.steps
    assert jumped.replica.tolist() == stepped.replica.tolist()
    assert jumped.preemptions.tolist() == stepped.preemptions.tolist()
    for one, other in zip(token_times(jumped), token_times(stepped), strict=True):
        assert one == pytest.approx(other, rel=1e-9)
    assert jumped.kv_peak == stepped.kv_peak


def test_accepted_drafts_come_with_their_step_and_fill_the_cache_as_fast():
    """Two tokens a step: half the steps, tokens in pairs, the same pages at the end."""
    drafts = replace(PLAIN, emitted=2.0)
    given = arrivals([0.0], [100], [41])
    alone = replay(given, PLAIN, limits())
    paired = replay(given, drafts, replace(limits(), tokens_per_step=2.0))
    assert (alone.steps, paired.steps) == (41, 21)
    gaps = np.diff(times_of(paired, 0))
    assert (gaps[1::2] == 0).all()
    assert (gaps[::2] > 0).all()
    # Step k reads 101 + 2 (k - 1) tokens, its own included.
    steps = sum(drafts.decode(1, 101 + 2 * k) for k in range(20))
    assert gaps.sum() == pytest.approx(steps, rel=1e-12)
    assert paired.kv_peak == alone.kv_peak


def test_drafts_are_for_lengths_alone():
    scheduler = Scheduler(limits(tokens_per_step=1.5))
    with pytest.raises(BadInputError, match="lengths alone"):
        scheduler.add(Request("a", [1, 2, 3], 5))
    with pytest.raises(BadInputError, match="tokens_per_step"):
        limits(tokens_per_step=0.5)


def test_every_request_gets_all_its_tokens_in_order():
    chance = np.random.default_rng(1)
    given = arrivals(np.sort(chance.uniform(0, 20, 200)), chance.integers(1, 700, 200), chance.integers(1, 90, 200))
    found = replay(given, PLAIN, limits(pages=120), replicas=3)
    for at, times in enumerate(token_times(found)):
        assert times.size == given.output[at]
        assert (np.diff(times) > 0).all()
        assert times[0] == found.first_token_s[at] > given.arrival_s[at]
        assert times[-1] == pytest.approx(found.end_s[at], rel=1e-12)


# -- theory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_a_server_of_one_slot_waits_as_pollaczek_and_khinchine_say(load):
    """One request at a time, equal service s, Poisson arrivals: W = rho s / (2 (1 - rho)), M/D/1."""
    count = 40_000
    service = PLAIN.step(0, 0, 100, 100.0**2, 1)
    times = arrival_times(count, load / service, 1.0, np.random.default_rng(7))
    given = arrivals(times, [100] * count, [1] * count)
    found = replay(given, PLAIN, limits(max_batch=1, token_budget=128))
    wait = found.latencies.ttft.mean() - service - PLAIN.first_token
    expected = load * service / (2 * (1 - load))
    # The mean of 40 000 correlated waits has a standard error of about 1 % at 0.3 and 3 % at 0.8.
    assert wait == pytest.approx(expected, rel=0.08)


def test_a_full_batch_serves_at_the_rate_of_its_steps():
    count, batch = 600, 8
    given = arrivals([0.0] * count, [16] * count, [50] * count)
    found = replay(given, PLAIN, limits(max_batch=batch, token_budget=512, prefix_caching=False))
    # Waves of 8: one step of 128 prompt tokens, then 49 decode steps with contexts 17..65.
    wave = PLAIN.step(0, 0, 128, 8 * 16.0**2, 8)
    wave += sum(PLAIN.decode(batch, batch * context) for context in range(17, 66))
    assert found.duration - PLAIN.first_token == pytest.approx(wave * count / batch, rel=1e-12)


# -- the highest rate --------------------------------------------------------------------------------------


def poisson(rate, count=1500):
    times = arrival_times(count, rate, 1.0, np.random.default_rng(5))
    return arrivals(times, [200] * count, [20] * count)


def test_the_highest_rate_keeps_the_bounds_and_two_per_cent_more_breaks_them():
    bounds = Bounds(ttft_ms=250, tpot_ms=25)
    peak = highest_rate(poisson, PLAIN, bounds, share=0.9, limits=limits())
    assert min(replay(poisson(peak.rate), PLAIN, limits()).attained(bounds)) >= 0.9
    assert min(replay(poisson(1.02 * peak.rate), PLAIN, limits()).attained(bounds)) < 0.9
    assert peak.at_peak is not None
    assert "bound" in peak.reason


def test_a_bound_below_a_lone_requests_time_has_no_rate():
    peak = highest_rate(poisson, PLAIN, Bounds(ttft_ms=10), limits=limits())
    assert peak.rate == 0.0
    assert "TTFT" in peak.reason


def test_the_rate_found_does_not_depend_on_where_the_search_began():
    bounds = Bounds(ttft_ms=250, tpot_ms=25)
    rates = [highest_rate(poisson, PLAIN, bounds, limits=limits(), start=start).rate for start in (0.5, 40.0)]
    assert rates[0] == pytest.approx(rates[1], rel=0.02)  # the bracket's precision is 1 %


def test_metrics_have_the_names_of_vllm_bench_serve():
    metrics = replay(poisson(5.0, 50), PLAIN, limits()).metrics(Bounds(ttft_ms=1000, tpot_ms=100))
    for name in ("request_throughput", "request_goodput", "mean_ttft_ms", "p99_tpot_ms", "median_itl_ms"):
        assert math.isfinite(metrics[name])
