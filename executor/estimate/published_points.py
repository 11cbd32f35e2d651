"""Single published serving figures, never used to calibrate, and what the model says of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from executor.errors import FileError
from executor.estimate.calibration import setup_of
from executor.estimate.closed_loop import estimate, phase_rate
from executor.estimate.measured_points import read_table
from executor.model.cost import Layout
from executor.profile import Figure
from executor.reference import SHIPPED
from executor.reference.csv_table import EVIDENCE
from executor.steptime.workload import Load

COLUMNS = (
    *("id", "model", "precision", "engine", "gpu", "tp", "attention_dp", "phase", "input_tokens", "output_tokens"),
    *("concurrency", "ttft_ms", "tpot_ms", "tokens_per_s_per_gpu", "source", "date", "evidence", "note"),
)


@dataclass(frozen=True)
class Compared:
    """One published figure beside the prediction. TTFT and TPOT in ms, throughput in tokens/s per GPU."""

    name: str
    set_up: str
    phase: str
    """``prefill``, ``decode`` or ``both``."""
    metric: str
    published: float
    predicted: Figure
    label: str
    source: str
    note: str

    @property
    def error(self) -> float:
        """Predicted / published - 1."""
        return self.predicted.value / self.published - 1.0

    @property
    def inside(self) -> bool:
        """Whether the published figure lies in the 80 % interval."""
        return self.predicted.low <= self.published <= self.predicted.high


@cache
def compared() -> tuple[Compared, ...]:
    """Every shipped published figure with its prediction."""
    path = SHIPPED / "published_points.csv"
    found: list[Compared] = []
    for line, cells in read_table(path, COLUMNS):
        if cells["evidence"] not in EVIDENCE or not cells["source"] or not cells["date"]:
            raise FileError(path, "needs a source, a date and an evidence mark", row=line)
        found += _compare(cells)
    return tuple(found)


def _compare(cells: Mapping[str, str]) -> list[Compared]:
    layout = Layout(tp=int(cells["tp"]), attention_dp=int(cells["attention_dp"]))
    setup = setup_of(cells["model"], cells["gpu"], cells["precision"], cells["engine"], layout)
    isl, load = float(cells["input_tokens"]), float(cells["concurrency"])
    if cells["phase"] == "both":
        modelled = estimate(setup, Load(isl, float(cells["output_tokens"]), load))
        label = modelled.label
        predicted = {
            "ttft_ms": modelled.ttft_ms,
            "tpot_ms": modelled.tpot_ms,
            "tokens_per_s_per_gpu": modelled.output_tokens_per_s_per_gpu,
        }
        what = f"{isl:g}/{cells['output_tokens']}, {load:g} clients"
    else:
        phase: Literal["prefill", "decode"] = "decode" if cells["phase"] == "decode" else "prefill"
        rate, believed = phase_rate(setup, phase, isl, load)
        predicted, label = {"tokens_per_s_per_gpu": rate}, believed.label
        what = f"{phase}, {isl:g} tokens, {load:g} requests per GPU"
    set_up = f"{cells['model']} {cells['precision']} on {cells['gpu']}, {layout}, {cells['engine']}; {what}"
    return [
        Compared(
            *(cells["id"], set_up, cells["phase"], metric, float(cells[metric])),
            *(figure, label, cells["source"], cells["note"]),
        )
        for metric, figure in predicted.items()
        if cells[metric]
    ]
