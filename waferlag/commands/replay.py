"""`waferlag replay`: what requests of a trace meet at replicas, by the engine's scheduler on a modelled clock."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from executor.errors import UnknownNameError, UserMistakeError
from waferlag import __version__
from waferlag.commands.options import Db, Goodput, JsonFile, Search, Served, bounds_to_search, grouped
from waferlag.commands.profiles import stored_profile
from waferlag.files import report_json, require_folders
from waferlag.text.tables import say, table, wrapped

if TYPE_CHECKING:
    from executor.estimate.replica import Replica
    from executor.profile import Figure
    from executor.replay.cluster import Peak
    from executor.replay.results import Replayed
    from executor.serving_metrics import Bounds
    from waferlag.workload import Workload

SCHEMA_VERSION = 1
SHOWN = ("ttft", "tpot", "itl", "e2el")


@grouped
def replay(
    trace: Annotated[str, typer.Argument(help="A shipped trace's name, or a trace file.")],
    served: Served,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Id of a stored serving profile, instead of --model and --gpu.")
    ] = None,
    replicas: Annotated[int, typer.Option("--replicas", min=1, max=10_000, help="Equal replicas.")] = 1,
    prefill_replicas: Annotated[
        int, typer.Option("--prefill-replicas", min=0, help="So many more do prompts only, --replicas the rest.")
    ] = 0,
    route: Annotated[str, typer.Option("--route", help="least-loaded, cache-aware or round-robin.")] = "least-loaded",
    rate: Annotated[
        float | None, typer.Option("--rate", help="Mean requests/s of all replicas; without it the trace's.")
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option("--requests", min=1, max=2_000_000, help="The first so many, or so many drawn (10,000)."),
    ] = None,
    burst: Annotated[
        float | None, typer.Option("--burst", help="Standard deviation / mean of drawn gaps; 1 is Poisson.")
    ] = None,
    goodput: Goodput = None,
    search: Search = None,
    max_batch: Annotated[int, typer.Option("--max-batch", min=1, help="Sequences running at once.")] = 256,
    draws: Annotated[
        int, typer.Option("--draws", min=0, max=1000, help="Draws behind the intervals; 0: no intervals.")
    ] = 12,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the drawn requests.")] = 0,
    json_file: JsonFile = None,
    db: Db = None,
) -> None:
    """Replay a trace on a modelled clock: TTFT, TPOT, ITL, end-to-end, goodput, KV use."""
    from executor.replay.cluster import ROUTES
    from waferlag.settings import settings
    from waferlag.workload import workload

    if route not in ROUTES:
        raise UnknownNameError("router", route, ROUTES)
    require_folders([json_file], inputs=[trace])
    bounds = bounds_to_search(goodput, search)
    if search is not None and prefill_replicas:
        raise UserMistakeError("--search looks at replicas that do both phases: leave out --prefill-replicas")
    replica = _replica(served, profile, db)
    load = workload(trace, settings().max_trace_bytes, requests=requests, rate=rate, cv=burst, seed=seed)
    seen = _Asked(replica, load, replicas, prefill_replicas, route, max_batch, draws, bounds).run(search)
    for line in _report(seen):
        say(line)
    report_json(json_file, _document(seen, seed))


def _replica(served: Served, profile: str | None, db: str | None) -> "Replica":
    """The replica that serves: of a stored profile, or as the options say."""
    from executor.estimate.replica import replica_of, replica_of_profile

    if profile is None:
        missing = "say what serves the trace: --profile ID, or --model and --gpu"
        return replica_of(served.setup(missing), served.engine_version)
    if served.model is not None or served.gpu is not None:
        raise UserMistakeError("say either --profile, or --model and --gpu")
    return replica_of_profile(stored_profile(profile, db))


@dataclass(frozen=True)
class _Seen:
    """What a replay showed: each side, each metric with its interval, the highest rate where it was sought."""

    asked: "_Asked"
    sides: "tuple[Replayed, ...]"
    metrics: "dict[str, Figure]"
    peak: "Peak | None"


@dataclass(frozen=True)
class _Asked:
    """One replay as asked for: the figures at the belief's mode, and their spread over its draws."""

    replica: "Replica"
    load: "Workload"
    replicas: int
    prefill_replicas: int
    route: Any
    max_batch: int
    draws: int
    bounds: "Bounds | None"

    @cached_property
    def mean_tokens(self) -> float:
        """Tokens of a sequence in service, on average."""
        return float(self.load.arrivals.prompt.mean() + self.load.arrivals.output.mean() / 2)

    @cached_property
    def time(self) -> Any:
        """Step times at the belief's mode."""
        return self.replica.time(self.mean_tokens)

    def run(self, search: float | None = None) -> _Seen:
        """What happened on each side, and each metric with the central 80 % interval of the belief.

        ``search``: per cent of requests that must keep the bounds at the highest rate; None: it is not sought.
        """
        from executor.profile import Figure
        from executor.replay.cluster import highest_rate

        sides, metrics = self._replayed(self.time)
        drawn = [self._replayed(time)[1] for time in self.replica.draws(self.draws, self.mean_tokens)]
        figures = {
            name: Figure(value, *_interval(value, [each.get(name, value) for each in drawn]))
            for name, value in metrics.items()
        }
        peak = None
        if search is not None and self.bounds is not None:  # in the trace's own rhythm
            arrivals = self.load.arrivals
            where = (self._limits(self.time), self.replicas, self.route)
            share = search / 100
            peak = highest_rate(arrivals.at_rate, self.time, self.bounds, share, *where, start=arrivals.rate)
        return _Seen(self, sides, figures, peak)

    def _limits(self, time: Any) -> Any:
        from executor.replay.cluster import replica_limits

        return replica_limits(time, self.load.arrivals.block_tokens, self.max_batch)

    @property
    def transfer_s_per_token(self) -> float:
        """Time for a prompt token's KV to leave a prefill replica, over one network port for each GPU."""
        from executor.model.cost import BYTES_PER_VALUE
        from executor.steptime.workload import NIC_BYTES_S

        setup = self.replica.setup
        carried = setup.spec.kv_bytes_per_token(BYTES_PER_VALUE[setup.kv_type])
        return carried / (NIC_BYTES_S * setup.layout.gpus)

    def _replayed(self, time: Any) -> tuple["tuple[Replayed, ...]", dict[str, float]]:
        from executor.replay.cluster import replay as replayed
        from executor.replay.disaggregated import Side, replay_disaggregated

        arrivals, limits = self.load.arrivals, self._limits(time)
        if not self.prefill_replicas:
            found = replayed(arrivals, time, limits, self.replicas, self.route)
            return (found,), found.metrics(self.bounds)
        prefill, decode = Side(time, self.prefill_replicas, limits), Side(time, self.replicas, limits)
        apart = replay_disaggregated(arrivals, prefill, decode, self.transfer_s_per_token, self.route)
        return apart.sides, apart.metrics(self.bounds)


def _interval(value: float, drawn: list[float]) -> tuple[float, float]:
    """Central 80 % about the figure from the spread of the draws' logarithms; the figure itself without draws."""
    import numpy as np

    from executor.portable.elementary import exp, log, square
    from executor.steptime.parameters import Z_80

    logs = log(np.array([each for each in drawn if each > 0]))
    if value <= 0 or logs.size < 2:
        return value, value
    spread = float(np.sqrt(np.mean(square(logs - log(value)))))
    return value * exp(-Z_80 * spread), value * exp(Z_80 * spread)


def _report(seen: _Seen) -> list[str]:
    """The replay on a terminal: what was served, percentiles with intervals, use, and why to believe it."""
    asked, metrics, belief = seen.asked, seen.metrics, seen.asked.replica.belief
    head = ["ms, 80 %", "mean", "p50", "p90", "p99"]
    rows = [[name.upper(), *(_cell(metrics, f"{part}_{name}_ms") for part in head[1:])] for name in SHOWN]
    lines = [*_load_text(seen), "", table(head, rows, right=range(1, 5), whole=[0]), ""]
    named = {"output_throughput": "output tokens/s", "request_throughput": "requests/s"}
    lines += [f"{label:17s} {_cell(metrics, name)}" for name, label in named.items()]
    if "request_goodput" in metrics:
        lines.append(f"{'goodput':17s} {_cell(metrics, 'request_goodput')} requests/s met every bound")
    for side, name in zip(seen.sides, ("prefill side", "decode side"), strict=False):
        lines += ["", name] if asked.prefill_replicas else []
        lines += _side_text(side, asked.time.kv_tokens)
    if seen.peak is not None:
        found = f"Highest rate that keeps the bounds: {seen.peak.rate:.4g} requests/s ({seen.peak.reason})."
        lines += ["", *wrapped(found if seen.peak.rate else f"No rate keeps the bounds: {seen.peak.reason}.")]
    return [*lines, "", *wrapped(f"label: {belief.label}; {belief.reason}")]


def _load_text(seen: _Seen) -> list[str]:
    """What was offered to which replicas."""
    asked, arrivals = seen.asked, seen.asked.load.arrivals
    before = f"{asked.prefill_replicas} prefill and " if asked.prefill_replicas else ""
    failed = int(seen.metrics["failed"].value)
    return [
        *wrapped(f"{asked.load.name} on {before}{asked.replicas} replica(s) of {asked.replica.name}"),
        *(line for note in asked.load.notes for line in wrapped(note, "- ")),
        "",
        f"requests   {len(arrivals):,} at {arrivals.rate:.3g}/s, {failed:,} refused",
        f"tokens     {arrivals.prompt.mean():,.0f} in, {arrivals.output.mean():,.0f} out on average",
    ]


def _side_text(side: "Replayed", kv_tokens: int) -> list[str]:
    hits = side.prompt_tokens_cached / max(1, side.prompt_tokens_cached + side.prompt_tokens_computed)
    return [
        f"{'KV cache':17s} {side.kv_mean:.1%} held on average, {side.kv_peak:.1%} at most, of {kv_tokens:,} tokens",
        f"{'prefix hits':17s} {hits:.1%} of prompt tokens",
        f"{'preemptions':17s} {int(side.preemptions.sum()):,}",
        f"{'busy':17s} {side.busy:.1%} of the time",
    ]


def _cell(metrics: "dict[str, Figure]", name: str) -> str:
    figure = metrics.get(name)
    if figure is None:
        return "-"
    if figure.low == figure.high:
        return _short(figure.value)
    return f"{_short(figure.value)}, {_short(figure.low, 2)}-{_short(figure.high, 2)}"


def _short(value: float, digits: int = 3) -> str:
    """A number in so many digits, thousands as k.

    >>> _short(4819.7), _short(3560.0, 2), _short(97.3, 2), _short(108_000.0)
    ('4.82k', '3.6k', '97', '108k')
    """
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded / 1e3:.{digits}g}k" if rounded >= 1000 else f"{rounded:.{max(digits, 3)}g}"


def _document(seen: _Seen, seed: int) -> dict[str, Any]:
    """Everything that is needed to run it again, and what came out."""
    asked, peak, belief, arrivals = seen.asked, seen.peak, seen.asked.replica.belief, seen.asked.load.arrivals
    phases = ("prefill", "decode") if asked.prefill_replicas else ("both",)
    bounds = {} if asked.bounds is None else asdict(asked.bounds)
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": {"waferlag": __version__},
        "trace": asked.load.name,
        "notes": asked.load.notes,
        "seed": seed,
        "requests": len(arrivals),
        "rate": arrivals.rate,
        "replica": _replica_document(asked),
        **{name: getattr(asked, name) for name in ("replicas", "prefill_replicas", "route", "max_batch", "draws")},
        # JSON has no infinity: a bound that is not set is null.
        "bounds": {name: None if value == float("inf") else value for name, value in bounds.items()} or None,
        "label": belief.label,
        "reason": belief.reason,
        "interval": 0.8,
        "metrics": {name: asdict(figure) for name, figure in seen.metrics.items()},
        "sides": [
            _side_document(phase, side, asked.time.kv_tokens) for phase, side in zip(phases, seen.sides, strict=False)
        ],
        "highest_rate": None
        if peak is None
        else {"requests_per_s": peak.rate, "reason": peak.reason, "tried": peak.tried},
    }


def _replica_document(asked: _Asked) -> dict[str, Any]:
    setup = asked.replica.setup
    return {
        "model": setup.spec.name,
        "gpu": setup.accelerator.name,
        "precision": setup.precision,
        "kv_precision": setup.kv_type,
        "engine": setup.engine.name,
        "layout": asdict(setup.layout),
        "drafting": None if setup.drafting is None else asdict(setup.drafting),
        "seconds": {name: value for name, value in asdict(asked.time).items() if not name.startswith("_")},
    }


def _side_document(phase: str, side: "Replayed", kv_tokens: int) -> dict[str, Any]:
    return {
        "phase": phase,
        "refused": side.refused,
        "kv": {"mean": side.kv_mean, "peak": side.kv_peak, "tokens": kv_tokens},
        "preemptions": int(side.preemptions.sum()),
        "prompt_tokens_cached": side.prompt_tokens_cached,
        "prompt_tokens_computed": side.prompt_tokens_computed,
        "busy": side.busy,
        "steps": side.steps,
    }
