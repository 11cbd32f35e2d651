"""`waferlag size`: GPUs by month and pool, with label, interval, MFU and MBU."""

from typing import TYPE_CHECKING

from waferlag.commands.options import Asked, JsonFile, grouped
from waferlag.files import report_json, require_folders
from waferlag.text.tables import WIDTH, say, table, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.futures.installed_fleet import SpareNeed
    from planner.record.models import Serving
    from planner.size import PoolNeed


@grouped
def size(asked: Asked, json_file: JsonFile = None) -> None:
    """How many GPUs each pool needs by month, on each kind of GPU it may use."""
    from planner.size import needs_of
    from waferlag.settings import settings

    loaded = asked.opened()
    require_folders([json_file], inputs=[asked.scenario])
    needs = needs_of(loaded.scenario, loaded.overrides, settings().goodputs())
    for pool in needs.pools:
        say(_pool_text(pool, needs.months) + "\n")
    if needs.spares:
        say(_spares_text(needs.spares) + "\n")
    report_json(json_file, needs.as_json())


def _pool_text(pool: "PoolNeed", months: "Sequence[str]") -> str:
    """What a replica carries, GPUs by month, and how each figure came about."""
    head = ["GPU", "replica", "requests/s (80 %)", "MFU", "MBU", "label"]
    parts = [
        *wrapped(f"{pool.name}: {pool.model} at its SLO, by replay of its trace"),
        table(head, [_row(item) for item in pool.serving], right=[2, 3, 4], whole=[1, 5]),
        "",
        "GPUs needed at the busy hour, headroom included: P10/P50/P90 over futures",
        _by_month(pool, months),
    ]
    for item in pool.serving:
        parts += wrapped(f"{item.sku}: {item.limits}. {item.reason}", "- ")
    return "\n".join(parts)


def _spares_text(needs: "Sequence[SpareNeed]") -> str:
    """How many spares keep one on the shelf, in the futures drawn and by Palm's theorem."""
    rates = list(needs[0].spares)
    head = ["fleet", "from", "failures/year", "lead days", "held", *(f"{float(rate):.0%}" for rate in rates)]
    rows = [_spare_row(need, rates) for need in needs]
    told = wrapped(
        "Spares with which one is on the shelf at the start of every month in so many futures (in brackets: were lead"
        " times independent of each other)"
    )
    return "\n".join([*told, table(head, rows, right=range(2, len(head)))])


def _spare_row(need: "SpareNeed", rates: "Sequence[str]") -> list[str]:
    lead = "none comes" if need.lead_days is None else f"{need.lead_days:,.0f}"
    palm = need.by_palm or {}
    return [
        *(f"{need.sku} of {need.pool}", need.source, f"{need.failures_per_year:.1f}", lead, str(need.held)),
        *(f"{need.spares[rate]} ({palm.get(rate, '-')})" for rate in rates),
    ]


def _by_month(pool: "PoolNeed", months: "Sequence[str]") -> str:
    """One table, or several where the kinds of GPU do not fit side by side."""
    from waferlag.text.plan_text import spread

    def drawn(skus: "Sequence[str]") -> str:
        rows = [[month, *(spread(pool.gpus[sku][at]) for sku in skus)] for at, month in enumerate(months)]
        return table(["month", *skus], rows, right=range(1, len(skus) + 1))

    tables: list[list[str]] = []
    for item in pool.serving:
        beside = [*tables[-1], item.sku] if tables else [item.sku]
        if tables and max(map(len, drawn(beside).splitlines())) <= WIDTH:
            tables[-1] = beside
        else:
            tables.append([item.sku])
    return "\n\n".join(drawn(skus) for skus in tables)


def _row(item: "Serving") -> list[str]:
    goodput = item.requests_per_s
    figure = f"{goodput.value:.2f} ({goodput.low:.2f}-{goodput.high:.2f})" if goodput else "none"
    return [
        item.sku,
        f"{item.gpus_per_replica} GPUs",
        figure,
        f"{item.mfu or 0:.2f}",
        f"{item.mbu or 0:.2f}",
        item.label or "",
    ]
