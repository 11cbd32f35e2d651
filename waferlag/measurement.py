"""What is measured, and where: an endpoint or the built-in engine, asked by the command line or by a run."""

import datetime as dt
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from executor.errors import UnknownNameError, UserMistakeError
from waferlag import __version__

if TYPE_CHECKING:
    from executor.measure.addresses import AllowedHosts
    from executor.measure.endpoint import Endpoint
    from executor.measure.loadgen import Run
    from executor.measure.points import Bench
    from executor.profile import ServingProfile

WARMUP = 2
"""Requests before each measurement of a run that are not counted."""


def measured_profile(args: dict[str, Any], tell: Callable[[float, str], None]) -> "ServingProfile":
    """What a run of kind measure asks: closed loops at ``concurrency`` (a list) on an endpoint or this machine's GPU.

    ``args``: model, endpoint (None: the built-in engine), gpu, engine, precision, layout (tp, pp, attention_dp), isl,
    osl, requests, concurrency. The endpoint is one of the setting ``endpoint_hosts``. No key is sent to it: its address
    came from a page, and this process's own key is for whoever set it.

    Raises ExecutorError or UserMistakeError with the reason.
    """
    from executor.measure.points import profile_of
    from executor.model.cost import Layout
    from executor.profile import Provenance

    tell(0.0, "opening what is measured")
    return profile_of(
        _closed_loops(_bench(args), args, tell),
        **{name: args[name] for name in ("model", "gpu", "precision", "engine")},
        engine_version=own_version(args["endpoint"]),
        layout=Layout(**args["layout"]),
        kv_precision="bf16",
        provenance=Provenance(**provenance_of(args["endpoint"], None, _as_command(args))),
    )


def _bench(args: dict[str, Any]) -> "Bench":
    from executor.measure.addresses import hosts_of
    from waferlag.settings import settings

    if args["endpoint"] is None:
        return built_in_bench(args["model"], args["precision"], WARMUP, seed=0)
    # Judged here as well as on the page: the setting may be another one by now, or the name point elsewhere.
    hosts = hosts_of(settings().endpoint_hosts)
    keyless = endpoint_of(args["endpoint"], None, "completions", "", timeout=600.0, ignore_eos=True, hosts=hosts)
    return endpoint_bench(keyless, None, WARMUP, seed=0)


def _closed_loops(bench: "Bench", args: dict[str, Any], tell: Callable[[float, str], None]) -> "list[Run]":
    runs = []
    for at, clients in enumerate(args["concurrency"]):
        tell(at / len(args["concurrency"]), f"{clients} clients")
        runs.append(bench.closed(args["isl"], args["osl"], clients, max(args["requests"], clients)))
    return runs


def _as_command(args: dict[str, Any]) -> list[str]:
    """The command that measures the same."""
    where = [] if args["endpoint"] is None else ["--endpoint", args["endpoint"]]
    return [
        *("measure", args["model"], *where, "--gpu", args["gpu"], "--engine", args["engine"]),
        *("--precision", args["precision"], "--isl", str(args["isl"]), "--osl", str(args["osl"])),
        *("--concurrency", ",".join(map(str, args["concurrency"])), "--requests", str(args["requests"])),
    ]


def endpoint_of(
    url: str,
    served_as: str | None,
    api: str,
    key_variable: str,
    timeout: float,
    ignore_eos: bool,
    hosts: "AllowedHosts | None" = None,
) -> "Endpoint":
    """The endpoint as asked for; its model's name from the server where none is given. ``hosts`` None: any host."""
    from pydantic import SecretStr

    from executor.measure.endpoint import PATHS, Endpoint

    if api not in PATHS:
        raise UnknownNameError("API", api, PATHS)
    extra = {"ignore_eos": True} if ignore_eos else {}
    found = Endpoint(url, served_as or "", api, SecretStr(os.environ.get(key_variable, "")), timeout, extra, hosts)
    return found if served_as is not None else replace(found, model=_first_model(found))


def _first_model(endpoint: "Endpoint") -> str:
    """The first model that the endpoint lists."""
    import asyncio

    from executor.measure.endpoint import Client

    async def listed() -> tuple[str, ...]:
        async with Client(replace(endpoint, timeout_s=min(endpoint.timeout_s, 30.0))) as client:
            return await client.models()

    names = asyncio.run(listed())
    if not names:
        raise UserMistakeError(f"{endpoint.url} lists no model: give its name by --served-as")
    return names[0]


def endpoint_bench(endpoint: "Endpoint", vocab: int | None, warmup: int, seed: int) -> "Bench":
    """Requests to an endpoint: words, or token ids below ``vocab``."""
    from contextlib import asynccontextmanager

    from executor.measure.endpoint import Client
    from executor.measure.points import Bench, Dummy

    @asynccontextmanager
    async def opened() -> Any:
        async with Client(endpoint) as client:
            yield client.ask

    return Bench(opened, Dummy(vocab, seed), warmup)


def built_in_bench(model: str, precision: str, warmup: int, seed: int) -> "Bench":
    """The built-in engine in this process: weights of a directory, or dummies of a built-in model."""
    from executor.measure.inprocess import asking, built_in
    from executor.measure.points import Bench, Dummy

    engine = built_in(model, precision)
    return Bench(lambda: asking(engine), Dummy(engine.spec.vocab, seed), warmup)


def own_version(endpoint: str | None) -> str:
    """The version of the built-in engine; of an endpoint nothing is known."""
    return __version__ if endpoint is None else ""


def provenance_of(endpoint: str | None, device: str | None, command: Sequence[str]) -> dict[str, str]:
    """Where, when, by what command; the machine's state only where the server may be on this machine."""
    from urllib.parse import urlsplit

    from executor.measure.machine import code_commit, this_machine

    here = endpoint is None or urlsplit(endpoint).hostname in ("localhost", "127.0.0.1", "::1")
    machine = this_machine() if here else None
    return {
        "source": f"waferlag {__version__} measure" + ("" if endpoint is None else " --endpoint"),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "device": device or (machine.device if machine else "another machine, not stated"),
        "driver": machine.driver if machine else "",
        "clocks": machine.clocks if machine else "",
        "commit": code_commit(),
        "command": shlex.join(["waferlag", *command]),
    }
