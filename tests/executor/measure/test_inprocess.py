"""The built-in engine under the load generator, and the replay against it."""

import asyncio

import numpy as np
import pytest

pytest.importorskip("torch")

from executor.measure.inprocess import asking
from executor.measure.loadgen import Prompt, closed_loop, open_loop
from executor.measure.points import Bench, Dummy


@pytest.fixture(scope="module")
def engine(tiny_engine):
    return tiny_engine(pages=256)


def test_every_request_gets_its_tokens_in_a_closed_loop(engine):
    async def main():
        prompts = Dummy(vocab=128).prompts([12] * 10, [6] * 10)
        async with asking(engine) as ask:
            return await closed_loop(ask, prompts, 3)

    run = asyncio.run(main())
    assert run.outcomes["completed"] == 10
    assert run.most_in_flight == 3
    assert [len(each.answer.times) for each in run.requests] == [6] * 10
    assert all((np.diff(each.answer.times) > 0).all() for each in run.requests)


def test_a_request_that_cannot_run_is_refused_and_the_others_go_on(engine):
    async def main():
        prompts = [Prompt((1, 2, 3), 3, 4), Prompt((1,) * 600, 600, 4), Prompt((1, 500), 2, 4)]
        async with asking(engine) as ask:
            return await open_loop(ask, prompts, np.array([0.0, 0.01, 0.02]))

    run = asyncio.run(main())
    assert [each.answer.outcome for each in run.requests] == ["completed", "refused", "refused"]
    assert "not in 0..127" in run.requests[2].answer.message


def test_an_engine_that_fails_breaks_off_what_it_was_asked(engine, monkeypatch):
    def broken():
        raise RuntimeError("no such kernel")

    async def main():
        async with asking(engine) as ask:
            monkeypatch.setattr(engine, "step", broken)
            return await ask(Prompt((1, 2, 3), 3, 4))

    answer = asyncio.run(main())
    monkeypatch.undo()
    while engine.unfinished:  # leave the module's engine as it was
        engine.step()
    assert answer.outcome == "broken-off"
    assert "no such kernel" in answer.message


def test_a_bench_measures_closed_and_open_loops_with_warmup(engine):
    bench = Bench(lambda: asking(engine), Dummy(vocab=128))
    closed = bench.closed(isl=8, osl=4, concurrency=2, requests=6)
    opened = bench.poisson(isl=8, osl=4, rate=200.0, requests=6)
    assert (closed.concurrency, closed.outcomes["completed"]) == (2, 6)
    assert opened.concurrency is None
    assert opened.outcomes["completed"] == 6
