"""What a scenario file may say. Every model is frozen and closed; its docstrings are the reference page.

Lists of pools, sources and gates are keyed by their ``name``: an override changes one entry by naming it.
"""

import datetime as dt
from calendar import monthrange
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from planner.reference.exchange import rate

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A share, between 0 and 1."""
Days = Annotated[float, Field(ge=0, le=3660, allow_inf_nan=False)]
"""A span of time as a scenario file writes it; the simulation's clock counts integer minutes."""
Positive = Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
Tokens = Annotated[float, Field(ge=1, le=1e7, allow_inf_nan=False)]
"""A mean length of requests or answers."""
Count = Annotated[int, Field(ge=0, le=10_000_000)]


def _on_one_line(name: str) -> str:
    """A name is shown in tables, sentences and file names: no control characters, no turning of the text."""
    joiners = "\u200c\u200d"  # parts of emoji and of words in several scripts
    odd = next((c for c in name if not c.isprintable() and c not in joiners), None)
    if odd is not None:
        raise ValueError(f"must be printable on one line; it holds U+{ord(odd):04X}")
    if name != name.strip():
        raise ValueError("must not begin or end with a blank")
    return name


Name = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_on_one_line)]
GateState = Literal["closed", "promised", "conditional", "open"]
"""closed: stopped. promised: announced, nothing moves yet. conditional: case by case. open: free."""
Precision = Literal["bf16", "fp8", "int8", "int4", "fp4"]
Authority = Literal["us", "cn", "vendor"]
"""us: the export licence. cn: the import side. vendor: the maker's own production switch."""
Passage = Literal["pass", "hold", "refuse"]
"""pass: goes on. hold: waits until the gate lets it pass. refuse: turned away, and its order ends."""
Fate = Literal["continue", "hold", "revoke"]
"""What becomes of goods already on their way when a gate enters a state."""


class Model(BaseModel):
    """A frozen, closed part of the scenario file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads yes, no, on and off as booleans, which would pass as 1 and 0."""
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, bool) and field.annotation is not bool:
            raise ValueError("yes and no are no value here; quote the word if a text is meant")
        return value


def _money_from_number(value: Any) -> Any:
    """A bare number is an amount in the scenario's currency."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"amount": value}
    return value


_Amount = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]


class _Money(Model):
    amount: _Amount
    """How much."""
    currency: Annotated[str, Field(min_length=3, max_length=3, pattern="^[A-Z]{3}$")] | None = None
    """ISO 4217 code. None: the scenario's own currency; another one needs a rate under ``exchange``."""


Money = Annotated[_Money, BeforeValidator(_money_from_number, json_schema_input_type=_Amount | _Money)]


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
    model: Name
    """Hugging Face id or short name of the model, for example DeepSeek-R1 or Qwen/Qwen3-32B."""
    precision: Precision = "bf16"
    """Data type of the weights."""
    engine: Name = "sglang"
    """Serving engine: sglang, trtllm, vllm, waferlag, or generic for one without a record."""
    layouts: Annotated[dict[str, Layout], Field(min_length=1)]
    """How one replica is laid out on each kind of GPU this pool may use; the first is the unit of account."""
    load: Load
    """The traffic."""
    growth: Growth = Growth()
    """How the traffic grows."""
    slo: Slo
    """The promise to users."""
    headroom: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] = 0.1
    """Spare capacity above the busy hour, as a share of it."""


class InService(Model):
    """GPUs racked and serving on the first day."""

    sku: Name
    """Kind of GPU, as in `waferlag scenarios --gpus`."""
    pool: Name
    """The pool they serve."""
    gpus: Count
    """How many."""
    failures_per_year: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] = 0.09
    """Failures per GPU and year that take it out of service. Default: 148 GPU and 72 memory faults in 54 days of 16,384
    H100, Meta's Llama 3 paper, Jul 2024 (official)."""
    repair_days: Days = 14
    """From failure to service again. Default: ours (estimate, Nov 2026)."""
    replaced_share: Share = 0.0
    """Share of the failures that no repair mends: each orders one GPU from `replacement`. No figure is public; the 148
    of 220 faults that were not the memory's are the most that the Llama 3 paper leaves room for."""
    replacement: Name | None = None
    """Purchase from which replacements come, through its stages, lines and gates; of the same kind of GPU."""
    spares: Count = 0
    """GPUs on the shelf on the first day, beside those in service. A failure beyond repair takes one, and the one
    ordered for it fills the shelf again."""
    ready_rate: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] | None = None
    """Instead of a number: as many spares as keep one on the shelf with this probability when a month begins."""
    in_service_since: Annotated[dt.date, Field(ge=dt.date(2000, 1, 1), le=dt.date(2199, 12, 31))] | None = (
        None
    )
    """Day on which they began to serve, for their age."""
    retire_after_months: Annotated[int, Field(ge=1, le=240)] | None = None
    """Age at which they are taken out of service; needs `in_service_since`. None: they stay."""
    retire_on: dt.date | None = None
    """Instead of an age: the day on which they are taken out of service."""

    @model_validator(mode="after")
    def _whole(self) -> "InService":
        if (self.replaced_share > 0) != (self.replacement is not None):
            raise ValueError("`replaced_share` and `replacement` go together: how many, and from where")
        if (self.spares or self.ready_rate) and not self.replaced_share:
            raise ValueError("spares wait for failures beyond repair: give `replaced_share` too")
        if self.spares and self.ready_rate:
            raise ValueError("give either `spares` or `ready_rate`")
        if self.retire_after_months is not None and self.in_service_since is None:
            raise ValueError("`retire_after_months` needs `in_service_since`")
        if self.retire_after_months is not None and self.retire_on is not None:
            raise ValueError("give either `retire_after_months` or `retire_on`")
        return self

    @property
    def retires(self) -> dt.date | None:
        """The day on which they are taken out of service."""
        if self.retire_after_months is None or self.in_service_since is None:
            return self.retire_on
        months = self.in_service_since.month - 1 + self.retire_after_months
        year, month = self.in_service_since.year + months // 12, months % 12 + 1
        return dt.date(year, month, min(self.in_service_since.day, monthrange(year, month)[1]))


class StageLaw(Model):
    """One stage of a route of the user's own: a triangular law in days."""

    name: Name
    """The stage's name."""
    low: Days
    """Shortest."""
    mode: Days
    """Most likely."""
    high: Days
    """Longest."""
    yield_share: Share = 1.0
    """Most likely share of the pieces started that come out good. The rest is scrapped: fewer GPUs arrive, and only
    those are paid for."""
    yield_low: Share | None = None
    """Lowest such share; what a process yields is drawn once for each future. None: `yield_share`."""
    yield_high: Share | None = None
    """Highest such share. None: `yield_share`."""

    @model_validator(mode="after")
    def _in_order(self) -> "StageLaw":
        if not self.low <= self.mode <= self.high:
            raise ValueError(f"low, mode and high must rise (got {self.low}, {self.mode}, {self.high})")
        low, mode, high = self.yields
        if not low <= mode <= high:
            raise ValueError(f"yield_low, yield_share and yield_high must rise (got {low}, {mode}, {high})")
        return self

    @property
    def yields(self) -> tuple[float, float, float]:
        """Lowest, most likely and highest share of good pieces."""
        low = self.yield_share if self.yield_low is None else self.yield_low
        return low, self.yield_share, self.yield_share if self.yield_high is None else self.yield_high


class Purchase(Model):
    """GPUs that are bought."""

    kind: Literal["purchase"] = "purchase"
    """purchase."""
    name: Name
    """The source's name."""
    sku: Name
    """Kind of GPU."""
    pools: list[Name] | None = None
    """Pools it may serve. None: every pool with a layout for this kind of GPU."""
    entry: Literal["finished-stock", "part-finished", "new-wafers", "domestic"] = "new-wafers"
    """Where the goods stand when the order is accepted; it chooses the shipped chain of stages."""
    route: list[StageLaw] | None = None
    """Stages of the maker's own instead of the shipped chain; freight, customs and installation follow."""
    lead_time_factor: Annotated[float, Field(ge=0.05, le=20, allow_inf_nan=False)] = 1.0
    """Every stage from acceptance to service takes so many times as long, on the same luck; waits at gates and in
    lines do not."""
    gates: list[Name] = []
    """Gates the goods must pass."""
    price: Money
    """Per GPU, with its share of the server."""
    price_change_per_month: Annotated[float, Field(gt=0.5, lt=2, allow_inf_nan=False)] = 1.0
    """Ratio of the price from one month to the next."""
    prepayment: Share = 0.3
    """Share of the price paid when the order is accepted; the rest is paid on delivery."""
    refund: Share = 1.0
    """Share of what was paid that comes back if a gate ends the order."""
    binding: bool = False
    """The order cannot be cancelled: if a gate ends it after acceptance, the whole price falls due all the same, and
    `refund` is a share of that."""
    order_valid_days: Days = 365
    """An order that nobody has accepted after so long lapses, at no cost."""
    lines: dict[str, Name] = {}
    """Where stages wait for capacity: name of a stage of the route -> name of an entry under `lines`."""
    first_delivery: bool = False
    """Goods flow only some time after every government gate first lets them pass; learnt from the gate history."""
    lot_gpus: Annotated[int, Field(ge=1, le=100_000)] = 8
    """GPUs in one lot: orders are whole lots."""
    max_gpus_per_month: Count | None = None
    """The most that can be ordered in a month. None: no limit."""
    max_gpus_total: Count | None = None
    """The most that can be ordered in all. None: no limit."""
    earliest_order: dt.date | None = None
    """First day on which an order can be placed. None: the scenario's start."""
    latest_order: dt.date | None = None
    """Last day on which an order can be placed. None: the horizon."""
    failures_per_year: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] = 0.09
    """Failures per GPU and year that take it out of service; default as for the fleet's."""
    repair_days: Days = 14
    """From failure to service again; default as for the fleet's."""


class Rental(Model):
    """GPUs that are rented: reserved ahead month by month, or taken on the spot when demand asks for them."""

    kind: Literal["rental"] = "rental"
    """rental."""
    name: Name
    """The source's name."""
    sku: Name
    """Kind of GPU."""
    pools: list[Name] | None = None
    """Pools it may serve. None: every pool with a layout for this kind of GPU."""
    price_per_gpu_hour: Money
    """Reserved capacity."""
    spot_price_per_gpu_hour: Money | None = None
    """Capacity taken on the spot. None: 1.5 times the reserved price."""
    price_change_per_month: Annotated[float, Field(gt=0.5, lt=2, allow_inf_nan=False)] = 1.0
    """Ratio of the prices from one month to the next."""
    notice_days: Days = 30
    """From reservation to use."""
    lot_gpus: Annotated[int, Field(ge=1, le=100_000)] = 8
    """GPUs in one lot: reservations are whole lots."""
    max_gpus: Count = 0
    """The most that can be reserved at a time."""
    max_spot_gpus: Count = 0
    """The most that can be had on the spot at a time."""


def _kind_of_source(value: Any) -> Any:
    """A source without a kind is a purchase, unless it has an hourly price."""
    if not isinstance(value, dict):
        return getattr(value, "kind", None)
    return value.get("kind", "rental" if "price_per_gpu_hour" in value else "purchase")


Source = Annotated[
    Annotated[Purchase, Tag("purchase")] | Annotated[Rental, Tag("rental")],
    Discriminator(
        _kind_of_source,
        custom_error_type="source_kind",
        custom_error_message="must be a mapping of fields whose `kind` is purchase or rental",
    ),
]


class Effect(Model):
    """What a state of a gate does to goods. Each field left out keeps the default of the gate's authority."""

    order: Passage | None = None
    """At order acceptance."""
    release: Passage | None = None
    """At release from the factory."""
    transit: Passage | None = None
    """At the start of freight."""
    receipt: Passage | None = None
    """At customs."""
    review_days: Days | None = None
    """Mean review time of an order accepted in this state (exponential)."""
    approval: Share | None = None
    """Probability that the review ends well; else the order ends."""
    fee: Share | None = None
    """Share of the price paid on top when goods are released in this state."""
    in_process: Fate | None = None
    """On entering the state, goods still in the factory."""
    in_transit: Fate | None = None
    """On entering the state, goods under way."""
    resubmissions: Annotated[int, Field(ge=0, le=20)] | None = None
    """How often a refused application is put in again, each time with a review of its own."""
    refund: Share | None = None
    """Share of what was paid that comes back if this gate ends the order in this state. None: the source's."""


class Dwell(Model):
    """Law of one state of a gate: how long it lasts, and where it goes."""

    mean_days: Annotated[float, Field(gt=0, le=36500, allow_inf_nan=False)]
    """Mean stay (exponential)."""
    next: dict[GateState, Share] = {}
    """Probability of the states that may follow; they add to 1. Empty: the state never ends."""

    @model_validator(mode="after")
    def _adds_up(self) -> "Dwell":
        if self.next and abs(sum(self.next.values()) - 1) > 1e-6:
            raise ValueError(
                f"the probabilities of the next states must add to 1 (got {sum(self.next.values()):g})"
            )
        return self


class GateEvent(Model):
    """A change of state that the user knows or assumes."""

    date: dt.date
    """The day it takes effect."""
    state: GateState
    """The state it brings."""
    note: str = ""
    """Why, or from where it is known."""


class Line(Model):
    """Capacity that stages share, first come, first served: servers, or a quantity that may start in a period or in
    all. Of a quantity, other customers may have their part.
    """

    name: Name
    """The line's name."""
    servers: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Lots worked on at a time: our part of a fab, of CoWoS or of a board line."""
    backlog_lots: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Lots of others that already wait when the scenario starts."""
    backlog_days: Days = 0
    """Days of service that each of them needs."""
    gpus_per_period: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Instead of servers: GPUs that may start in a period; what a period leaves over lapses."""
    period_days: Annotated[float, Field(ge=1, le=3660, allow_inf_nan=False)] = 30
    """Length of a period; the first begins with the scenario."""
    gpus_total: Count | None = None
    """Instead of servers: GPUs in all, never renewed, as a licence rule caps one customer; a lot that no longer fits
    is turned away and its order ends."""
    share: Share = 1.0
    """Share of the quantity that all customers here may have: 0.5 where the quantity is the volume to US users and the
    rule lets half of it through."""
    others: Annotated[list[Count], Field(max_length=1000)] = []
    """GPUs that each other customer asks for, of the same quantity."""
    asked: Count | None = None
    """GPUs that we are known to ask for when it is divided. None: all there is."""
    gate: Name | None = None
    """Gate in some of whose `states` the quantity binds; in others everything passes and is not counted. None: it
    always binds."""
    states: list[GateState] = []
    """Those states."""
    allocation: Literal["proportional", "uniform", "in-turn"] = "uniform"
    """How a quantity is divided that does not suffice. proportional: by what each asks for. uniform: in equal parts;
    what one does not need goes to the others. in-turn: the others first."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Line":
        kinds = ("servers", "gpus_per_period", "gpus_total")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError("give one of `servers`, `gpus_per_period` and `gpus_total`")
        if self.servers is not None and (self.share < 1 or self.others or self.asked is not None):
            raise ValueError("`share`, `others` and `asked` divide a quantity, not servers")
        if (self.gate is None) != (not self.states):
            raise ValueError("`gate` and `states` go together: in which states of which gate")
        if self.servers is not None and self.gate is not None:
            raise ValueError("`gate` and `states` are for a quantity; servers always bind")
        return self


class Gate(Model):
    """A licence, an import blessing or a production switch: a process that moves between four states."""

    name: Name
    """The gate's name."""
    authority: Authority
    """Whose gate it is; it chooses the default effects."""
    product: Literal["H20", "H200", "RTX PRO 6000D"] | None = None
    """Product in the shipped gate history whose record gives today's state and the law of changes."""
    as_of: dt.date | None = None
    """Only what was public by this day counts. None: the scenario's start."""
    reading: Literal["main", "literal", "paper", "mild"] = "main"
    """Which reading of the ambiguous entries of the history."""
    state: GateState | None = None
    """State on the first day. None: from the history."""
    always: GateState | None = None
    """The gate stays in this state for ever."""
    prior_median_days: dict[GateState, Positive] = {}
    """Belief, before any event is counted, of the median stay in a state. Left out: closed 365, promised 90,
    conditional 270, open 730; each weighs two changes against those on record."""
    law: dict[GateState, Dwell] | None = None
    """A law of the user's own instead of the one learnt from the history."""
    events: list[GateEvent] = []
    """Dated changes known or assumed; between them the law goes on."""
    effects: dict[GateState, Effect] = {}
    """Changes to the default effects, by state."""


class Goal(Model):
    """What the plan must reach."""

    probability: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.9
    """Required probability, in each month, that every pool's demand is met at its SLO."""
    from_month: Annotated[int, Field(ge=1, le=60)] = 1
    """First month for which the probability is required; 1 is the month of the start."""
    cvar_level: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.9
    """Level of the conditional value at risk of shortfall that the optimiser bounds."""
    budget: Money | None = None
    """The most that may be spent on purchases in expectation over the horizon. None: no limit."""
    unmet_price_per_gpu_hour: Money
    """Loss from one GPU's worth of demand unmet for an hour; must exceed every spot price."""


class Costs(Model):
    """Money beside prices."""

    discount_per_year: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.08
    """Discount rate."""
    hosting_per_kw_month: Money = _Money(amount=900, currency="CNY")
    """Space, cooling and staff for one kW of IT power and a month."""
    power_per_kwh: Money = _Money(amount=0.6, currency="CNY")
    """Electricity."""
    pue: Annotated[float, Field(ge=1, le=3, allow_inf_nan=False)] = 1.25
    """Power drawn by the site over power drawn by the IT."""
    server_power_factor: Annotated[float, Field(ge=1, le=5, allow_inf_nan=False)] = 1.6
    """Power of a server over the board power of its GPUs."""
    gpu_watts: dict[str, Positive] = {}
    """Board power of a kind of GPU, W, where none is published or another is meant."""
    useful_life_months: Annotated[int, Field(ge=1, le=240)] = 48
    """A bought GPU loses its value in a straight line over so many months; the rest counts at the horizon."""


class Run(Model):
    """How much to compute."""

    scenarios: Annotated[int, Field(ge=2, le=200_000)] = 2000
    """Futures that the optimiser sees."""
    replications: Annotated[int, Field(ge=2, le=200_000)] = 10_000
    """Fresh futures on which the promise is calibrated, and as many more, under a third root, that judge it."""
    engine: Literal["simpy", "fast"] = "fast"
    """Supply engine for the futures that judge; both give the same integers, fast is some thirty times faster. What the
    fast one cannot express goes to SimPy in any case."""
    processes: Annotated[int, Field(ge=1, le=256)] | None = None
    """Processes. None: as many as there are cores, at most 8."""


class Scenario(Model):
    """A whole scenario file."""

    name: Name
    """Short name, used for runs and reports."""
    title: str = ""
    """One line."""
    description: str = ""
    """What the scenario stands on."""
    start: Annotated[dt.date, Field(ge=dt.date(2000, 1, 1), le=dt.date(2199, 12, 31))]
    """First day; what became public later is not used."""
    horizon_months: Annotated[int, Field(ge=1, le=60)]
    """Months planned."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Root of all luck."""
    currency: Annotated[str, Field(min_length=3, max_length=3, pattern="^[A-Z]{3}$")] = "CNY"
    """Currency of the plan."""
    exchange: dict[str, Positive] = {}
    """Units of the scenario's currency for one unit of another, by ISO code."""
    pools: Annotated[list[Pool], Field(min_length=1, max_length=50)]
    """What is served."""
    fleet: list[InService] = []
    """GPUs in service on the first day."""
    sources: Annotated[list[Source], Field(min_length=1, max_length=100)]
    """Where GPUs can come from."""
    gates: list[Gate] = []
    """What stands between an order and its delivery."""
    lines: list[Line] = []
    """Capacity for which lots wait. Empty: a stage takes any number of lots at once."""
    goal: Goal
    """What the plan must reach."""
    costs: Costs = Costs()
    """Money beside prices."""
    run: Run = Run()
    """How much to compute."""
    evidence: dict[str, str] = {}
    """Where the file's own figures come from: path of a field -> source, date and evidence mark."""

    @property
    def purchases(self) -> list[Purchase]:
        """The sources that sell, in the file's order."""
        return [source for source in self.sources if isinstance(source, Purchase)]

    @property
    def rentals(self) -> list[Rental]:
        """The sources that rent out, in the file's order."""
        return [source for source in self.sources if isinstance(source, Rental)]

    def in_currency(self, money: _Money) -> float:
        """Amount in the scenario's currency; the checks have made sure that a rate exists."""
        factor = rate(money.currency or self.currency, self.currency, self.exchange)
        assert factor is not None, f"no rate from {money.currency}: the checks let it through"
        return money.amount * factor
