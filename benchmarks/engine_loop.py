"""The built-in engine driven through a trace on its own clock: idle time is skipped, every step is timed.

The scheduling and the arithmetic are the engine's; time is the sum of what its steps took. So an hour of light
traffic is measured in the minutes that the steps need, and a clock that counts only this process's work
(``time.process_time``) leaves out what else the machine was doing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.step_samples import StepSample
from executor.arithmetic_series import Ramps
from executor.engine.engine import Engine
from executor.engine.sampling import Sampling
from executor.errors import BadInputError
from executor.replay.arrivals import Arrivals, Floats
from executor.scheduler.scheduler import Scheduler
from executor.scheduler.sequence import Step
from executor.serving_metrics import Latencies


@dataclass(frozen=True)
class Driven:
    """What the requests met, and every step that was computed."""

    arrivals: Arrivals
    token_s: tuple[Floats, ...]
    """When each token of each request came, on the engine's clock."""
    samples: tuple[StepSample, ...]

    @property
    def latencies(self) -> Latencies:
        """TTFT, E2EL and gaps of all requests, seconds."""
        arrival = self.arrivals.arrival_s
        return Latencies(
            ttft=np.array([times[0] for times in self.token_s]) - arrival,
            e2el=np.array([times[-1] for times in self.token_s]) - arrival,
            prompt=self.arrivals.prompt,
            output=self.arrivals.output,
            itl=Ramps.of(np.concatenate([np.diff(times) for times in self.token_s])),
        )

    @property
    def duration(self) -> float:
        """From the first arrival to the last token, seconds."""
        return max(float(times[-1]) for times in self.token_s) - float(self.arrivals.arrival_s[0])


def drive(engine: Engine, arrivals: Arrivals, clock: Callable[[], float] = time.perf_counter, seed: int = 0) -> Driven:
    """Serve the requests with random prompts; each step takes what ``clock`` says it took.

    Without look-ahead, so that a step's tokens are there when it ends. BadInputError where the engine has it.
    """
    if engine.look_ahead:
        raise BadInputError("an engine with look-ahead cannot be driven step by step: turn look_ahead off")
    chance = np.random.default_rng([20251130, seed])
    watched = _Watched(engine.scheduler)
    engine.scheduler = watched  # type: ignore[assignment]
    times: list[list[float]] = [[] for _ in range(len(arrivals))]
    now, following, samples = 0.0, 0, []
    try:
        while following < len(arrivals) or engine.unfinished:
            if not engine.unfinished:
                now = max(now, float(arrivals.arrival_s[following]))
            while following < len(arrivals) and arrivals.arrival_s[following] <= now:
                prompt = chance.integers(0, engine.spec.vocab, int(arrivals.prompt[following])).tolist()
                engine.add(prompt, Sampling(max_tokens=int(arrivals.output[following])), following)
                following += 1
            begin = clock()
            outputs = engine.step()
            seconds = clock() - begin
            now += seconds
            samples.append(_sample(watched.latest, seconds))
            for output in outputs:
                times[int(output.request_id)].append(now)  # type: ignore[call-overload]
    finally:
        engine.scheduler = watched.scheduler
    return Driven(arrivals, tuple(np.array(each) for each in times), tuple(samples))


class _Watched:
    """A scheduler that remembers the step it gave out last."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.latest: Step | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self.scheduler, name)

    def schedule(self) -> Step | None:
        self.latest = self.scheduler.schedule()
        return self.latest


def _sample(step: Step | None, seconds: float) -> StepSample:
    assert step is not None, "an engine with unfinished requests computes a step"
    chunks = step.chunks
    return StepSample(
        sequences=len(step.decodes),
        context=step.decode_context,
        tokens=sum(chunk.count for chunk in chunks),
        square=sum(chunk.count * (2.0 * chunk.start + chunk.count) for chunk in chunks),
        completed=sum(chunk.samples for chunk in chunks),
        seconds=seconds,
    )
