"""How long one step of a given batch takes: ``step_times`` of a closed loop's steady state, asked batch by batch.

The same form is taken apart into seconds per unit of work, read off ``step_times`` at its limits; that the parts add up
to it again is a test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from executor.portable.elementary import exp, expm1, interpolated, log1p, whole_power
from executor.steptime.model import step_times
from executor.steptime.parameters import PARAMETERS, Array
from executor.steptime.workload import CHUNK_TOKENS, Load, Setup, work_of

MOST_STEPS = 1 << 40
"""Steps that a run of equal pace may have; more than any replay takes."""
VECTOR_STEPS = 4096
"""Steps timed at once where their times do not form an arithmetic series."""
SECONDS = (
    *("dense", "experts", "gemm", "context", "square", "latency", "collective", "launch", "fixed"),
    *("sequence", "request", "first_token", "front_end"),
)
"""Fields of ``BatchTime`` that are times."""
_VANISHING, _BOUNDLESS = 1e-9, 1e15


@dataclass(frozen=True)
class BatchTime:
    r"""Seconds per unit of work on one replica, and the time of a step built from them.

        t     = t_dec(B, X) + t_pre(m, Q, n | B)
        t_dec = max( (1+d) (lin(B v) + context X + latency + collective B v + launch) + fixed + sequence B,
                     front_end e B )
        t_pre = lin(B v+m) - lin(B v) + square Q + collective m + request n       decoding sequences in the step
        t_pre = lin(m) + fixed + launch + latency + square Q + ..             none in it
        lin(n) = [ (dense + experts (1 - (1 - k/E)^n))^4 + (gemm n)^4 ]^(1/4)

    B decoding sequences, X tokens of KV cache that they read, v tokens that each puts through a step, of which e
    are kept on average, d the share of a step that drafting them costs (1, 1 and 0 without drafting), m prompt
    tokens, Q the sum of (stop^2 - start^2) over the chunks, n prompts that become complete. Pipeline stages each
    work on their share of the batch, which divides B, X, m, Q and n; a prompt is taken to be spread over the stages
    in chunks. Where two half batches overlap, collectives hide behind the rest as in ``steptime``.
    """

    dense: float
    """Reading the weights that every step reads."""
    experts: float
    """Reading all routed experts."""
    untouched_log: float
    """ln(1 - k/E), 0 for a dense model."""
    gemm: float
    """Matrix work of a token."""
    context: float
    """Decode attention over one token of KV cache."""
    square: float
    """Prefill attention per squared prompt token."""
    latency: float
    """All collectives of a step, however little they carry."""
    collective: float
    """What a token adds to them."""
    launch: float
    """Host and launch time of all layers."""
    fixed: float
    sequence: float
    """Host time of a decoding sequence."""
    request: float
    """Host time of a request."""
    first_token: float
    """From the client to the scheduler and back; the engine does other work meanwhile."""
    front_end: float
    """Least time between two tokens that leave."""
    halves: int
    """2 where two half batches overlap, else 1."""
    stages: int
    kv_tokens: int
    """Tokens of KV cache that the replica holds."""
    chunk_tokens: int
    """Tokens that the engine puts into a step at most, over all attention ranks."""
    prefill_first: bool
    verified: int = 1
    """Tokens that a decoding sequence puts through a step: one and those drafted."""
    emitted: float = 1.0
    """Tokens of them that are kept on average."""
    drafting: float = 0.0
    """What drafting adds to the engine's part of a step."""
    knots: tuple[tuple[float, float], ...] = ()
    """(decoding sequences, seconds) that a step with so many takes on top, straight lines between; for timed engines
    whose kernels change with the number of rows."""
    _rests: dict[float, float] = field(default_factory=dict, init=False, repr=False, compare=False)
    _paces: dict[int, tuple[float, float, float]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _linears: dict[float, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    def decode(self, sequences: int, context: float) -> float:
        """Seconds of a step of ``sequences`` decoding sequences that read ``context`` tokens of KV cache."""
        batch = sequences / self.stages
        rest = self._rest(batch) + self._read * context / self.stages
        moved = self._moved(batch)
        whole = rest + moved if self.halves == 1 else _pnorm4(rest, moved)
        return max(whole, self.front_end * self.emitted * sequences)

    def step(self, sequences: int, context: float, tokens: int, square: float, completed: int) -> float:
        """Seconds of a step that also holds ``tokens`` prompt tokens (Q ``square``), ``completed`` prompts ending."""
        decode = self.decode(sequences, context) if sequences else 0.0
        if not tokens:
            return decode
        batch, prompt = sequences / self.stages, tokens / self.stages
        if sequences:
            extra = max(0.0, self._linear(self.verified * batch + prompt) - self._decode_linear(batch))
        else:
            extra = self._linear(prompt) + self.fixed + self.launch + self.latency
        work = extra + self.square * square / self.stages
        moved = self.collective * prompt
        whole = work + moved if self.halves == 1 else _pnorm4(work, moved)
        return decode + whole + self.request * completed / self.stages

    def run(self, sequences: int, context: float) -> tuple[float, float, int]:
        """The pace of decode steps from here on: each step adds ``emitted`` tokens a sequence to what is read.

        Step i takes ``first + growth i`` seconds; returns first, growth, and for how many steps that holds. Only where
        ``is_arithmetic``. While the front end is the slower part, every step takes its time.
        """
        paces = self._paces.get(sequences)
        if paces is None:
            batch = sequences / self.stages
            alone = self._rest(batch) + self._moved(batch)
            growth = self._read * batch * self.emitted
            paces = self._paces[sequences] = alone, growth, self.front_end * self.emitted * sequences
        alone, growth, cap = paces
        whole = alone + self._read * context / self.stages
        if whole >= cap:
            return whole, growth, MOST_STEPS
        return cap, 0.0, MOST_STEPS if growth <= 0 else 1 + int((cap - whole) / growth)

    def decode_many(self, sequences: int, context: float, steps: int) -> Array:
        """Seconds of each of ``steps`` decode steps in a row, as ``decode`` gives them one by one."""
        batch = sequences / self.stages
        contexts = context + self.emitted * sequences * np.arange(steps)
        rest = self._rest(batch) + self._read * contexts / self.stages
        moved = self._moved(batch)
        whole = rest + moved
        if self.halves > 1:
            larger = np.maximum(rest, moved)
            fourth = whole_power(rest / larger, 4) + whole_power(moved / larger, 4)
            whole = larger * np.sqrt(np.sqrt(fourth))
        return np.maximum(whole, self.front_end * self.emitted * sequences)

    def scaled(self, factor: float) -> BatchTime:
        """Every second of a step times ``factor``; memory stays."""
        return replace(self, **{name: factor * getattr(self, name) for name in SECONDS})

    @property
    def is_arithmetic(self) -> bool:
        """Whether decode steps in a row form an arithmetic series."""
        return self.halves == 1

    @property
    def _read(self) -> float:
        """Decode attention over one token of KV cache, in the step and in its draft."""
        return self.context * (1.0 + self.drafting)

    def _moved(self, batch: float) -> float:
        """Collectives of a decode step."""
        return (self.latency * self.halves + self.collective * self.verified * batch) * (1.0 + self.drafting)

    def _rest(self, batch: float) -> float:
        """All of a decode step but collectives and what grows with the context."""
        rest = self._rests.get(batch)
        if rest is None:
            engine = self._decode_linear(batch) + self.launch * self.halves
            on_top = float(interpolated(batch, *np.transpose(self.knots))) if self.knots else 0.0
            host = self.fixed + self.sequence * batch + on_top
            rest = self._rests[batch] = engine * (1.0 + self.drafting) + host
        return rest

    def _decode_linear(self, batch: float) -> float:
        found = self._linears.get(batch)
        if found is None:
            found = self._linears[batch] = self.halves * self._linear(self.verified * batch / self.halves)
        return found

    def _linear(self, tokens: float) -> float:
        """Weights read and multiplied for so many tokens: the smooth larger of the two."""
        weights = self.dense
        if self.experts:
            weights += self.experts * -expm1(tokens * self.untouched_log)
        return _pnorm4(weights, self.gemm * tokens)


def batch_time(setup: Setup, theta: Array, mean_tokens: float = 2048.0) -> BatchTime:
    """The step times of a set-up at parameters ``theta`` (16 logarithms), taken apart.

    ``mean_tokens``: typical tokens of a request, at which the KV cache is read off the memory; stated
    ``setup.kv_tokens`` come first.
    """
    theta = np.asarray(theta, dtype=float)
    work = work_of([(setup, Load(max(1.0, mean_tokens), 1.0, 1.0))] * 3)
    memory = step_times(work, theta)
    stages = float(work.cost.pp[0])
    probe = replace(
        work, halves=np.ones(3), kv_tokens=np.full(3, np.inf), concurrency=np.array([_VANISHING, stages, _BOUNDLESS])
    )
    seen = step_times(probe, theta)
    # Plain floats: a single numpy one would spread through the replay's clock and make it several times slower.
    parameter = dict(zip(PARAMETERS, exp(theta).tolist(), strict=True))
    ranks = float(work.cost.attention_dp[0])
    context = float(work.context[0])
    verified = int(work.verified[0])
    return BatchTime(
        dense=float(seen.weights[0]),
        experts=max(0.0, float(seen.weights[2] - seen.weights[0])) if setup.spec.moe is not None else 0.0,
        untouched_log=log1p(-float(work.cost.expert_share[0])),
        gemm=float(seen.gemm[1]) / verified,
        context=float(seen.attention[1]) / context,
        square=float(seen.prefill_attention[1] / work.square[0]),
        latency=float(seen.collectives[0]),
        collective=float(seen.collectives[1] - seen.collectives[0]) / verified,
        launch=float(seen.host[0]) - parameter["t_fix"],
        fixed=parameter["t_fix"],
        sequence=parameter["h_seq"] / ranks,
        request=parameter["h_req"] / ranks,
        first_token=parameter["tau0"],
        front_end=parameter["f_tok"],
        halves=int(work.halves[0]),
        stages=int(stages),
        kv_tokens=int(float(memory.slots[0]) * context),
        chunk_tokens=int(CHUNK_TOKENS * ranks),
        prefill_first=not setup.engine.mixed_steps,
        verified=verified,
        emitted=float(work.emitted[0]),
        drafting=(verified - 1) / float(work.cost.layers[0]),
    )


def _pnorm4(a: float, b: float) -> float:
    larger = a if a > b else b
    if larger <= 0.0:
        return 0.0
    x, y = a / larger, b / larger
    x *= x
    y *= y
    return larger * math.sqrt(math.sqrt(x * x + y * y))
