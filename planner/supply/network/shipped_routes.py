"""The shipped routes, put together from the reference stages, and the terms that gates put on goods by default."""

from collections.abc import Sequence

from planner.reference import stages as reference
from planner.sampling import Law, Triangular
from planner.supply.network.gate import Point
from planner.supply.network.route import Route, Side, Stage

NVIDIA, DOMESTIC = "nvidia", "domestic"

SHARED_DELAY = 0.7
"""Correlation of the totals of a supplier's lots in one quarter. No source gives a figure; a shortage slows all lots
alike (supply facts, section 2), and independent draws understate the tail. Ours, estimate, Nov 2026."""

ENTRIES = ("finished-stock", "part-finished", "new-wafers", "domestic")


def route(
    entry: str,
    product: str | None = None,
    own_stages: Sequence[Stage] | None = None,
    imported: bool = True,
    supplier: str | None = None,
) -> Route:
    """The route of an entry point: maker's stages, release, freight and customs where imported, site.

    entry       finished-stock, part-finished, new-wafers or domestic
    product     product of the gate history; H200 goods need a laboratory test in the US before freight
    own_stages  the maker's stages instead of the shipped ones; they stand as drawn
    """
    if entry not in ENTRIES:
        raise ValueError(f"an entry point is one of {', '.join(ENTRIES)} (got {entry!r})")
    sides: tuple[Side, ...] = ()
    total: Law | None = None
    if own_stages is not None:
        made = tuple(own_stages)
    elif entry == "new-wafers":
        made, sides, total = new_wafers()
    else:
        (only,) = chain(_MAKER[entry], product)[:1]
        made, total = (only,), only.law
    return Route(
        steps=(*made, Point.RELEASE, *(_import(product) if imported else ()), *_site(entry, product)),
        sides=sides,
        total=total,
        supplier=supplier or (DOMESTIC if entry == "domestic" else NVIDIA),
        shared=SHARED_DELAY,
    )


_MAKER = {"finished-stock": "nvidia_stock", "part-finished": "nvidia_wip", "domestic": "domestic"}


def new_wafers() -> tuple[tuple[Stage, ...], tuple[Side, ...], Law]:
    """The vendor's seven stages, HBM beside slot, fab and sort, and the nine months that they are held to.

    HBM, too, is scaled to the total: Huang's nine months are those of the whole chain, HBM included.
    """
    made = chain("nvidia_new_wafers")
    (stack,) = chain("hbm")
    total = reference.total_constraint()
    side = Side(stack, starts_with=made[0].name, joins_at="cowos_assembly")
    return made, (side,), Triangular(total.low_days, total.mode_days, total.high_days)


def chain(name: str, product: str | None = None) -> tuple[Stage, ...]:
    """The reference stages of a chain, each with its triangular law."""
    return tuple(
        Stage(stage.name, Triangular(stage.low_days, stage.mode_days, stage.high_days))
        for stage in reference.chain(name, product)
    )


def us_review() -> Law:
    """Days of a US licence review of a China case, as seen in 2025-26."""
    (review,) = (stage for stage in chain("us_gate") if stage.name == "us_licence_review")
    return review.law


def _import(product: str | None) -> tuple[Stage | Point, ...]:
    """From the maker's door into the country: laboratory test where needed, freight, customs."""
    test = tuple(s for s in chain("us_gate", product or "") if s.name == "us_lab_test")
    freight, customs = chain("logistics")
    return *test, Point.TRANSIT, freight, customs, Point.RECEIPT


def _site(entry: str, product: str | None) -> tuple[Stage, ...]:
    """Server integration and installation at the buyer's site."""
    integration, installation = chain("buyer")
    if entry == "domestic":
        integration = chain("domestic", product)[-1]
    return integration, installation
