"""Text to tokens and back, with the tokenizer and the chat template that lie beside the weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from executor.engine.chat_template import render
from executor.errors import BadInputError
from executor.user_files import inside, read_bytes, read_json, read_text

LARGEST_TEMPLATE = 10**6
"""Characters of a chat template. Published ones have at most a few tens of thousands."""


class Tokenizer:
    """A ``tokenizer.json`` with the settings beside it."""

    def __init__(self, directory: Path) -> None:
        from tokenizers import Tokenizer as Fast

        path = inside(directory, "tokenizer.json")
        if not path.is_file():
            raise BadInputError(f"{directory} has no tokenizer.json; without it prompts cannot be turned into tokens")
        stored = read_bytes(path)
        try:
            self._fast = Fast.from_buffer(stored)
        except Exception as problem:  # the library raises bare Exception
            raise BadInputError(f"{path}: not a readable tokenizer ({problem})") from problem
        self._settings = _optional_json(directory, "tokenizer_config.json")
        self.template = _template(directory, self._settings)
        self.stop_ids = self._stop_ids(directory)

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text, with the special tokens the tokenizer adds by itself."""
        return list(self._fast.encode(text).ids)

    def encode_chat(self, text: str) -> list[int]:
        """Token ids of one user message in the chat template, up to where the answer begins."""
        rendered = render(
            self.template or "",
            messages=[{"role": "user", "content": text}],
            add_generation_prompt=True,
            **{name: _token_text(self._settings.get(name)) for name in ("bos_token", "eos_token", "unk_token")},
        )
        return list(self._fast.encode(rendered, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids, special tokens left out."""
        return str(self._fast.decode(list(tokens), skip_special_tokens=True))

    def _stop_ids(self, directory: Path) -> frozenset[int]:
        """What ends an answer: generation_config.json, or else the config's or the tokenizer's end of text."""
        for name in ("generation_config.json", "config.json"):
            stated = _optional_json(directory, name).get("eos_token_id")
            ids = stated if isinstance(stated, list) else [stated]
            numbers = [one for one in ids if isinstance(one, int) and not isinstance(one, bool)]
            if numbers:
                return frozenset(numbers)
        end = self._fast.token_to_id(_token_text(self._settings.get("eos_token")))
        return frozenset() if end is None else frozenset([end])


class TextStream:
    """Turns tokens into pieces of text as soon as they are whole characters and no stop text may have begun.

    A piece is what the newest tokens add to the text of the few before them; nothing is given out while it ends
    in half a character. All pieces together are the text of all tokens, up to the first stop text.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        self.stopped = False
        self._tokenizer = tokenizer
        self._stops = tuple(stop for stop in stops if stop)
        self._tokens: list[int] = []
        self._before = 0  # tokens whose text the newer ones are read after
        self._read = 0  # tokens whose text has been taken
        self._held = ""

    def add(self, token: int) -> str:
        """The text that this token completes; often empty."""
        self._tokens.append(token)
        known = self._tokenizer.decode(self._tokens[self._before : self._read])
        text = self._tokenizer.decode(self._tokens[self._before :])
        if text.endswith("\N{REPLACEMENT CHARACTER}") or len(text) <= len(known):
            return ""
        self._before, self._read = self._read, len(self._tokens)
        return self._give(text[len(known) :], last=False)

    def end(self) -> str:
        """What is left, half characters as replacement characters."""
        known = self._tokenizer.decode(self._tokens[self._before : self._read])
        text = self._tokenizer.decode(self._tokens[self._before :])
        return self._give(text[len(known) :], last=True)

    def _give(self, text: str, last: bool) -> str:
        """Hold back what may be the beginning of a stop text; cut at a whole one."""
        if self.stopped:
            return ""
        text = self._held + text
        ends = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)]
        kept = 0 if last else max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of ``text`` that ``stop`` begins with."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


def _template(directory: Path, settings: Mapping[str, Any]) -> str | None:
    """From chat_template.jinja, or from tokenizer_config.json; None where the directory has none."""
    path = inside(directory, "chat_template.jinja")
    stated: Any = settings.get("chat_template")
    if path.is_file():
        stated = read_text(path, 4 * LARGEST_TEMPLATE)
    if isinstance(stated, list):  # several by name
        named = (one for one in stated if isinstance(one, Mapping) and one.get("name") == "default")
        stated = next((one.get("template") for one in named), None)
    if stated is None:
        return None
    if not isinstance(stated, str) or len(stated) > LARGEST_TEMPLATE:
        raise BadInputError(f"{directory}: the chat template must be text of at most {LARGEST_TEMPLATE} characters")
    return stated


def _optional_json(directory: Path, name: str) -> Mapping[str, Any]:
    path = inside(directory, name)
    if not path.is_file():
        return {}
    stored = read_json(path)
    if not isinstance(stored, Mapping):
        raise BadInputError(f"{path}: must hold an object")
    return stored


def _token_text(stored: Any) -> str:
    """A special token's text: stored as text, or as an object with its content."""
    content = stored.get("content") if isinstance(stored, Mapping) else stored
    return content if isinstance(content, str) else ""
