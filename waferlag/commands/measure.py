"""`waferlag measure`: closed and open loops on an endpoint or the built-in engine, kept as a serving profile; and a
step of that engine with its operators."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from waferlag.commands.db import Db

if TYPE_CHECKING:
    from executor.measure.loadgen import Run
    from executor.measure.points import Bench, HighestRate
    from executor.serving_metrics import Bounds

SCHEMA_VERSION = 1


def measure(
    model: Annotated[
        str,
        typer.Argument(help="The model's name in the profile; without --endpoint, or a weights directory."),
    ],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="OpenAI-compatible server, http://HOST:PORT.")
    ] = None,
    served_as: Annotated[
        str | None, typer.Option("--served-as", help="Name in the request; without it the server's first.")
    ] = None,
    api: Annotated[str, typer.Option("--api", help="completions or chat.")] = "completions",
    prompts: Annotated[str, typer.Option("--prompts", help="words, or ids below --vocab.")] = "words",
    vocab: Annotated[
        int, typer.Option("--vocab", min=1, help="Ids of --prompts ids are below this.")
    ] = 30_000,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos/--may-stop", help="Ask for answers of full length (vLLM, SGLang).")
    ] = True,
    key_variable: Annotated[
        str, typer.Option("--key-variable", help="Environment variable that holds the API key.")
    ] = "OPENAI_API_KEY",
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds after which an answer is slow.")
    ] = 600.0,
    isl: Annotated[int, typer.Option("--isl", min=1, help="Prompt tokens.")] = 1024,
    osl: Annotated[int, typer.Option("--osl", min=1, help="Output tokens.")] = 256,
    concurrency: Annotated[
        str | None, typer.Option("--concurrency", help="Closed loops: clients, like 1,8,32.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", help="Open loops: requests/s, Poisson, like 0.5,1,2.")
    ] = None,
    trace: Annotated[
        str | None, typer.Option("--trace", help="Open loop: a shipped trace or a file, at its own times.")
    ] = None,
    requests: Annotated[int, typer.Option("--requests", min=1, help="Requests of each measurement.")] = 64,
    warmup: Annotated[int, typer.Option("--warmup", min=0, help="Requests before it that do not count.")] = 2,
    goodput: Annotated[
        list[str] | None, typer.Option("--goodput", help="Bounds in ms, like 'ttft:2000 tpot:50'.")
    ] = None,
    search: Annotated[
        float | None,
        typer.Option(
            "--search", help="Find the highest Poisson rate at which so many per cent meet --goodput."
        ),
    ] = None,
    parts: Annotated[
        str | None,
        typer.Option(
            "--parts",
            help="Built-in engine: time one step and its operators at these batch sizes, like 1,8,32,"
            " every sequence at --isl tokens of context, instead of serving requests.",
        ),
    ] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", help="GPU that serves, for the profile.")] = None,
    precision: Annotated[str, typer.Option("--precision", help="Precision of the weights.")] = "bf16",
    kv_precision: Annotated[str, typer.Option("--kv-precision", help="bf16 or fp8.")] = "bf16",
    engine: Annotated[
        str | None, typer.Option("--engine", help="Engine that serves, for the profile.")
    ] = None,
    engine_version: Annotated[str, typer.Option("--engine-version", help="And its version.")] = "",
    tp: Annotated[int, typer.Option("--tp", min=1, help="Tensor parallel GPUs.")] = 1,
    pp: Annotated[int, typer.Option("--pp", min=1, help="Pipeline stages.")] = 1,
    attention_dp: Annotated[int, typer.Option("--attention-dp", min=1, help="Attention ranks.")] = 1,
    device: Annotated[
        str | None, typer.Option("--device", help="Device and driver where the server is another machine.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Root of prompts and arrival times.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the profile here as JSON.")] = None,
    store: Annotated[bool, typer.Option("--store/--no-store", help="Keep it in the database.")] = True,
    db: Db = None,
) -> None:
    """Measure what an endpoint, or the built-in engine, serves; keep it as a serving profile."""
    from executor.errors import UserMistakeError
    from executor.measure.points import profile_of
    from executor.model.cost import Layout
    from executor.profile import Provenance
    from executor.serving_metrics import bounds_of
    from waferlag.files import require_folders, write_whole
    from waferlag.measurement import (
        built_in_bench,
        endpoint_bench,
        endpoint_of,
        own_device,
        own_version,
        provenance_of,
    )
    from waferlag.text.tables import say, wrapped

    require_folders([json_file])
    bounds = bounds_of(goodput) if goodput else None
    if search is not None and (bounds is None or not 0 < search <= 100):
        raise UserMistakeError("--search takes a share in per cent, 0 to 100, and needs --goodput")
    if parts is not None:
        if endpoint is not None:
            raise UserMistakeError("--parts looks into the built-in engine: leave --endpoint out")
        _parts(model, precision, _batches(parts), isl, json_file)
        return
    if endpoint is not None and (gpu is None or engine is None):
        raise UserMistakeError("say what serves behind the endpoint, for the profile: --gpu and --engine")
    loads = _loads(concurrency, rate, trace, search)
    bench = (
        built_in_bench(model, precision, warmup, seed)
        if endpoint is None
        else endpoint_bench(
            endpoint_of(endpoint, served_as, api, key_variable, timeout, ignore_eos),
            None if prompts == "words" else _ids(prompts, vocab),
            warmup,
            seed,
        )
    )
    runs = [_told(_measured(bench, load, isl, osl, requests, seed), bounds) for load in loads]
    if search is not None and bounds is not None:
        runs += _searched(bench, bounds, search / 100, isl, osl, requests, runs)
    profile = profile_of(
        runs,
        model=model,
        gpu=gpu or own_device(),
        precision=precision,
        engine=engine or "waferlag",
        engine_version=engine_version or own_version(endpoint),
        layout=Layout(tp, pp, attention_dp),
        kv_precision=kv_precision,
        provenance=Provenance(**provenance_of(endpoint, device, sys.argv[1:])),
        bounds=bounds,
    )
    for line in wrapped(profile.notes):
        say(line)
    if json_file is not None:
        write_whole(json_file, profile.to_json() + "\n")
        say(f"JSON: {json_file}")
    if store:
        from waferlag.commands.profiles import store_profile

        say(f"profile {store_profile(profile, db)}")


def _loads(
    concurrency: str | None, rate: str | None, trace: str | None, search: float | None
) -> list[tuple[str, Any]]:
    """What to measure, in order: ("closed", clients), ("poisson", rate) or ("trace", name)."""
    from executor.errors import UserMistakeError

    loads: list[tuple[str, Any]] = []
    for text in concurrency.split(",") if concurrency else ():
        if not text.strip().isdecimal() or not 0 < int(text) <= 100_000:
            raise UserMistakeError(f"--concurrency {concurrency}: {text!r} is no number of clients")
        loads.append(("closed", int(text)))
    for text in rate.split(",") if rate else ():
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0 < value < 1e6:
            raise UserMistakeError(f"--rate {rate}: {text!r} is no number of requests/s")
        loads.append(("poisson", value))
    if trace is not None:
        loads.append(("trace", trace))
    return loads or ([] if search is not None else [("closed", 1), ("closed", 8)])


def _batches(parts: str) -> tuple[int, ...]:
    from executor.errors import UserMistakeError

    found = []
    for text in parts.split(","):
        if not text.strip().isdecimal() or not 0 < int(text) <= 100_000:
            raise UserMistakeError(f"--parts {parts}: {text!r} is no batch size")
        found.append(int(text))
    return tuple(found)


def _parts(
    model: str, precision: str, batches: tuple[int, ...], context: int, json_file: Path | None
) -> None:
    """A step and its operators on the terminal, and with where and how they were timed in a file."""
    import json

    from executor.measure.inprocess import built_in
    from executor.measure.parts import step_parts
    from waferlag.files import write_whole
    from waferlag.measurement import provenance_of
    from waferlag.text.tables import say, table

    found = list(step_parts(built_in(model, precision), batches, context))
    step = {part.batch: part.timing.median for part in found if part.name == "step"}
    rows = [
        [
            part.name,
            str(part.batch),
            *(f"{1e3 * seconds:.4g}" for seconds in (part.timing.median, part.timing.low, part.timing.high)),
            str(part.calls),
            f"{part.calls * part.timing.median / step[part.batch]:.0%}",
        ]
        for part in found
    ]
    say(f"{model} in {precision}, {context} tokens of context")
    say(table(["operator", "batch", "ms", "p25", "p75", "calls", "of step"], rows, right=range(1, 7)))
    if json_file is not None:
        document = {
            "schema_version": 1,
            "model": model,
            "precision": precision,
            "provenance": provenance_of(None, None, sys.argv[1:]),
            "parts": [part.as_json() for part in found],
        }
        write_whole(json_file, json.dumps(document, indent=2) + "\n")
        say(f"JSON: {json_file}")


def _ids(prompts: str, vocab: int) -> int:
    from executor.errors import UnknownNameError

    if prompts != "ids":
        raise UnknownNameError("kind of prompts", prompts, ("words", "ids"))
    return vocab


def _measured(bench: "Bench", load: tuple[str, Any], isl: int, osl: int, requests: int, seed: int) -> "Run":
    from waferlag.settings import settings
    from waferlag.workload import workload

    kind, amount = load
    if kind == "closed":
        return bench.closed(isl, osl, amount, max(requests, amount))
    if kind == "poisson":
        return bench.poisson(isl, osl, amount, requests)
    found = workload(amount, settings().max_trace_bytes, requests=requests, seed=seed)
    return bench.trace(found.arrivals)


def _searched(
    bench: "Bench",
    bounds: "Bounds",
    share: float,
    isl: int,
    osl: int,
    requests: int,
    runs: "list[Run]",
) -> "list[Run]":
    """The run at the highest rate that keeps the bounds; what was tried goes to the terminal."""
    from executor.measure.points import highest_rate
    from waferlag.text.tables import say

    def run_at(rate: float) -> "Run":
        return _told(bench.poisson(isl, osl, rate, requests), bounds)

    alone = _told(bench.closed(isl, osl, 1, min(requests, 8)), bounds)
    if alone.attained(bounds) < share:
        say("no rate keeps the bounds: requests one at a time do not")
        return [] if runs else [alone]
    known = [run.metrics()["request_throughput"] for run in (*runs, alone) if run.outcomes["completed"]]
    found: HighestRate = highest_rate(run_at, bounds, share, start=max(known, default=1.0))
    if found.run is None:
        say(f"no rate keeps the bounds down to {found.tried[-1][0]:.3g} requests/s")
        return [] if runs else [alone]
    say(f"highest rate that keeps the bounds: {found.rate:.4g} requests/s")
    return [found.run]


def _told(run: "Run", bounds: "Bounds | None") -> "Run":
    """A measurement in a line on the terminal, as soon as it is there."""
    from executor.measure.points import outcomes_text
    from waferlag.text.tables import say

    load = f"{run.concurrency} clients" if run.concurrency is not None else f"{run.rate or 0:.3g} requests/s"
    metrics = run.metrics(bounds)
    figures = ", ".join(
        f"{name} {metrics[key]:.4g} {unit}"
        for name, key, unit in (
            ("TTFT", "mean_ttft_ms", "ms"),
            ("p99", "p99_ttft_ms", "ms"),
            ("TPOT", "mean_tpot_ms", "ms"),
            ("output", "output_throughput", "tokens/s"),
            ("goodput", "request_goodput", "requests/s"),
        )
        if key in metrics
    )
    say(f"{load}: {figures} ({outcomes_text(run)})")
    return run
