"""`waferlag measure`: closed and open loops on an endpoint or the built-in engine, kept as a serving profile; and a
step of that engine with its operators."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from executor.errors import UnknownNameError, UserMistakeError
from waferlag.commands.options import (
    AttentionDp,
    CachePrecision,
    Db,
    EngineVersion,
    Goodput,
    JsonFile,
    Pp,
    Search,
    Tp,
    WeightPrecision,
    bounds_to_search,
    grouped,
    number,
)
from waferlag.commands.profiles import store_profile
from waferlag.files import report_json, require_folders
from waferlag.measurement import built_in_bench, endpoint_bench, endpoint_of, own_version, provenance_of
from waferlag.text.tables import say, table, wrapped

if TYPE_CHECKING:
    from pathlib import Path

    from executor.measure.loadgen import Run
    from executor.measure.parts import Part
    from executor.measure.points import Bench
    from executor.profile import ServingProfile
    from executor.serving_metrics import Bounds

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Server:
    """The endpoint that is measured, and how it is asked; without ``endpoint`` the built-in engine."""

    endpoint: Annotated[str | None, typer.Option("--endpoint", help="OpenAI-compatible server, http://HOST:PORT.")] = (
        None
    )
    served_as: Annotated[
        str | None, typer.Option("--served-as", help="Name in the request; without it the server's first.")
    ] = None
    api: Annotated[str, typer.Option("--api", help="completions or chat.")] = "completions"
    prompts: Annotated[str, typer.Option("--prompts", help="words, or ids below --vocab.")] = "words"
    vocab: Annotated[int, typer.Option("--vocab", min=1, help="Ids of --prompts ids are below this.")] = 30_000
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos/--may-stop", help="Ask for answers of full length (vLLM, SGLang).")
    ] = True
    key_variable: Annotated[
        str, typer.Option("--key-variable", help="Environment variable that holds the API key.")
    ] = "OPENAI_API_KEY"
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds after which an answer is slow.")] = 600.0
    warmup: Annotated[int, typer.Option("--warmup", min=0, help="Requests before it that do not count.")] = 2

    def bench(self, model: str, precision: str, seed: int) -> "Bench":
        """What sends the requests; ``model`` and ``precision`` are the built-in engine's."""
        if self.endpoint is None:
            return built_in_bench(model, precision, self.warmup, seed)
        asked = endpoint_of(self.endpoint, self.served_as, self.api, self.key_variable, self.timeout, self.ignore_eos)
        if self.prompts not in ("words", "ids"):
            raise UnknownNameError("kind of prompts", self.prompts, ("words", "ids"))
        return endpoint_bench(asked, None if self.prompts == "words" else self.vocab, self.warmup, seed)


@dataclass(frozen=True)
class Loads:
    """The loads that are measured one after another."""

    isl: Annotated[int, typer.Option("--isl", min=1, help="Prompt tokens.")] = 1024
    osl: Annotated[int, typer.Option("--osl", min=1, help="Output tokens.")] = 256
    concurrency: Annotated[str | None, typer.Option("--concurrency", help="Closed loops: clients, like 1,8,32.")] = None
    rate: Annotated[str | None, typer.Option("--rate", help="Open loops: requests/s, Poisson, like 0.5,1,2.")] = None
    trace: Annotated[
        str | None, typer.Option("--trace", help="Open loop: a shipped trace or a file, at its own times.")
    ] = None
    requests: Annotated[int, typer.Option("--requests", min=1, help="Requests of each measurement.")] = 64
    seed: Annotated[int, typer.Option("--seed", min=0, help="Root of prompts and arrival times.")] = 0

    def closed(self, clients: int, bench: "Bench") -> "Run":
        """Equal requests from so many clients."""
        return bench.closed(self.isl, self.osl, clients, max(self.requests, clients))

    def poisson(self, rate: float, bench: "Bench") -> "Run":
        """Equal requests at random times, ``rate`` a second on average."""
        return bench.poisson(self.isl, self.osl, rate, self.requests)

    def observed(self, trace: str, bench: "Bench") -> "Run":
        """The requests of a trace at its own times."""
        from waferlag.settings import settings
        from waferlag.workload import workload

        found = workload(trace, settings().max_trace_bytes, requests=self.requests, seed=self.seed)
        return bench.trace(found.arrivals)

    def listed(self, searched: bool) -> "list[Callable[[Bench], Run]]":
        """What to measure, in order; one client and eight where nothing is asked for and nothing searched."""
        clients = _clients("--concurrency", self.concurrency, "number of clients") if self.concurrency else ()
        rates = self.rate.split(",") if self.rate else ()
        jobs: list[Callable[[Bench], Run]] = [partial(self.closed, each) for each in clients]
        jobs += [partial(self.poisson, self._rate(text)) for text in rates]
        jobs += [] if self.trace is None else [partial(self.observed, self.trace)]
        return jobs or ([] if searched else [partial(self.closed, each) for each in (1, 8)])

    def _rate(self, text: str) -> float:
        value = number(text)
        if not 0 < value < 1e6:
            raise UserMistakeError(f"--rate {self.rate}: {text!r} is no number of requests/s")
        return value


@grouped
def measure(
    model: Annotated[
        str, typer.Argument(help="The model's name in the profile; without --endpoint, or a weights directory.")
    ],
    server: Server,
    loads: Loads,
    goodput: Goodput = None,
    search: Search = None,
    parts: Annotated[
        str | None,
        typer.Option(
            "--parts",
            help="Built-in engine: time one step and its operators at these batch sizes, like 1,8,32,"
            " every sequence at --isl tokens of context, instead of serving requests.",
        ),
    ] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", help="GPU that serves, for the profile.")] = None,
    precision: WeightPrecision = "bf16",
    kv_precision: CachePrecision = "bf16",
    engine: Annotated[str | None, typer.Option("--engine", help="Engine that serves, for the profile.")] = None,
    engine_version: EngineVersion = "",
    tp: Tp = 1,
    pp: Pp = 1,
    attention_dp: AttentionDp = 1,
    device: Annotated[
        str | None, typer.Option("--device", help="Device and driver where the server is another machine.")
    ] = None,
    json_file: JsonFile = None,
    store: Annotated[bool, typer.Option("--store/--no-store", help="Keep it in the database.")] = True,
    db: Db = None,
) -> None:
    """Measure what an endpoint, or the built-in engine, serves; keep it as a serving profile."""
    from executor.measure.machine import this_machine
    from executor.measure.points import profile_of
    from executor.model.cost import Layout
    from executor.profile import Provenance

    require_folders([json_file])
    bounds = bounds_to_search(goodput, search)
    if parts is not None:
        if server.endpoint is not None:
            raise UserMistakeError("--parts looks into the built-in engine: leave --endpoint out")
        _parts(model, precision, _clients("--parts", parts, "batch size"), loads.isl, json_file)
        return
    if server.endpoint is not None and (gpu is None or engine is None):
        raise UserMistakeError("say what serves behind the endpoint, for the profile: --gpu and --engine")
    runs = _runs(server, loads, model, precision, bounds, search)
    profile = profile_of(
        runs,
        model=model,
        gpu=gpu or this_machine().device,
        precision=precision,
        engine=engine or "waferlag",
        engine_version=engine_version or own_version(server.endpoint),
        layout=Layout(tp, pp, attention_dp),
        kv_precision=kv_precision,
        provenance=Provenance(**provenance_of(server.endpoint, device, _own_words())),
        bounds=bounds,
    )
    _hand_over(profile, json_file, store, db)


def _runs(
    server: Server, loads: Loads, model: str, precision: str, bounds: "Bounds | None", search: float | None
) -> "list[Run]":
    """Every measurement, in order, told as soon as it is there."""
    jobs = loads.listed(searched=search is not None)
    bench = server.bench(model, precision, loads.seed)
    runs = [_told(job(bench), bounds) for job in jobs]
    if search is not None and bounds is not None:
        runs += _searched(bench, bounds, search / 100, loads, runs)
    return runs


def _hand_over(profile: "ServingProfile", json_file: "Path | None", store: bool, db: str | None) -> None:
    for line in wrapped(profile.notes):
        say(line)
    report_json(json_file, profile.to_json())
    if store:
        say(f"profile {store_profile(profile, db)}")


def _clients(option: str, given: str, what: str) -> tuple[int, ...]:
    """Whole numbers from 1 to 100,000 from words like ``1,8,32``."""
    for text in given.split(","):
        if not text.strip().isdecimal() or not 0 < int(text) <= 100_000:
            raise UserMistakeError(f"{option} {given}: {text!r} is no {what}")
    return tuple(map(int, given.split(",")))


def _parts(model: str, precision: str, batches: tuple[int, ...], context: int, json_file: "Path | None") -> None:
    """A step and its operators on the terminal, and with where and how they were timed in a file."""
    from executor.measure.inprocess import built_in
    from executor.measure.parts import step_parts

    found = list(step_parts(built_in(model, precision), batches, context))
    say(f"{model} in {precision}, {context} tokens of context")
    say(_parts_table(found))
    document = {
        "schema_version": SCHEMA_VERSION,
        "model": model,
        "precision": precision,
        "provenance": provenance_of(None, None, _own_words()),
        "parts": [asdict(part) for part in found],
    }
    report_json(json_file, document)


def _own_words() -> list[str]:
    """The command as it was given, without the database: its address may hold a password."""
    words = sys.argv[1:]
    after = {at + 1 for at, word in enumerate(words) if word == "--db"}
    return [word for at, word in enumerate(words) if at not in after and word.partition("=")[0] != "--db"]


def _parts_table(found: "Sequence[Part]") -> str:
    """Each operator with its median and quartiles, and its share of the step."""
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
    return table(["operator", "batch", "ms", "p25", "p75", "calls", "of step"], rows, right=range(1, 7))


def _searched(bench: "Bench", bounds: "Bounds", share: float, loads: Loads, runs: "list[Run]") -> "list[Run]":
    """The run at the highest rate that keeps the bounds; what was tried goes to the terminal."""
    from executor.measure.points import highest_rate

    def run_at(rate: float) -> "Run":
        return _told(loads.poisson(rate, bench), bounds)

    alone = _told(bench.closed(loads.isl, loads.osl, 1, min(loads.requests, 8)), bounds)
    if alone.attained(bounds) < share:
        say("no rate keeps the bounds: requests one at a time do not")
        return [] if runs else [alone]
    known = [run.metrics()["request_throughput"] for run in (*runs, alone) if run.outcomes["completed"]]
    found = highest_rate(run_at, bounds, share, start=max(known, default=1.0))
    if found.run is None:
        say(f"no rate keeps the bounds down to {found.tried[-1][0]:.3g} requests/s")
        return [] if runs else [alone]
    say(f"highest rate that keeps the bounds: {found.rate:.4g} requests/s")
    return [found.run]


def _told(run: "Run", bounds: "Bounds | None") -> "Run":
    """A measurement in a line on the terminal, as soon as it is there."""
    from executor.measure.points import outcomes_text

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
