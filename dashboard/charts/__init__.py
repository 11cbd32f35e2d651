"""Charts from a plan's record: pure functions that return a :class:`~dashboard.charts.figure.Figure`.

Nothing here knows the screen: the same figures go into the dashboard and into the report.
"""

from dashboard.charts.ahead import frontier, later_orders, swings
from dashboard.charts.figure import Figure
from dashboard.charts.fleet import fleet_fan, month_strip
from dashboard.charts.gates import gate_shares
from dashboard.charts.money import cash_by_quarter, cost_parts, spend_by_month
from dashboard.charts.rivals import rivals_compared
from dashboard.charts.serving import goodput_by_pool, serving_level, serving_table
from dashboard.charts.supply import lead_times, order_calendar

__all__ = [
    "Figure",
    "cash_by_quarter",
    "cost_parts",
    "fleet_fan",
    "frontier",
    "gate_shares",
    "goodput_by_pool",
    "later_orders",
    "lead_times",
    "month_strip",
    "order_calendar",
    "rivals_compared",
    "serving_level",
    "serving_table",
    "spend_by_month",
    "swings",
]
