"""JSON documents whose rows are written one by one, so that no memory need hold them all."""

import datetime as dt
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def json_rows(about: Mapping[str, Any], name: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The text of ``{**about, name: [*rows]}``, indented by two, piece by piece; dates and moments as ISO 8601.

    >>> print("".join(json_rows({"schema_version": 1}, "runs", [{"id": "a"}])), end="")
    {
      "schema_version": 1,
      "runs": [
        {
          "id": "a"
        }
      ]
    }
    """
    yield _text(about).removesuffix("\n}") + f',\n  "{name}": ['
    before = "\n"
    for row in rows:
        yield before + textwrap.indent(_text(row), "    ")
        before = ",\n"
    yield "]\n}\n" if before == "\n" else "\n  ]\n}\n"


def as_text(value: object) -> str:
    """What JSON has no form for: dates and moments as ISO 8601."""
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _text(body: Mapping[str, Any]) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False, default=as_text)
