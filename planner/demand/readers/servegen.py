"""ServeGen: request rates per client and window, and length histograms per client and six hours."""

import ast
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os.path import isdir
from pathlib import Path
from typing import Any

import numpy as np

from executor.errors import FileError
from planner.demand.readers.burst import Streams, superposed
from planner.demand.readers.textfile import (
    MAX_BYTES,
    Budget,
    cells,
    json_of,
    number,
    read_json,
    read_lines,
    rows_under,
    whole,
)
from planner.demand.readers.trace import Floats, Histogram, Ints, Lengths, RateSeries, Trace

RATES_HEADER = ("client_id", "timestamp", "rate", "cv", "pat_name", "pat_arg1", "pat_arg2")
CHUNK_COLUMNS = RATES_HEADER[1:]
"""Columns of chunk-N-trace.csv, which has no header; N is the client."""
RATE_WINDOW_S = 600.0
LENGTH_WINDOW_S = 21_600.0
LONGEST_RATES_S = 400 * 86_400
"""Rates longer than this have their times in another unit."""
LAWS = ("", "Gamma", "Weibull")
"""Laws of the gaps within a window; empty: no traffic."""
SHAPES = (1e-3, 1e5)
"""Shapes of such a law; the published ones lie between 0.007 and 2200. Beyond, a quantile takes long to find."""
MAX_CLIENTS = 20_000
"""The largest published trace has 163."""
MAX_LENGTHS = 5_000_000
"""Lengths in all histograms of a trace; the largest published one has 1.8 million."""
MAX_COUNTS = 1000
"""Numbers of images in a request; each goes with 24 x 24 lengths of text and image."""
MAX_TABLE = 2 << 20
"""Characters of a histogram that is written as a string; Python takes a hundred times as much to read it."""

Histograms = dict[str, tuple[Floats, Floats]]
"""Field of a length record -> (values, shares)."""
Cells = tuple[Path, int, list[str]]
"""File, row, and the cells of one client and window, the client first."""
Record = tuple[Path, int | None, object]
"""File, row, and the length histograms of one client and six hours."""


@dataclass(frozen=True)
class Clients:
    """Streams of all clients, and their ids in ascending order."""

    ids: Ints
    streams: Streams

    def requests(self, client: int, since_s: float) -> float:
        """Requests of a client within the window of a length record; 0 for a client without rates."""
        at, first = int(np.searchsorted(self.ids, client)), int(since_s // RATE_WINDOW_S)
        if at == self.ids.size or self.ids[at] != client:
            return 0.0
        own = slice(*np.searchsorted(self.streams.client, [at, at + 1]))
        window = self.streams.window[own] - first
        within = (window >= 0) & (window < LENGTH_WINDOW_S // RATE_WINDOW_S)
        rates = np.zeros(int(LENGTH_WINDOW_S // RATE_WINDOW_S))
        rates[window[within]] = self.streams.rate[own][within]
        return float(rates.sum() * RATE_WINDOW_S)


def read_servegen(
    rates: Path, lengths: Path | None = None, name: str | None = None, max_bytes: int = MAX_BYTES
) -> Trace:
    """Rates of all clients together, and the lengths of those whose histograms are published.

    rates      one table of all clients; or a folder as published, chunk-N-trace.csv and chunk-N-dataset.json
    lengths    JSON lines, one a client and six hours; in a folder the chunks have their own
    max_bytes  unpacked size of all files together

    Windows in which no client sent anything are gaps of the record (NaN), and no quiet.
    FileError with row and mend for a wrong cell or field.
    """
    budget = Budget(max_bytes)
    if isdir(rates):
        rows, records = _chunk_rows(rates, budget), _chunk_records(rates, budget)
    else:
        rows = ((rates, row, found) for row, found in rows_under(rates, RATES_HEADER, budget))
        records = _line_records(lengths, budget)
    clients = _clients(rates, rows)
    total = clients.streams.total
    series = RateSeries(RATE_WINDOW_S, np.where(total > 0, total, np.nan), 0, "the trace's own clock, weekday unknown")
    return Trace(
        name or rates.name,
        rates=series,
        lengths=_lengths(lengths or rates, records, clients),
        burst=superposed(clients.streams, RATE_WINDOW_S),
        total_requests=round(float(total.sum()) * RATE_WINDOW_S),
    )


def _line_records(path: Path | None, budget: Budget) -> Iterator[Record]:
    """The records of a file of JSON lines; none where there is no file."""
    if path is not None:
        yield from ((path, row, json_of(path, line, row)) for row, line in read_lines(path, budget))


def _chunk_rows(folder: Path, budget: Budget) -> Iterator[Cells]:
    """The rows of every chunk-N-trace.csv of a folder; FileError where there is none."""
    files = _numbered(folder, "trace", "csv")
    if not files:
        raise FileError(folder, "has no chunk-N-trace.csv")
    for client, path in files:
        for row, line in read_lines(path, budget):
            yield path, row, [str(client), *cells(path, row, line, CHUNK_COLUMNS)]


def _chunk_records(folder: Path, budget: Budget) -> Iterator[Record]:
    """The records of every chunk-N-dataset.json: {second: {field: {length: probability}}}.

    A histogram may be an object or, as published, an object written as a string.
    """
    for client, path in _numbered(folder, "dataset", "json"):
        found = read_json(path, budget)
        if not isinstance(found, dict):
            raise FileError(path, "must map seconds to histograms", found=found)
        for second, histograms in found.items():
            if not isinstance(histograms, dict):
                raise FileError(path, f"second {second[:20]} must map fields to histograms", found=histograms)
            read = {field: _object(path, field, table) for field, table in histograms.items()}
            yield path, None, {**read, "client_id": client, "timestamp": second}


def _numbered(folder: Path, kind: str, ending: str) -> list[tuple[int, Path]]:
    """The files of a kind by client; a link that leads out of the folder is refused."""
    pattern = re.compile(rf"chunk-(\d{{1,9}})-{kind}\.{ending}(\.gz)?")
    matches = [(pattern.fullmatch(path.name), path) for path in folder.iterdir()]
    found = sorted((int(match[1]), path) for match, path in matches if match)
    for _, path in found:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise FileError(path, "leads out of the folder", mend="put the file itself there")
    return found


def _object(path: Path, field: str, table: object) -> object:
    if not isinstance(table, str):
        return table
    try:
        if len(table) > MAX_TABLE:
            raise ValueError("longer than any that is published")
        return ast.literal_eval(table)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise FileError(path, f"{field[:40]} is no histogram", found=table) from error


def _clients(path: Path, rows: Iterable[Cells]) -> Clients:
    """The rows as streams: an entry a row, so that memory follows the file and not clients times windows."""
    columns: list[array[Any]] = [array(kind) for kind in "qqqddb"]
    for place, row, found in rows:
        for column, figure in zip(columns, (row, *_window(place, row, found)), strict=True):
            column.append(figure)
    row_of, client, window, rate, shape, weibull = (np.array(column) for column in columns)
    ids, number_of = np.unique(client, return_inverse=True)
    if ids.size > MAX_CLIENTS:
        raise FileError(path, f"has more than {MAX_CLIENTS:,} clients", mend="keep those that send the most")
    order = np.lexsort((window, number_of))
    twice = np.flatnonzero((np.diff(number_of[order]) == 0) & (np.diff(window[order]) == 0))
    if twice.size:
        at = int(order[twice + 1].min())
        message = f"client {client[at]} has this window twice"
        raise FileError(path, message, row=int(row_of[at]), found=f"{window[at] * RATE_WINDOW_S:.0f}")
    if not rate.any():
        raise FileError(path, "has no traffic: every rate is 0")
    return Clients(ids, Streams(number_of[order], window[order], rate[order], shape[order], weibull[order] > 0))


def _window(path: Path, row: int, found: list[str]) -> tuple[int, int, float, float, bool]:
    """Client, window, rate, shape of the law and whether it is a Weibull law, of one row."""
    client, at, rate, cv, law, shape, scale = found
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
    if figures[0] > 0 and not SHAPES[0] <= figures[1] <= SHAPES[1]:
        raise FileError(path, f"pat_arg1 must lie between {SHAPES[0]:g} and {SHAPES[1]:g}", row=row, found=shape)
    return whole(path, row, "client_id", client), int(second // RATE_WINDOW_S), *figures, law == "Weibull"


def _lengths(path: Path, records: Iterable[Record], clients: Clients) -> Lengths | None:
    weight: list[float] = []
    inputs: list[tuple[Floats, Floats]] = []
    outputs: list[tuple[Floats, Floats]] = []
    seen = multimodal = False
    held = 0
    for place, row, record in records:
        seen = True
        client, since, histograms = _histograms(place, row, record)
        images = "text_tokens" in histograms
        if images and histograms["image_count"][0].size > MAX_COUNTS:
            raise FileError(place, f"image_count has more than {MAX_COUNTS:,} entries", row=row)
        sent = _with_images(histograms) if images else histograms["input_tokens"]
        requests = clients.requests(client, since)
        if not requests or not sent[0].size or not histograms["output_tokens"][0].size:
            continue
        multimodal |= images
        held += sent[0].size + histograms["output_tokens"][0].size
        if held > MAX_LENGTHS:
            raise FileError(place, f"has more than {MAX_LENGTHS:,} lengths", row=row, mend="keep fewer clients")
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
