"""`waferlag replay`: what requests of a trace meet at replicas, by the engine's scheduler on a modelled clock."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from waferlag.commands.db import Db

if TYPE_CHECKING:
    from executor.estimate.replica import Replica
    from executor.profile import Figure
    from executor.replay.cluster import Peak
    from executor.replay.results import Replayed
    from executor.serving_metrics import Bounds
    from waferlag.workload import Workload

SCHEMA_VERSION = 1
SHOWN = ("ttft", "tpot", "itl", "e2el")


def replay(
    trace: Annotated[str, typer.Argument(help="A shipped trace's name, or a trace file.")],
    profile: Annotated[str | None, typer.Option("--profile", help="Id of a stored serving profile.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Instead of a profile: the model.")] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", help="Accelerator, for example H20-96GB.")] = None,
    precision: Annotated[str, typer.Option("--precision", help="bf16, fp8, int8, int4 or fp4.")] = "bf16",
    engine: Annotated[
        str, typer.Option("--engine", help="sglang, trtllm, vllm, waferlag, generic.")
    ] = "generic",
    engine_version: Annotated[str, typer.Option("--engine-version", help="Version of the engine.")] = "",
    tp: Annotated[int, typer.Option("--tp", help="Tensor parallel GPUs.")] = 1,
    pp: Annotated[int, typer.Option("--pp", help="Pipeline stages.")] = 1,
    attention_dp: Annotated[
        int, typer.Option("--attention-dp", help="Data parallel ranks of attention.")
    ] = 1,
    moe_tp: Annotated[
        int | None, typer.Option("--moe-tp", help="Tensor parallel cut of the experts.")
    ] = None,
    moe_ep: Annotated[int | None, typer.Option("--moe-ep", help="Expert parallel cut.")] = None,
    kv_precision: Annotated[str | None, typer.Option("--kv-precision", help="bf16 or fp8.")] = None,
    kv_tokens: Annotated[
        float | None, typer.Option("--kv-tokens", help="KV cache tokens from the engine's start-up log.")
    ] = None,
    draft_tokens: Annotated[
        int,
        typer.Option("--draft-tokens", min=0, help="Tokens drafted per step (speculative decoding, MTP)."),
    ] = 0,
    acceptance: Annotated[
        float, typer.Option("--acceptance", help="Chance that a drafted token is accepted.")
    ] = 0.0,
    replicas: Annotated[int, typer.Option("--replicas", min=1, max=10_000, help="Equal replicas.")] = 1,
    prefill_replicas: Annotated[
        int,
        typer.Option("--prefill-replicas", min=0, help="So many more do prompts only, --replicas the rest."),
    ] = 0,
    route: Annotated[
        str, typer.Option("--route", help="least-loaded, cache-aware or round-robin.")
    ] = "least-loaded",
    rate: Annotated[
        float | None, typer.Option("--rate", help="Mean requests/s of all replicas; without it the trace's.")
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(
            "--requests", min=1, max=2_000_000, help="The first so many, or so many drawn (10,000)."
        ),
    ] = None,
    burst: Annotated[
        float | None, typer.Option("--burst", help="Standard deviation / mean of drawn gaps; 1 is Poisson.")
    ] = None,
    goodput: Annotated[
        list[str] | None,
        typer.Option("--goodput", help="Bounds in ms, like 'ttft:2000 tpot:50'; may be given again."),
    ] = None,
    search: Annotated[
        float | None,
        typer.Option("--search", help="Find the highest rate at which so many per cent meet --goodput."),
    ] = None,
    max_batch: Annotated[int, typer.Option("--max-batch", min=1, help="Sequences running at once.")] = 256,
    draws: Annotated[
        int, typer.Option("--draws", min=0, max=1000, help="Draws behind the intervals; 0: no intervals.")
    ] = 12,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Root of the luck of drawn requests.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result here as JSON.")] = None,
    db: Db = None,
) -> None:
    """Replay a trace on a modelled clock: TTFT, TPOT, ITL, end-to-end, goodput, KV use."""
    from executor.errors import UnknownNameError, UserMistakeError
    from executor.estimate.calibration import setup_of
    from executor.estimate.replica import replica_of, replica_of_profile
    from executor.model.cost import Layout
    from executor.replay.cluster import ROUTES
    from executor.serving_metrics import bounds_of
    from executor.steptime.workload import Drafting
    from waferlag.commands.profiles import stored_profile
    from waferlag.files import require_folders, write_whole
    from waferlag.settings import settings
    from waferlag.text.tables import say
    from waferlag.workload import workload

    if route not in ROUTES:
        raise UnknownNameError("router", route, ROUTES)
    require_folders([json_file], inputs=[trace])
    bounds = bounds_of(goodput) if goodput else None
    if search is not None and (bounds is None or not 0 < search <= 100):
        raise UserMistakeError("--search takes a share in per cent, 0 to 100, and needs --goodput")
    if search is not None and prefill_replicas:
        raise UserMistakeError("--search looks at replicas that do both phases: leave out --prefill-replicas")
    if profile is not None:
        if model is not None or gpu is not None:
            raise UserMistakeError("say either --profile, or --model and --gpu")
        replica = replica_of_profile(stored_profile(profile, db))
    elif model is None or gpu is None:
        raise UserMistakeError("say what serves the trace: --profile ID, or --model and --gpu")
    else:
        setup = setup_of(
            model,
            gpu,
            precision,
            engine,
            Layout(tp, pp, attention_dp, moe_tp, moe_ep),
            kv_precision=kv_precision,
            kv_tokens=kv_tokens,
            drafting=Drafting(draft_tokens, acceptance) if draft_tokens else None,
        )
        replica = replica_of(setup, engine_version)
    load = workload(trace, settings().max_trace_bytes, requests=requests, rate=rate, cv=burst, seed=seed)
    asked = _Asked(replica, load, replicas, prefill_replicas, route, max_batch, draws, bounds)
    sides, metrics = asked.run()
    peak = None if search is None or bounds is None else asked.search(bounds, search / 100)
    for line in _report(asked, sides, metrics, peak):
        say(line)
    if json_file is not None:
        document = _document(asked, sides, metrics, peak, seed)
        write_whole(json_file, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        say(f"JSON: {json_file}")


class _Asked:
    """One replay as asked for: the figures at the belief's mode, and their spread over its draws."""

    def __init__(
        self,
        replica: "Replica",
        load: "Workload",
        replicas: int,
        prefill_replicas: int,
        route: Any,
        max_batch: int,
        draws: int,
        bounds: "Bounds | None",
    ) -> None:
        self.replica, self.load, self.replicas, self.route = replica, load, replicas, route
        self.prefill_replicas = prefill_replicas
        self.max_batch, self.count, self.bounds = max_batch, draws, bounds
        arrivals = load.arrivals
        self.mean_tokens = float(arrivals.prompt.mean() + arrivals.output.mean() / 2)
        self.time = replica.time(self.mean_tokens)

    def run(self) -> tuple["tuple[Replayed, ...]", "dict[str, Figure]"]:
        """What happened on each side, and each metric with the central 80 % interval of the belief."""
        from executor.profile import Figure

        sides, metrics = self._replayed(self.time)
        drawn = [self._replayed(time)[1] for time in self.replica.draws(self.count, self.mean_tokens)]
        return sides, {
            name: Figure(value, *_interval(value, [each.get(name, value) for each in drawn]))
            for name, value in metrics.items()
        }

    def search(self, bounds: "Bounds", share: float) -> "Peak":
        """The highest rate in the trace's own rhythm that keeps the bounds."""
        from executor.replay.cluster import highest_rate, replica_limits

        arrivals = self.load.arrivals
        return highest_rate(
            arrivals.at_rate,
            self.time,
            bounds,
            share,
            replica_limits(self.time, arrivals.block_tokens, self.max_batch),
            self.replicas,
            self.route,
            start=arrivals.rate,
        )

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
        from executor.replay.cluster import replica_limits
        from executor.replay.disaggregated import Side, replay_disaggregated

        arrivals = self.load.arrivals
        limits = replica_limits(time, arrivals.block_tokens, self.max_batch)
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


def _report(
    asked: _Asked, sides: "tuple[Replayed, ...]", metrics: "dict[str, Figure]", peak: "Peak | None"
) -> list[str]:
    """The replay on a terminal: what was served, percentiles with intervals, use, and why to believe it."""
    from waferlag.text.tables import table, wrapped

    belief = asked.replica.belief
    arrivals = asked.load.arrivals
    before = f"{asked.prefill_replicas} prefill and " if asked.prefill_replicas else ""
    failed = int(metrics["failed"].value)
    lines = [
        *wrapped(f"{asked.load.name} on {before}{asked.replicas} replica(s) of {asked.replica.name}"),
        *(line for note in asked.load.notes for line in wrapped(note, "- ")),
        "",
        f"requests   {len(arrivals):,} at {arrivals.rate:.3g}/s, {failed:,} refused",
        f"tokens     {arrivals.prompt.mean():,.0f} in, {arrivals.output.mean():,.0f} out on average",
    ]
    head = ["ms, 80 %", "mean", "p50", "p90", "p99"]
    rows = [[name.upper(), *(_cell(metrics, f"{part}_{name}_ms") for part in head[1:])] for name in SHOWN]
    lines += ["", table(head, rows, right=range(1, 5), whole=[0]), ""]
    named = {"output_throughput": "output tokens/s", "request_throughput": "requests/s"}
    lines += [f"{label:17s} {_cell(metrics, name)}" for name, label in named.items()]
    if "request_goodput" in metrics:
        lines.append(f"{'goodput':17s} {_cell(metrics, 'request_goodput')} requests/s met every bound")
    for side, name in zip(sides, ("prefill side", "decode side"), strict=False):
        lines += ["", name] if asked.prefill_replicas else []
        lines += _side_text(side, asked.time.kv_tokens)
    if peak is not None:
        lines += ["", *wrapped(_peak_text(peak))]
    lines += ["", *wrapped(f"label: {belief.label}; {belief.reason}")]
    return lines


def _side_text(side: "Replayed", kv_tokens: int) -> list[str]:
    hits = side.prompt_tokens_cached / max(1, side.prompt_tokens_cached + side.prompt_tokens_computed)
    return [
        f"{'KV cache':17s} {side.kv_mean:.1%} held on average, {side.kv_peak:.1%} at most,"
        f" of {kv_tokens:,} tokens",
        f"{'prefix hits':17s} {hits:.1%} of prompt tokens",
        f"{'preemptions':17s} {int(side.preemptions.sum()):,}",
        f"{'busy':17s} {side.busy:.1%} of the time",
    ]


def _peak_text(peak: "Peak") -> str:
    if not peak.rate:
        return f"No rate keeps the bounds: {peak.reason}."
    return f"Highest rate that keeps the bounds: {peak.rate:.4g} requests/s ({peak.reason})."


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


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    """JSON has no infinity: a bound that is not set is null."""
    return {name: None if value == float("inf") else value for name, value in values.items()}


def _document(
    asked: _Asked,
    sides: "tuple[Replayed, ...]",
    metrics: "dict[str, Figure]",
    peak: "Peak | None",
    seed: int,
) -> dict[str, Any]:
    """Everything that is needed to run it again, and what came out."""
    from dataclasses import asdict

    from waferlag import __version__

    setup, belief, arrivals = asked.replica.setup, asked.replica.belief, asked.load.arrivals
    time = {name: value for name, value in asdict(asked.time).items() if not name.startswith("_")}
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": {"waferlag": __version__},
        "trace": asked.load.name,
        "notes": asked.load.notes,
        "seed": seed,
        "requests": len(arrivals),
        "rate": arrivals.rate,
        "replica": {
            "model": setup.spec.name,
            "gpu": setup.accelerator.name,
            "precision": setup.precision,
            "kv_precision": setup.kv_type,
            "engine": setup.engine.name,
            "layout": asdict(setup.layout),
            "drafting": None if setup.drafting is None else asdict(setup.drafting),
            "seconds": time,
        },
        "replicas": asked.replicas,
        "prefill_replicas": asked.prefill_replicas,
        "route": asked.route,
        "max_batch": asked.max_batch,
        "draws": asked.count,
        "bounds": None if asked.bounds is None else _finite(asdict(asked.bounds)),
        "label": belief.label,
        "reason": belief.reason,
        "interval": 0.8,
        "metrics": {name: asdict(figure) for name, figure in metrics.items()},
        "sides": [
            {
                "phase": phase,
                "refused": side.refused,
                "kv": {"mean": side.kv_mean, "peak": side.kv_peak, "tokens": asked.time.kv_tokens},
                "preemptions": int(side.preemptions.sum()),
                "prompt_tokens_cached": side.prompt_tokens_cached,
                "prompt_tokens_computed": side.prompt_tokens_computed,
                "busy": side.busy,
                "steps": side.steps,
            }
            for side, phase in zip(
                sides, ("prefill", "decode") if asked.prefill_replicas else ("both",), strict=False
            )
        ],
        "highest_rate": None
        if peak is None
        else {"requests_per_s": peak.rate, "reason": peak.reason, "tried": peak.tried},
    }
