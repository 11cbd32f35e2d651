"""The plan's record: everything a report, a screen or a later run needs, in one frozen JSON document."""

import datetime as dt
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from planner.record.ids import GateLevel, LimitKind, PolicyId, Verdict
from planner.record.upgrade import upgraded
from planner.scenario.models import Scenario
from planner.scenario.stored import SCHEMA_VERSION

Label = Literal["measured", "calibrated", "extrapolated", "estimated"]
"""Where a serving figure comes from, best first."""


class Part(BaseModel):
    """A frozen, closed part of the record."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Interval(Part):
    """A figure with the interval it is believed to lie in."""

    value: float
    """The figure."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    level: float = 0.9
    """Confidence of the interval."""


class Quantiles(Part):
    """One future in ten lies below p10, half below p50, nine in ten below p90."""

    p10: float
    p50: float
    p90: float


class Dates(Part):
    """Quantiles of a date; None means later than the horizon."""

    p10: dt.date | None
    p50: dt.date | None
    p90: dt.date | None


class Answer(Part):
    """What to do, in words, and the figures the words stand on."""

    sentence: str = ""
    """What to order and by when, with what probability: English, told from this record's figures."""
    way: PolicyId = "fixed-calendar"
    """How orders are decided: the first three ways to act."""
    plan_again_on: dt.date | None = None
    """When the plan must be made again for its service level to hold; None: it holds as it stands."""
    waiting: str = ""
    """What waiting one month costs: English, told from this record's figures."""
    rests_on: list[str] = []
    """The facts that would change the answer most, a sentence each: English, told from this record's figures."""
    feasible: bool
    """Whether the goal is met in every month for which it is required."""
    goal: float
    """The required probability."""
    weakest_month: str
    """The month in which meeting demand is least probable, as YYYY-MM."""
    probability: Interval
    """Probability that demand is met in the weakest month."""
    next_order_by: dt.date | None
    """The next last safe date for an order; None: nothing to order."""
    runs_out: Dates
    """When demand would outgrow what is in service if nothing more were ordered or rented."""
    cost_of_waiting: Interval
    """Expected extra cost if nothing is ordered in the first month, in the plan's currency."""
    waiting_takes: float = 0.0
    """Change of the probability of the month that waiting hurts most."""
    waiting_hurts: str | None = None
    """That month, as YYYY-MM."""
    demand_growth: tuple[float, float] | None = None
    """P10 and P90 of the need of the last month over that of the first."""


class PoolMonth(Part):
    """One pool in one month. GPUs are counted in the pool's unit of account."""

    pool: str
    unit: str
    """Kind of GPU in which need and supply are counted."""
    need_gpus: Quantiles
    """GPUs needed at the busy hour, headroom included."""
    in_service_gpus: Quantiles
    """Bought GPUs able to serve."""
    reserved_gpus: float
    """Reserved rental."""
    spot_gpus: Quantiles
    """Rental taken on the spot."""
    unmet_gpus: Quantiles
    """What is still missing."""
    probability: Interval
    """Probability that the pool's demand is met."""


class Month(Part):
    """One month of the plan."""

    month: str
    """YYYY-MM."""
    start: dt.date
    probability: Interval
    """Probability that every pool's demand is met."""
    required: bool
    """Whether the goal applies to this month."""
    pools: list[PoolMonth]
    gates: dict[str, dict[str, float]]
    """Share of futures in each state, by gate, on the month's first day."""
    spend: Quantiles
    """Money spent in the month on purchases, rental, hosting and power, undiscounted."""


class Line(Part):
    """What is bought or rented from one source for one pool in one month."""

    pool: str
    source: str
    sku: str
    month: str
    """YYYY-MM."""


class Order(Line):
    """One order that is placed whatever is seen, and why."""

    order_on: dt.date
    """The day the order is placed in the simulation: the first of the month, or the scenario's start."""
    gpus: int
    lots: int
    last_safe: dt.date | None
    """Last date at which the order still keeps the goal; None: the goal holds without it."""
    protects: str | None
    """The month whose probability falls most without the order."""
    arrives: Dates
    """When the GPUs serve."""
    arrives_within_horizon: float
    """Share of futures in which they serve before the horizon ends."""
    price: float
    """Purchase price in the plan's currency, fees apart."""
    prepayment: float
    """Part of the price due when the order is accepted."""
    probability_without: Interval
    """Probability of the protected month without this order."""
    cost_without: Interval
    """Expected change of cost without this order; positive: dearer without it."""
    probability_with: float | None = None
    """Probability of the protected month with it."""
    accepted: float | None = None
    """Share of futures in which the source accepts it."""
    why: str = ""
    """Why it is in the plan: English, told from this record's figures."""


class Condition(Part):
    """When an order is placed: where the least open gate of a source is in a state from ``least`` to ``most``."""

    watched: str | None = None
    """The source whose gates are looked at; None: the order is placed in any case."""
    least: GateLevel = "closed"
    most: GateLevel = "passing"
    waits: bool = False
    """Whether an order that is not placed in its month waits for the first in which the gates pass."""


class ConditionalOrder(Line):
    """One line of a calendar that may look before it orders."""

    order_on: dt.date
    """The first of the month, or the scenario's start."""
    gpus: int
    condition: Condition
    placed: float
    """Share of futures in which it is placed."""


class Calendar(Part):
    """All orders settled beforehand, on conditions where that pays: what to do where nobody plans again."""

    conditional: bool
    """Whether any order depends on what the gates are seen to do."""
    lines: list[ConditionalOrder]
    mean_cost: Interval
    cost_difference: Interval
    """Cost minus that of the recommended way, with common random numbers; nothing where it is recommended itself."""
    weakest_month: str
    probability: Interval
    """Probability in its weakest required month."""
    conditions_save: Interval | None
    """What the conditions save against the same calendar without any, with common random numbers; None: it has none."""


class LaterOrder(Line):
    """What planning again is likely to order from a source in a later month."""

    placed: float
    """Share of futures in which anything is ordered."""
    mean_gpus: float
    """Over all futures."""
    gpus: Quantiles
    """Over all futures."""


class Information(Part):
    """What planning with odds is worth, and what knowing the future would be."""

    stochastic_solution: Interval
    """VSS: what the plan for the mean future costs more, in the plan's currency."""
    perfect: Interval
    """EVPI: the most that a perfect forecast could save."""
    foretold: int
    """Futures for which the best plan of hindsight was made."""


class OpenGate(Part):
    """What a gate that had always been open would be worth."""

    gate: str | None
    """Its name; None: all gates at once."""
    cost_difference: Interval
    """Cost there minus cost here; below nothing: worth so much."""
    weakest_month: str
    probability_difference: Interval
    """Of that month."""
    futures: int
    """On so many of the plan's own futures."""


class FrontierPoint(Part):
    """What one goal costs."""

    goal: float
    mean_cost: Interval
    weakest_month: str
    probability: Interval
    """Probability in the weakest required month."""
    meets_goal: bool


class SwingInput(Part):
    """What varies from future to future: the need of a pool, what a GPU carries in it, a source's time to service."""

    kind: Literal["need", "carries", "rented-carries", "months-to-service"]
    pool: str | None = None
    sku: str | None = None
    source: str | None = None


class Swing(Part):
    """The plan's outcome where one input is in its lowest fifth, and where it is in its highest."""

    input: SwingInput
    cost_low: float
    cost_high: float
    met_low: float
    """Share of required months in which demand is met."""
    met_high: float


class Quarter(Part):
    """Money of one calendar quarter, undiscounted."""

    quarter: str
    """YYYY-Qn."""
    spend: Quantiles
    """All payments, refunds taken off."""
    mean: dict[str, float]
    """By kind: prepayments, balances, licence fees, refunds (negative), hosting and power, rental."""
    committed: float
    """Mean of what is ordered in the quarter at its purchase price."""
    at_risk: float
    """Mean of what would be lost if every gate closed for good, in the quarter's worst month."""


class BindingLimit(Part):
    """A limit that binds, and what one unit more of it would save."""

    limit: LimitKind
    sources: list[str]
    """The sources or the rental that it limits; none: the budget."""
    month: str | None
    saves: float
    """Money saved at the margin per GPU, or per unit of money of the budget."""


class MissedMonth(Part):
    """A month whose goal nothing within the limits can meet."""

    month: str
    best: Interval
    """Probability with everything ordered, reserved and rented that the limits allow."""
    missing: dict[str, float]
    """Requests/s still missing at the goal, by pool."""


class Relaxation(Part):
    """A limit that, relaxed by itself, brings the worst month within reach."""

    limit: LimitKind
    factor: float
    """So many times the limit; for notice 0: no notice at all."""
    sources: list[str]


class OwnVolume(Part):
    """What the plan's own orders cost it, since they lengthen the queues that they wait in."""

    costs: float
    settled: bool
    """Whether planning again at the plan's own volume changes nothing any more."""
    moves: list[float]
    """Share of the GPUs ordered that changed place from each round to the next."""


class Unsellable(Part):
    """A source whose limits are below its smallest order."""

    source: str
    most: float
    """GPUs that may be ordered."""
    least: int
    """GPUs of the smallest order: whole lots, whole replicas of every pool that it serves."""


class Reasons(Part):
    """Why the plan is as it is, and what would help where the goal is out of reach."""

    missed: list[MissedMonth] = []
    """Months out of reach, the furthest first."""
    relaxations: list[Relaxation] = []
    """Each by itself would bring the first of them within reach."""
    budget_that_would_do: float | None = None
    own_volume: OwnVolume | None = None
    unsellable: list[Unsellable] = []


class Reservation(Line):
    """Rental reserved for one month."""

    reserve_by: dt.date
    gpus: int
    price: float


class Kpis(Part):
    """The figures on top."""

    expected_cost: Quantiles
    """Cost over the horizon, discounted, by future."""
    mean_cost: Interval
    """Its mean with the interval of the mean."""
    cost_parts: dict[str, float]
    """Mean discounted cost: goods, hosting and power, residual value (negative), reserved, spot, unmet."""
    committed: float
    """Prepayments of all orders of the plan."""
    at_risk: float
    """Mean money paid and not refunded if every gate closed for good in the worst month."""
    gpus_ordered: int
    shortfall_share: Interval
    """Unmet demand as a share of demand over the horizon."""
    cost_per_million_tokens: float | None
    """Mean discounted cost over the output tokens served; GPUs already in service cost nothing."""


class Rival(Part):
    """A benchmark policy: another way to act, on the same futures."""

    name: PolicyId
    mean_cost: Interval
    cost_difference: Interval
    """Cost minus that of the plan, with common random numbers; positive: dearer than the plan."""
    weakest_month: str
    probability: Interval
    """Probability in its weakest required month."""
    shortfall_share: float
    worst_tenth_shortfall: float
    """Mean shortfall share in the worst tenth of futures."""
    gpus_ordered: float
    verdict: Verdict | None = None
    """What it is beside the plan: a policy that misses the goal where the plan meets it is no match, however cheap."""


class Serving(Part):
    """What one replica of a pool serves on one kind of GPU."""

    pool: str
    sku: str
    model: str
    precision: str
    engine: str
    layout: dict[str, int]
    gpus_per_replica: int
    fits: bool
    requests_per_s: Interval | None
    """Goodput of a replica at the SLO, 80 % interval."""
    gpus_per_request_per_s: float | None
    ttft_ms: float | None
    tpot_ms: float | None
    concurrency: float | None
    label: Label | None
    mfu: float | None
    mbu: float | None
    limits: str
    """What limits the replica."""
    reason: str
    """How the figure came about, or why there is none."""


class LeadTime(Part):
    """From the placing of an order on the first day to service, for one source."""

    source: str
    entry: str
    days: Quantiles
    """Among the futures in which it arrives at all within the horizon."""
    arrives_within_horizon: float
    promised_not_before: dt.date | None
    """First arrival in one future of twenty, among all futures."""


class GateOdds(Part):
    """What one gate does to an order placed on the first day with a source behind it."""

    gate: str
    authority: str
    state: str
    """State on the first day."""
    passes_within_months: dict[str, float]
    """Share of futures in which the gate has let goods pass on some month's first day, by month."""
    closes_within_90_days: float
    """Share of futures in which the gate is closed on a month's first day within 90 days."""
    arrives: Interval
    """Share of futures in which the order serves within the horizon, all gates as drawn."""
    arrives_if_open: Interval
    """The same with common random numbers with this gate always open."""


class Provenance(Part):
    """Versions and roots with which the figures come out again."""

    waferlag: str
    python: str
    numpy: str
    simpy: str
    highspy: str


class PlanRecord(Part):
    """A plan: its inputs, its orders, its consequences, its benchmark policies and its reasons."""

    schema_version: int = SCHEMA_VERSION
    versions: Provenance
    scenario: Scenario
    """The whole scenario after overrides."""
    overrides: list[str]
    """Names of the overrides that were applied, in order."""
    scenario_hash: str
    """SHA-256 of the canonical scenario."""
    seed: int
    roots: dict[str, int]
    """Seeds of the samples: optimise, validate, confirm; every figure shown is read off the last."""
    answer: Answer
    months: list[Month]
    orders: list[Order]
    reservations: list[Reservation]
    later: list[LaterOrder] = []
    """What planning again is likely to order; empty where all orders are settled now."""
    calendar: Calendar | None = None
    kpis: Kpis
    quarters: list[Quarter] = []
    rivals: list[Rival]
    sizing: list[Serving]
    profiles: list[dict[str, Any]]
    """Serving profiles the sizing stands on."""
    lead_times: list[LeadTime]
    gate_odds: list[GateOdds] = []
    information: Information | None = None
    open_gates: list[OpenGate] = []
    frontier: list[FrontierPoint] = []
    """Cost against probability, from the lowest probability to the highest."""
    tornado: list[Swing] = []
    """What the cost swings with most comes first."""
    limits: list[BindingLimit] = []
    why: Reasons = Reasons()
    physics: dict[str, Any]
    """Readings that help to judge the model: gate posteriors, lots simulated, bound of the shortfall."""
    sources: list[dict[str, str]]
    """Where the figures come from: what, source, date, evidence."""
    reasons: list[str] = []
    """Why this plan; if the goal cannot be met, which limit binds and by how much: English, told from this record's
    figures."""

    @property
    def judging_root(self) -> int:
        """Root of the futures that every figure is read off; older records have no third sample."""
        return self.roots.get("confirm", self.roots["validate"])

    @model_validator(mode="before")
    @classmethod
    def _of_this_version(cls, document: Any) -> Any:
        return upgraded(document) if isinstance(document, dict) else document
