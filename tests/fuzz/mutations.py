"""Seeded damage: to documents (delete, double, swap, nest, odd values), to tables, to bytes, and by compression."""

import contextlib
import copy
import gzip
import json
from collections.abc import Callable
from random import Random
from typing import Any

SECRET = "SECRET-7f3a9c"
"""Stands where no message may show it: in passwords, and in files outside the folder that a reader may read."""

TEXTS = [
    *("", " ", "nan", ".nan", "inf", "-.inf", "1e999", "null", "true", "yes", "0x1F", "1:30:59", "٣", "１２"),
    *("2020-02-30", "0001-01-01", "9999-12-31", "2025-07-16T25:61:00Z", "-0", "1_000", "1,5", "=1+1", "@SUM(A1)"),
    *(
        "a" * 121,
        "b" * 300,
        "c" * 5000,
        "9" * 30,
        "9" * 400,
        "-" + "9" * 5000,
        "é",
        "e\u0301",
        "\u202etxt",
        "👩\u200d🚀",
    ),
    *(
        "\x00",
        "\x1b[31mred",
        "a\nb",
        "\r\n",
        "\t",
        "\ufeff",
        "\ud800",
        "\u2028",
        "'; --",
        '"',
        "{",
        "[",
        "&a",
        "*a",
        "!!x",
    ),
    *("../secret.json", "../secret.csv", "/etc/passwd", "/dev/zero", "link.json", "pipe", ".", "..", "~", "a/" * 200),
]
NUMBERS = [0, 1, -1, 2, 7, 0.5, -0.0, 1e-308, 1e308, -1e308, 10**6, 10**9, 2**31, 2**63, 10**30, 10**99, 10**400]
NUMBERS += [float("nan"), float("inf"), float("-inf"), 1e-9, 0.999999, 100_001, 3.0000001]
OTHERS = [None, True, False, [], {}, [[]], {"": None}, [None] * 40, {"name": "x"}, {"match": 5}, {"name": ["x"]}]
BYTES = [
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80", b"\r", b"\n", b"\n\n", b",", b";", b'"', b"'"),
    *(
        b"[",
        b"{",
        b"]",
        b"}",
        b": ",
        b"- ",
        b"? ",
        b"#",
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!float ",
        b"---\n",
        b"%TAG",
        b"NaN",
    ),
    *(
        b"Infinity",
        b"-",
        b"1e999",
        b"1:1:1",
        b"\\u0000",
        b"\x1b[2J",
        b"\xe2\x80\xae",
        b"9" * 500,
        b"[" * 3000,
        b"a" * 9000,
    ),
]


def odd_value(random: Random) -> Any:
    """A value that a reader may not expect."""
    return copy.deepcopy(random.choice(random.choice((TEXTS, NUMBERS, OTHERS))))


def damaged_document(document: Any, random: Random) -> Any:
    """A copy of a JSON-like document with one to five wounds."""
    document = copy.deepcopy(document)
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        slots = list(_slots(document))
        if not slots:
            return odd_value(random)
        holder, key = random.choice(slots)
        with contextlib.suppress(OverflowError, RecursionError):  # a wound too large to make is none
            random.choice(WOUNDS)(holder, key, slots, random)
    return document


def _slots(value: Any) -> Any:
    """Every (container, key) of a document; its containers hold one another, but never themselves."""
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, inner in pairs:
            yield holder, key
            waiting.append(inner)


def _replace(holder: Any, key: Any, slots: Any, random: Random) -> None:
    holder[key] = odd_value(random)


def _delete(holder: Any, key: Any, slots: Any, random: Random) -> None:
    del holder[key]


def _double(holder: Any, key: Any, slots: Any, random: Random) -> None:
    times = random.choice((1, 1, 2, 60, 1100))
    if isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(holder[key]) for _ in range(times if len(str(holder[key])) < 300 else 1)]
    else:
        holder[f"{str(key)[:200]}{random.choice(('', '2', ' ', 's'))}"] = copy.deepcopy(holder[key])


def _rename(holder: Any, key: Any, slots: Any, random: Random) -> None:
    value = holder[key]
    if isinstance(holder, dict):
        del holder[key]
        word = random.choice((*TEXTS, str(key)[:200].upper(), str(key)[:200] + "s", str(key)[1:200]))
        holder[word] = value


def _swap(holder: Any, key: Any, slots: Any, random: Random) -> None:
    """Another place's value."""
    other, where = random.choice(slots)
    holder[key] = copy.deepcopy(other[where])


def _nest(holder: Any, key: Any, slots: Any, random: Random) -> None:
    value = holder[key]
    for _ in range(random.choice((1, 1, 2, 20, 99, 150))):
        value = [value] if random.random() < 0.5 else {str(key)[:40]: value}
    holder[key] = value


def _retype(holder: Any, key: Any, slots: Any, random: Random) -> None:
    """The same as text, list, number, or negated."""
    value = holder[key]
    if isinstance(value, int | float) and not isinstance(value, bool):
        holder[key] = random.choice((str(value), -value, value * 1000, value / 7, [value], bool(value)))
    else:
        holder[key] = random.choice((str(value)[:500], [value], {"value": value}, None, len(str(value))))


WOUNDS: tuple[Callable[..., None], ...] = (_replace, _replace, _delete, _double, _rename, _swap, _nest, _retype)


def damaged_table(text: str, random: Random) -> bytes:
    """A CSV text with rows and cells deleted, doubled, swapped or replaced."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(rows))
        cell = random.randrange(len(rows[at])) if rows[at] else None
        deed = random.randrange(7)
        if deed == 0 and len(rows) > 1:
            del rows[at]
        elif deed == 1:
            rows[at:at] = [list(rows[at]) for _ in range(random.choice((1, 2, 300)))]
        elif deed == 2 and cell is not None:
            rows[at][cell : cell + 1] = []
        elif deed == 3 and cell is not None:
            rows[at].insert(cell, rows[at][cell])
        elif deed == 4:
            random.shuffle(rows)
        elif cell is not None:
            rows[at][cell] = str(random.choice((*TEXTS, *map(repr, NUMBERS))))
    return "\n".join(",".join(cells) for cells in rows).encode("utf-8", "surrogatepass") + b"\n"


def damaged_bytes(raw: bytes, random: Random) -> bytes:
    """Bytes with flips, cuts, doubled and inserted pieces."""
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(raw) + 1)
        deed = random.randrange(6)
        if deed == 0:
            raw = raw[:at]
        elif deed == 1 and at < len(raw):
            raw = raw[:at] + bytes([raw[at] ^ 1 << random.randrange(8)]) + raw[at + 1 :]
        elif deed == 2:
            raw = raw[:at] + raw[at + random.randrange(1, 40) :]
        elif deed == 3:
            piece = raw[at : at + random.randrange(1, 60)]
            raw = raw[:at] + piece * random.choice((2, 2, 3, 50, 2000)) + raw[at:]
        else:
            raw = raw[:at] + random.choice(BYTES) + raw[at:]
    return raw


def packed(raw: bytes, random: Random) -> bytes:
    """Compressed: whole, cut, damaged, twice, or one line repeated until it is a bomb."""
    deed = random.randrange(12)
    if deed == 0:
        line = raw.splitlines(keepends=True)[-1] if raw.strip() else b"\n"
        return gzip.compress(raw + line * (20_000_000 // len(line)), 1, mtime=0)
    whole = gzip.compress(raw, 1, mtime=0)
    if deed == 1:
        return whole[: random.randrange(len(whole))]
    if deed == 2:
        return damaged_bytes(whole, random)
    return gzip.compress(whole, 1, mtime=0) if deed == 3 else whole + whole if deed == 4 else whole


def as_json(document: Any) -> bytes:
    """JSON, which is YAML too; lone surrogates stay escaped, NaN stands bare."""
    return json.dumps(document, default=str).encode()
