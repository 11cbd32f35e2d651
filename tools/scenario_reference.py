"""The reference page of the scenario file, made from the models' own docstrings.

`python -m tools.scenario_reference > docs/scenario.md`
"""

from collections.abc import Iterable, Iterator
from types import NoneType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from planner.scenario.load import common_overrides, shipped
from planner.scenario.models import Scenario

HEAD = """# The scenario file

YAML, read into frozen, closed models: a field that is not on this page is a mistake, and all mistakes are
told at once. A file may also hold `overrides`, named partial scenarios that `--with NAME` lays over it.

This page is made from the models; `make docs` writes it anew.
"""


def reference_page() -> str:
    """Markdown for every model a scenario file may hold, each once, in the order a reader meets them."""
    parts = [HEAD]
    parts += [_section(model) for model in _reached(Scenario)]
    parts.append("## Overrides that fit any scenario\n\n" + "\n".join(f"- `{n}`" for n in common_overrides()) + "\n")
    parts.append("## Shipped scenarios\n\n" + "\n".join(f"- `{name}`" for name in shipped()) + "\n")
    return "\n".join(parts)


def _reached(model: type[BaseModel], seen: list[type[BaseModel]] | None = None) -> list[type[BaseModel]]:
    """The model and those its fields may hold, depth first."""
    seen = [] if seen is None else seen
    if model not in seen:
        seen.append(model)
        for field in model.model_fields.values():
            for inner in _models(field.annotation):
                _reached(inner, seen)
    return seen


def _section(model: type[BaseModel]) -> str:
    lines = [f"## {_title(model)}", "", (model.__doc__ or "").strip(), "", "| field | type | default | meaning |"]
    lines.append("| --- | --- | --- | --- |")
    for name, field in model.model_fields.items():
        meaning = " ".join((field.description or "").split())
        lines.append(
            f"| `{name}` | {_type(field.annotation)}{_bounds(field.metadata)} | {_default(field)} | {meaning} |"
        )
    return "\n".join([*lines, ""])


def _title(model: type[BaseModel]) -> str:
    return model.__name__.lstrip("_")


def _type(annotation: Any) -> str:
    """An annotation in words."""
    if annotation is NoneType:
        return "none"
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin is list:
        return f"list of {_type(args[0])}"
    if origin is dict:
        return f"{_type(args[0])} → {_type(args[1])}"
    if origin is Union or str(origin) == "<class 'types.UnionType'>":
        return " or ".join(_type(arg) for arg in args if arg is not NoneType)
    if hasattr(annotation, "__metadata__"):
        inner = [piece for item in annotation.__metadata__ for piece in getattr(item, "metadata", [])]
        return _type(args[0]) + _bounds(inner)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{_title(annotation)}](#{_title(annotation).lower()})"
    names = {"str": "text", "int": "whole number", "float": "number", "date": "date", "bool": "yes or no"}
    return names.get(getattr(annotation, "__name__", ""), "any")


def _bounds(metadata: Iterable[Any]) -> str:
    """Limits in brackets: (≥ 0, ≤ 1)."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {limit:g}" if isinstance(limit, float) else f"{sign} {limit}"
        for piece in metadata
        for name, sign in signs.items()
        if (limit := getattr(piece, name, None)) is not None
    ]
    return f" ({', '.join(found)})" if found else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value in ([], {}, ""):
        return "none"
    if isinstance(value, BaseModel):
        inner = value.model_dump(exclude_none=True)
        return " ".join(str(part) for part in inner.values()) if "amount" in inner else "see there"
    return f"`{value}`"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


if __name__ == "__main__":
    print(reference_page(), end="")
