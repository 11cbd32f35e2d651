"""Pools of a scenario file: the model served, its layouts, its traffic and growth, and the promise to users."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from planner.scenario.fields import Model, Name, Place, Positive, Precision, Share, Tokens


class Layout(Model):
    """How one replica spreads over GPUs."""

    tp: Annotated[int, Field(ge=1, le=1024)] = 1
    """Tensor-parallel ranks."""
    pp: Annotated[int, Field(ge=1, le=128)] = 1
    """Pipeline stages."""
    attention_dp: Annotated[int, Field(ge=1, le=1024)] = 1
    """Data-parallel attention ranks."""
    moe_tp: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Tensor-parallel ranks inside the experts. None: what the other figures leave."""
    moe_ep: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Expert-parallel ranks. None: 1."""
    precision: Precision | None = None
    """Data type of the weights on this kind of GPU. None: the pool's."""
    engine: Name | None = None
    """Serving engine on this kind of GPU. None: the pool's."""

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tp * self.pp * self.attention_dp


class Load(Model):
    """The traffic of a pool."""

    trace: str | dict[str, Any]
    """Name of a shipped trace, a trace file beside the scenario, or a trace summary written out."""
    requests_per_second: Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
    """Mean arrival rate in the first month."""
    scale: Annotated[float, Field(ge=1e-3, le=1e3, allow_inf_nan=False)] = 1.0
    """Multiplies the arrival rate; overrides use it."""
    input_tokens: Tokens | None = None
    """Mean input length. None: the trace's own; a figure scales the trace's lengths."""
    output_tokens: Tokens | None = None
    """Mean output length. None: the trace's own; a figure scales the trace's lengths."""
    prefix_reuse: Share | None = None
    """Share of input tokens served from the prefix cache. None: the trace's own where it is known, else 0."""
    busy_hour: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] | None = None
    """Busiest hour of the week over the mean. None: the trace's own."""


class Growth(Model):
    """Growth of the load per month as a ratio; the three figures are read as P10, P50 and P90."""

    low: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 1.05
    """One future in ten grows slower than this."""
    base: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 1.12
    """Half of the futures grow slower than this."""
    high: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = 1.22
    """One future in ten grows faster than this."""
    half_life_months: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 12
    """Growth slows: the logarithm of the monthly ratio halves every so many months."""
    shared: Share = 0.5
    """Correlation of this pool's growth with that of the whole market, hence with the other pools."""

    @model_validator(mode="after")
    def _in_order(self) -> "Growth":
        if not self.low <= self.base <= self.high:
            raise ValueError(f"low, base and high must rise (got {self.low}, {self.base}, {self.high})")
        return self


class Slo(Model):
    """The promise to users: at this percentile no request is slower than the bounds."""

    ttft_ms: Positive
    """Time to first token, queueing included."""
    tpot_ms: Positive
    """Time per output token after the first."""
    percentile: Annotated[float, Field(ge=0.5, le=0.999, allow_inf_nan=False)] = 0.95
    """Share of requests that must meet both bounds."""


class Pool(Model):
    """One model served to one SLO."""

    name: Name
    """The pool's name."""
    model: Place
    """Hugging Face id or short name of the model, for example DeepSeek-R1 or Qwen/Qwen3-32B; or its config.json, or a
    folder with one, in the scenario's folder or below. A link that leads out of it is refused; a plan's JSON that names
    such a file is read in that folder alone."""
    precision: Precision = "bf16"
    """Data type of the weights."""
    engine: Name = "sglang"
    """Serving engine: sglang, trtllm, vllm, waferlag, or generic for one without a record."""
    layouts: Annotated[dict[Name, Layout], Field(min_length=1, max_length=50)]
    """How one replica is laid out on each kind of GPU this pool may use; the first is the unit of account."""
    load: Load
    """The traffic."""
    growth: Growth = Growth()
    """How the traffic grows."""
    slo: Slo
    """The promise to users."""
    headroom: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] = 0.1
    """Spare capacity above the busy hour, as a share of it."""
