"""ServeGen: request rates per client and window, and length histograms per client and six hours."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from os.path import isdir
from pathlib import Path

import numpy as np

from executor.errors import FileError
from planner.demand.readers.burst import Streams, superposed
from planner.demand.readers.chunks import Cells, Record, chunk_records, chunk_rows, line_records, table_rows
from planner.demand.readers.textfile import MAX_BYTES, number, whole
from planner.demand.readers.trace import Floats, Histogram, Lengths, RateSeries, Trace

RATES_HEADER = ("client_id", "timestamp", "rate", "cv", "pat_name", "pat_arg1", "pat_arg2")
RATE_WINDOW_S = 600.0
LENGTH_WINDOW_S = 21_600.0
LONGEST_RATES_S = 400 * 86_400
"""Rates longer than this have their times in another unit."""
LAWS = ("", "Gamma", "Weibull")
"""Laws of the gaps within a window; empty: no traffic."""

Histograms = dict[str, tuple[Floats, Floats]]
"""Field of a length record -> (values, shares)."""


@dataclass(frozen=True)
class Clients:
    """Streams of all clients, and which row is whose."""

    row_of: dict[int, int]
    streams: Streams

    def requests(self, client: int, since_s: float, span_s: float) -> float:
        """Requests of a client within a span; 0 for a client without rates."""
        row = self.row_of.get(client)
        if row is None:
            return 0.0
        first = int(since_s // RATE_WINDOW_S)
        return float(self.streams.rate[row, first : first + int(span_s // RATE_WINDOW_S)].sum() * RATE_WINDOW_S)


def read_servegen(
    rates: Path, lengths: Path | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Trace:
    """Rates of all clients together, and the lengths of those whose histograms are published.

    rates      one table of all clients; or a folder as published, chunk-N-trace.csv and chunk-N-dataset.json
    lengths    JSON lines, one a client and six hours; in a folder the chunks have their own

    Windows in which no client sent anything are gaps of the record (NaN), and no quiet.
    FileError with row and mend for a wrong cell or field.
    """
    folder = isdir(rates)
    rows = chunk_rows(rates, max_bytes) if folder else table_rows(rates, RATES_HEADER, max_bytes)
    clients = _clients(rates, rows)
    records = chunk_records(rates, max_bytes) if folder else line_records(lengths, max_bytes)
    total = clients.streams.rate.sum(axis=0)
    series = RateSeries(RATE_WINDOW_S, np.where(total > 0, total, np.nan), 0, "the trace's own clock, weekday unknown")
    return Trace(
        name or rates.name,
        rates=series,
        lengths=_lengths(lengths or rates, records, clients),
        burst=superposed(clients.streams, RATE_WINDOW_S),
        total_requests=round(float(total.sum()) * RATE_WINDOW_S),
    )


def _clients(path: Path, rows: Iterable[Cells]) -> Clients:
    found: dict[int, dict[int, tuple[float, float, bool]]] = defaultdict(dict)
    for place, row, cells in rows:
        client, window, law = _window(place, row, cells)
        if window in found[client]:
            raise FileError(place, f"client {client} has this window twice", row=row, found=cells[1])
        found[client][window] = law
    ids = sorted(found)
    table = np.zeros((3, len(ids), 1 + max(max(windows) for windows in found.values())))
    for at, client in enumerate(ids):
        table[:, at, list(found[client])] = np.array(list(found[client].values())).T
    if not table[0].any():
        raise FileError(path, "has no traffic: every rate is 0")
    streams = Streams(rate=table[0], shape=table[1], weibull=table[2] > 0)
    return Clients({client: at for at, client in enumerate(ids)}, streams)


def _window(path: Path, row: int, cells: list[str]) -> tuple[int, int, tuple[float, float, bool]]:
    """(client, window, (rate, shape of the law, whether it is a Weibull law)) of one row."""
    client, at, rate, cv, law, shape, scale = cells
    second = whole(path, row, "timestamp", at)
    if second % RATE_WINDOW_S or second > LONGEST_RATES_S:
        message = f"timestamp must be a multiple of {RATE_WINDOW_S:g} up to {LONGEST_RATES_S:.0f}"
        raise FileError(path, message, row=row, found=at)
    if law not in LAWS:
        raise FileError(path, "pat_name must be Gamma, Weibull or empty", row=row, found=law)
    number(path, row, "cv", cv)
    number(path, row, "pat_arg2", scale)
    figures = number(path, row, "rate", rate), number(path, row, "pat_arg1", shape)
    if figures[0] > 0 and not figures[1] > 0:
        raise FileError(path, "pat_arg1 must be positive where there is traffic", row=row, found=shape)
    return whole(path, row, "client_id", client), int(second // RATE_WINDOW_S), (*figures, law == "Weibull")


def _lengths(path: Path, records: Iterable[Record], clients: Clients) -> Lengths | None:
    weight: list[float] = []
    inputs: list[tuple[Floats, Floats]] = []
    outputs: list[tuple[Floats, Floats]] = []
    seen = multimodal = False
    for place, row, record in records:
        seen = True
        client, since, histograms = _histograms(place, row, record)
        images = "text_tokens" in histograms
        sent = _with_images(histograms) if images else histograms["input_tokens"]
        requests = clients.requests(client, since, LENGTH_WINDOW_S)
        if not requests or not sent[0].size or not histograms["output_tokens"][0].size:
            continue
        multimodal |= images
        weight.append(requests)
        inputs.append(sent)
        outputs.append(histograms["output_tokens"])
    if not seen:
        return None
    if not weight:
        raise FileError(path, "has lengths for no client that sent a request", mend="check the rates")
    pairing = "independent within one client and six hours, as published"
    return Lengths(
        np.array(weight),
        _joined(inputs),
        _joined(outputs),
        pairing + ("; images of one request equally large" if multimodal else ""),
        coverage=float(sum(weight) / (clients.streams.rate.sum() * RATE_WINDOW_S)),
    )


def _histograms(path: Path, row: int | None, found: object) -> tuple[int, float, Histograms]:
    if not isinstance(found, dict):
        raise FileError(path, "must be a JSON object", row=row, found=found)
    images = "text_tokens" in found
    fields = ("text_tokens", "image_tokens", "image_count") if images else ("input_tokens",)
    for field in ("client_id", "timestamp", "output_tokens", *fields):
        if field not in found:
            raise FileError(path, f"has no {field}", row=row, found=list(found))
    return (
        whole(path, row, "client_id", found["client_id"]),
        number(path, row, "timestamp", found["timestamp"]),
        {field: _histogram(path, row, field, found[field]) for field in ("output_tokens", *fields)},
    )


def _histogram(path: Path, row: int | None, field: str, table: object) -> tuple[Floats, Floats]:
    """Values and shares, the shares made to add to 1 exactly (they are published with six digits)."""
    if not isinstance(table, dict):
        raise FileError(path, f"{field} must map lengths to probabilities", row=row, found=table)
    values, shares = _numbers(path, row, field, table), _numbers(path, row, field, table.values())
    total = shares.sum()
    if shares.size and abs(total - 1) > 1e-3:
        raise FileError(path, f"the probabilities of {field} must add to 1", row=row, found=float(total))
    return values, shares / total if shares.size else shares


def _numbers(path: Path, row: int | None, field: str, found: Iterable[object]) -> Floats:
    """All at once, since a length file has millions; one by one only to say which of them is wrong."""
    listed = list(found)
    try:
        values = np.array(listed, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        values = np.array([np.nan])
    if values.shape == (len(listed),) and np.isfinite(values).all() and (values >= 0).all():
        return values
    return np.array([number(path, row, field, value) for value in listed])


def _joined(histograms: list[tuple[Floats, Floats]]) -> Histogram:
    sizes = [values.size for values, _ in histograms]
    return Histogram(
        np.repeat(np.arange(len(sizes)), sizes),
        np.concatenate([values for values, _ in histograms]),
        np.concatenate([shares for _, shares in histograms]),
    )


_LEVELS = 24
"""Quantile steps into which text and image lengths are put before they are added up."""


def _with_images(histograms: Histograms) -> tuple[Floats, Floats]:
    """Input of a multimodal request: text + images x tokens of an image, the three independent."""
    if not histograms["image_tokens"][0].size or not histograms["image_count"][0].size:
        return histograms["text_tokens"]
    text, text_share = _steps(histograms["text_tokens"])
    image, image_share = _steps(histograms["image_tokens"])
    count, count_share = histograms["image_count"]
    total = text[:, None, None] + image[None, :, None] * count[None, None, :]
    share = text_share[:, None, None] * image_share[None, :, None] * count_share[None, None, :]
    return np.rint(total).reshape(-1), share.reshape(-1)


def _steps(histogram: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """At most ``_LEVELS`` values with the same mean: the mean of each equal step of probability."""
    values, shares = histogram
    if values.size <= _LEVELS:
        return values, shares
    order = np.argsort(values, kind="stable")
    until = np.cumsum(shares[order])
    step = np.minimum((until - shares[order] / 2) * _LEVELS, _LEVELS - 1).astype(np.int64)
    mass = np.bincount(step, shares[order], _LEVELS).astype(np.float64)
    total = np.bincount(step, shares[order] * values[order], _LEVELS).astype(np.float64)
    return total[mass > 0] / mass[mass > 0], mass[mass > 0]
