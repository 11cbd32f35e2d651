"""Sources of a scenario file: GPUs that are bought, through stages of their own or shipped ones, or rented."""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from planner.scenario.fields import Count, Days, Model, Money, Name, Share


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
    pools: Annotated[list[Name], Field(max_length=50)] | None = None
    """Pools it may serve. None: every pool with a layout for this kind of GPU."""
    entry: Literal["finished-stock", "part-finished", "new-wafers", "domestic"] = "new-wafers"
    """Where the goods stand when the order is accepted; it chooses the shipped chain of stages."""
    route: Annotated[list[StageLaw], Field(max_length=100)] | None = None
    """Stages of the maker's own instead of the shipped chain; freight, customs and installation follow."""
    lead_time_factor: Annotated[float, Field(ge=0.05, le=20, allow_inf_nan=False)] = 1.0
    """Every stage from acceptance to service takes so many times as long, with common random numbers; waits at gates
    and in lines do not."""
    gates: Annotated[list[Name], Field(max_length=100)] = []
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
    lines: Annotated[dict[Name, Name], Field(max_length=100)] = {}
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
    pools: Annotated[list[Name], Field(max_length=50)] | None = None
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
