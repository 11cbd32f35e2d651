"""YAML that users hand in: safe, without aliases, of bounded size, and with plain numbers alone."""

import math
import re
from typing import Any

import yaml

from executor.errors import shown
from executor.user_files import MAX_DEPTH, MAX_DIGITS

MAX_NODES = 50_000
"""Values, keys, lists and mappings of a file; counted as they are parsed, which takes most of the time."""

_NUMBERS = {
    "tag:yaml.org,2002:int": r"[-+]?(0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)",
    "tag:yaml.org,2002:float": r"([-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?",
}
"""YAML 1.1 without .inf, .nan and numbers to the base of 60 (12:30 is 750), which take quadratic time."""


def yaml_value(text: str) -> Any:
    """The value of a YAML text.

    :raises yaml.YAMLError: no YAML, an alias, a foreign tag, a key twice, more than MAX_NODES nodes, nested deeper
        than MAX_DEPTH, a number of more than MAX_DIGITS digits, or NaN.
    """
    return yaml.load(text, Loader=_Loader)


class _Loader(yaml.SafeLoader):
    """Safe YAML within bounds; PyYAML calls these methods."""

    nodes = 0
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.events.AliasEvent):
            raise _wrong("aliases are not allowed; write the value out", mark)
        self.nodes += 1
        self.depth += 1
        if self.nodes > MAX_NODES:
            raise _wrong(f"has more than {MAX_NODES:,} nodes", mark)
        if self.depth > MAX_DEPTH:
            raise _wrong("is nested too deeply", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        kind = node.tag.rsplit(":", 1)[-1]
        is_number = node.tag in _NUMBERS and isinstance(node.value, str)
        if is_number and len(node.value) > MAX_DIGITS:
            raise _wrong(f"a number of more than {MAX_DIGITS} digits", node.start_mark)
        try:
            value = super().construct_object(node, deep)
        except (ValueError, KeyError, IndexError, OverflowError, AttributeError, TypeError) as error:
            # PyYAML lets what int(), float() and date() raise escape, without the place.
            said = str(error) if kind == "timestamp" else f"{shown(node.value)} is no {kind}"
            raise _wrong(said, node.start_mark) from None
        if is_number and (":" in node.value or math.isnan(value)):
            raise _wrong(f"{shown(node.value)} is no {kind}", node.start_mark)
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = getattr(key_node, "value", None)
            if isinstance(key, str) and key in seen:
                raise _wrong(f"key {shown(key)} given twice", key_node.start_mark)
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _wrong(said: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, said, mark)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, re.compile(rf"(?:{_NUMBERS[tag]})\Z") if tag in _NUMBERS else pattern) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
