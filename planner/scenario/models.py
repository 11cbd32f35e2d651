"""What a scenario file may say. Every model is frozen and closed; its docstrings are the reference page.

Here are the whole file, its goal, costs and run; pools, sources, gates, lines and the fleet lie beside it, and what
their fields are made of in ``fields``. Lists of pools, sources and gates are keyed by their ``name``: an override
changes one entry by naming it.
"""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from planner.reference.exchange import rate
from planner.scenario.fields import Model, Money, Name, Place, Positive, _Money
from planner.scenario.fleet import InService
from planner.scenario.gates import Gate
from planner.scenario.lines import Line
from planner.scenario.pools import Pool
from planner.scenario.sources import Purchase, Rental, Source


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
    gpu_watts: Annotated[dict[Name, Positive], Field(max_length=200)] = {}
    """Board power of a kind of GPU, W, where none is published or another is meant."""
    useful_life_months: Annotated[int, Field(ge=1, le=240)] = 48
    """A bought GPU loses its value in a straight line over so many months; the rest counts at the horizon."""


class Run(Model):
    """How much to compute."""

    training_futures: Annotated[int, Field(ge=2, le=200_000)] = 2000
    """Futures that the optimiser sees."""
    replications: Annotated[int, Field(ge=2, le=200_000)] = 10_000
    """Fresh futures on which the promise is calibrated, and as many more, under a third root, that judge it."""
    engine: Literal["simpy", "fast"] = "fast"
    """Supply engine for the futures that judge; both give the same integers, fast is some thirty times faster. What the
    fast one cannot express goes to SimPy in any case."""
    processes: Annotated[int, Field(ge=1, le=256)] | None = None
    """Processes. None: as many as there are cores, at most 8."""

    @model_validator(mode="before")
    @classmethod
    def _former_name(cls, body: Any) -> Any:
        """Version 0.1 called the training futures ``scenarios``."""
        if isinstance(body, dict) and "scenarios" in body and "training_futures" not in body:
            return {"training_futures" if name == "scenarios" else name: value for name, value in body.items()}
        return body


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
    """Seed of all random numbers."""
    currency: Annotated[str, Field(min_length=3, max_length=3, pattern="^[A-Z]{3}$")] = "CNY"
    """Currency of the plan."""
    exchange: Annotated[dict[Name, Positive], Field(max_length=200)] = {}
    """Units of the scenario's currency for one unit of another, by ISO code."""
    pools: Annotated[list[Pool], Field(min_length=1, max_length=50)]
    """What is served."""
    fleet: Annotated[list[InService], Field(max_length=1000)] = []
    """GPUs in service on the first day."""
    sources: Annotated[list[Source], Field(min_length=1, max_length=100)]
    """Where GPUs can come from."""
    gates: Annotated[list[Gate], Field(max_length=100)] = []
    """What stands between an order and its delivery."""
    lines: Annotated[list[Line], Field(max_length=100)] = []
    """Capacity for which lots wait. Empty: a stage takes any number of lots at once."""
    goal: Goal
    """What the plan must reach."""
    costs: Costs = Costs()
    """Money beside prices."""
    run: Run = Run()
    """How much to compute."""
    evidence: dict[Place, str] = {}
    """Where the file's own figures come from: path of a field -> source, date and evidence mark."""

    @property
    def purchases(self) -> list[Purchase]:
        """The sources that sell, in the file's order."""
        return [source for source in self.sources if isinstance(source, Purchase)]

    @property
    def rentals(self) -> list[Rental]:
        """The sources that rent out, in the file's order."""
        return [source for source in self.sources if isinstance(source, Rental)]

    @property
    def own_orders_wait(self) -> bool:
        """Whether own orders lengthen lines that they wait in; a cap on all orders together lengthens nothing."""
        return any(line.gpus_total is None for line in self.lines)

    def in_currency(self, money: _Money) -> float:
        """Amount in the scenario's currency; the checks have made sure that a rate exists."""
        factor = rate(money.currency or self.currency, self.currency, self.exchange)
        assert factor is not None, f"no rate from {money.currency}: the checks let it through"
        return money.amount * factor
