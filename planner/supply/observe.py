"""What a run shows: the pipeline by stage on any date, lead times, one lot's future as a story."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.clock import MINUTES_PER_DAY, day_of
from planner.supply.network.spec import SupplySpec
from planner.supply.outcomes import UNSEEN, Deliveries, Outcome

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Events = NDArray[np.void]


def trace_of(made: Deliveries) -> Events:
    """The run's events; ValueError where it was made without a trace."""
    if made.events is None:
        raise ValueError("this run kept no trace: simulate with trace=True")
    return made.events


def pipeline_by_stage(spec: SupplySpec, made: Deliveries, minute: int) -> dict[tuple[str, str], Ints]:
    """GPUs ordered that stand at each (source, stage or point) after what happens at a minute, by replication.

    A lot whose work has ended there and that has gone on counts where it went; work beside the route is left out,
    for its lot is counted on the route. Places where nothing stands in any replication are left out.
    """
    events = trace_of(made)
    ended = _at(made, made.ended_at, events)
    left = np.where(events["leave"] == UNSEEN, spec.horizon_minutes, events["leave"])
    left = np.where(ended == UNSEEN, left, np.minimum(left, ended))
    row = np.searchsorted(made.replications, events["replication"])
    found: dict[tuple[str, str], Ints] = {}
    for place, source in enumerate(spec.sources):
        for visit, stage in enumerate(source.route.visits[: 1 + len(source.route.steps)]):
            here = (made.orders.source[events["lot"]] == place) & (events["visit"] == visit)
            here &= (events["enter"] <= minute) & (minute < left)
            if here.any():
                gpus = made.orders.gpus[events["lot"][here]]
                counts = np.bincount(row[here], weights=gpus, minlength=len(made.replications))
                found[source.name, stage] = counts.astype(np.int64)
    return found


def _at(made: Deliveries, minutes: Ints, events: Events) -> Ints:
    """The value of an array [replication, lot] for each event; replications ascend."""
    return minutes[np.searchsorted(made.replications, events["replication"]), events["lot"]]


def lead_time_days(spec: SupplySpec, made: Deliveries) -> dict[str, Floats]:
    """Days from order to service of every lot delivered, by source."""
    lead = made.lead_minutes() / MINUTES_PER_DAY
    return {
        source.name: lead[:, made.orders.source == place][made.delivered[:, made.orders.source == place]]
        for place, source in enumerate(spec.sources)
    }


def stage_days(spec: SupplySpec, made: Deliveries) -> dict[tuple[str, str], Floats]:
    """Days of every finished visit, waiting included, by (source, stage or point)."""
    events = trace_of(made)
    done = events[events["leave"] != UNSEEN]
    sources = made.orders.source[done["lot"]]
    days = (done["leave"] - done["enter"]) / MINUTES_PER_DAY
    return {
        (source.name, stage): days[(sources == place) & (done["visit"] == visit)]
        for place, source in enumerate(spec.sources)
        for visit, stage in enumerate(source.route.visits)
    }


def story(spec: SupplySpec, made: Deliveries, replication: int, lot: int) -> list[str]:
    """One lot in one replication, told in dated lines: every stage, every wait of a day or more, and the end."""
    events = trace_of(made)
    source = spec.sources[made.orders.source[lot]]
    place = int(np.flatnonzero(made.replications == replication)[0])
    ended, delivered = int(made.ended_at[place, lot]), int(made.delivered_at[place, lot])
    last = spec.horizon_minutes if ended == UNSEEN else ended
    lines = []
    for event in events[(events["replication"] == replication) & (events["lot"] == lot)]:
        enter, start, leave = (int(event[name]) for name in ("enter", "start", "leave"))
        name = source.route.visits[event["visit"]].replace("_", " ")
        if waited := ((last if start == UNSEEN else start) - enter) // MINUTES_PER_DAY:
            lines.append(f"{day_of(spec.start, enter)}  waits {waited} days at {name.strip('[]')}")
        if not name.startswith("[") and start != UNSEEN:
            broken = "not finished within the horizon" if ended == UNSEEN else "broken off"
            until = broken if leave == UNSEEN else f"until {day_of(spec.start, leave)}"
            lines.append(f"{day_of(spec.start, start)}  {name}, {until}")
    if delivered != UNSEEN:
        good, gpus = int(made.brought[place, lot]), int(made.orders.gpus[lot])
        part = "" if good == gpus else f", {good} of {gpus} GPUs good"
        lines.append(f"{day_of(spec.start, delivered)}  serves{part}")
    if ended != UNSEEN:
        outcome = Outcome(int(made.outcome[place, lot])).name.lower()
        lines.append(f"{day_of(spec.start, ended)}  order {outcome}")
    return lines
