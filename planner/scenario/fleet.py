"""GPUs of a scenario file that serve on the first day."""

import datetime as dt
from calendar import monthrange
from typing import Annotated

from pydantic import Field, model_validator

from planner.scenario.fields import Count, Days, Model, Name, Share


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
    in_service_since: Annotated[dt.date, Field(ge=dt.date(2000, 1, 1), le=dt.date(2199, 12, 31))] | None = None
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
