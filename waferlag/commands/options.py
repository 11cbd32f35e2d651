"""The options that commands share, each declared once, and groups of them that make one object."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from executor.errors import UserMistakeError

if TYPE_CHECKING:
    from executor.serving_metrics import Bounds
    from executor.steptime.workload import Setup
    from planner.scenario.load import Loaded

# The scenario
ScenarioName = Annotated[str, typer.Argument(help="Scenario file, a shipped one's name, or a plan's JSON.")]
With = Annotated[
    list[str] | None, typer.Option("--with", help="Override to lay over the scenario; may be given again.")
]

# Where results are computed, stored and written
Backend = Annotated[
    str | None,
    typer.Option(
        "--backend", help="Where replications are computed: processes or dask; the results are the same bits."
    ),
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="Address of the dask scheduler, as tcp://HOST:8786.")
]
Db = Annotated[
    str | None, typer.Option("--db", help="sqlite:///FILE or postgresql://USER@HOST/NAME; default: WAFERLAG_DB.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the whole result here as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]

# What is served where
EngineVersion = Annotated[str, typer.Option("--engine-version", help="Version of the engine.")]
Tp = Annotated[int, typer.Option("--tp", help="Tensor parallel GPUs.")]
Pp = Annotated[int, typer.Option("--pp", help="Pipeline stages.")]
AttentionDp = Annotated[int, typer.Option("--attention-dp", help="Data parallel ranks of attention.")]
Figures = Annotated[
    list[str] | None, typer.Option("--figure", help="A GPU figure nobody published, NAME=VALUE; may be given again.")
]

# The profile of what was measured
WeightPrecision = Annotated[str, typer.Option("--precision", help="Precision of the weights.")]
CachePrecision = Annotated[str, typer.Option("--kv-precision", help="bf16 or fp8.")]

# Requests, and the bounds they must meet
Goodput = Annotated[
    list[str] | None, typer.Option("--goodput", help="Bounds in ms, like 'ttft:2000 tpot:50'; may be given again.")
]
Search = Annotated[
    float | None, typer.Option("--search", help="Find the highest rate at which so many per cent meet --goodput.")
]


@dataclass(frozen=True)
class Asked:
    """The scenario that a command works on."""

    scenario: ScenarioName
    with_: With = None
    replications: Annotated[int | None, typer.Option("--replications", help="Fresh futures to judge by.")] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of all random numbers.")] = None

    @property
    def overrides(self) -> list[str]:
        """Overrides laid over the scenario, in their order."""
        return self.with_ or []

    def opened(self, training_futures: int | None = None) -> "Loaded":
        """The checked scenario, within the limits that the settings put on work.

        :raises UserMistakeError: as :func:`planner.open_scenario.open_scenario`, or it is beyond a limit.
        """
        from planner.open_scenario import open_scenario
        from waferlag.settings import settings

        numbers = {"replications": self.replications, "seed": self.seed, "training_futures": training_futures}
        limits = settings()
        loaded = open_scenario(self.scenario, self.overrides, **numbers, max_bytes=limits.max_trace_bytes)
        limits.allow(loaded.scenario)
        return loaded


@dataclass(frozen=True)
class Served:
    """What is served where: a model on one replica's GPUs."""

    model: Annotated[str | None, typer.Option("--model", help="Hugging Face id, short name, or a config.json.")] = None
    gpu: Annotated[str | None, typer.Option("--gpu", help="Accelerator, for example H20-96GB.")] = None
    precision: Annotated[str, typer.Option("--precision", help="bf16, fp8, int8, int4 or fp4.")] = "bf16"
    engine: Annotated[str, typer.Option("--engine", help="sglang, trtllm, vllm, waferlag, generic.")] = "generic"
    engine_version: EngineVersion = ""
    tp: Tp = 1
    pp: Pp = 1
    attention_dp: AttentionDp = 1
    moe_tp: Annotated[int | None, typer.Option("--moe-tp", help="Tensor parallel cut of the experts.")] = None
    moe_ep: Annotated[int | None, typer.Option("--moe-ep", help="Expert parallel cut.")] = None
    kv_precision: Annotated[
        str | None, typer.Option("--kv-precision", help="bf16 or fp8; without it the engine's default.")
    ] = None
    kv_tokens: Annotated[
        float | None, typer.Option("--kv-tokens", help="KV cache tokens from the engine's start-up log.")
    ] = None
    draft_tokens: Annotated[
        int, typer.Option("--draft-tokens", help="Tokens drafted per step (speculative decoding, MTP).")
    ] = 0
    acceptance: Annotated[float, typer.Option("--acceptance", help="Chance that a drafted token is accepted.")] = 0.0

    def setup(self, otherwise: str, figures: dict[str, float] | None = None) -> "Setup":
        """The set-up of these names; ``figures`` as :func:`executor.estimate.calibration.setup_of` takes them.

        :raises UserMistakeError: a name is unknown, or model or GPU is missing: then the message is ``otherwise``.
        """
        from executor.estimate.calibration import setup_of
        from executor.model.cost import Layout
        from executor.steptime.workload import Drafting

        if self.model is None or self.gpu is None:
            raise UserMistakeError(otherwise)
        layout = Layout(self.tp, self.pp, self.attention_dp, self.moe_tp, self.moe_ep)
        return setup_of(
            *(self.model, self.gpu, self.precision, self.engine, layout),
            kv_precision=self.kv_precision,
            kv_tokens=self.kv_tokens,
            drafting=Drafting(self.draft_tokens, self.acceptance) if self.draft_tokens else None,
            figures=figures,
        )


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the fields of its group (``Asked``, ``Served``) as options, in the group's place."""
    groups = {
        name: kind for name, kind in get_type_hints(command).items() if isinstance(kind, type) and is_dataclass(kind)
    }
    options: list[Parameter] = []
    for each in signature(command).parameters.values():
        options += signature(groups[each.name]).parameters.values() if each.name in groups else [each]

    @wraps(command)
    def called(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(**given)

    named = [option.replace(kind=Parameter.KEYWORD_ONLY) for option in options]
    called.__signature__ = Signature(named)  # type: ignore[attr-defined]
    called.__annotations__ = {option.name: option.annotation for option in options}
    return called


def number(text: str) -> float:
    """The number that a text is, or none (NaN)."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def bounds_to_search(goodput: list[str] | None, search: float | None) -> "Bounds | None":
    """The bounds of ``--goodput``, None without them; ``--search`` needs them and takes per cent.

    :raises UserMistakeError: the bounds cannot be read, or ``--search`` is given without them or is no per cent.
    """
    from executor.serving_metrics import bounds_of

    bounds = bounds_of(goodput) if goodput else None
    if search is not None and (bounds is None or not 0 < search <= 100):
        raise UserMistakeError("--search takes a share in per cent, 0 to 100, and needs --goodput")
    return bounds
