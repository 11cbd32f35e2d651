"""From a prompt to a stream of text: what ``waferlag generate`` does."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from executor.engine.checkpoint import load, read_spec
from executor.engine.engine import Engine, Settings
from executor.engine.sampling import GREEDY, Sampling
from executor.engine.tokenizer import TextStream, Tokenizer
from executor.errors import BadInputError, UnknownNameError
from executor.model.spec import ModelSpec

log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class TextSettings:
    """How to generate. ``raw`` continues the prompt even where the directory has a chat template; the text
    ends before the first of ``stops``.
    """

    sampling: Sampling = GREEDY
    dtype: str = "auto"
    device: str = "auto"
    raw: bool = False
    stops: tuple[str, ...] = ()


def stream_text(directory: Path, prompt: str, settings: TextSettings) -> Iterator[str]:
    """Pieces of the text that the model in ``directory`` answers, or continues, ``prompt`` with."""
    device = chosen_device(settings.device)
    dtype = chosen_dtype(settings.dtype, device)
    spec = read_spec(directory)
    tokenizer = Tokenizer(directory)
    templated = tokenizer.template is not None and not settings.raw
    tokens = tokenizer.encode_chat(prompt) if templated else tokenizer.encode(prompt)
    sampling = replace(settings.sampling, stop_ids=tokenizer.stop_ids)
    length = _length(spec, tokens, sampling.max_tokens)
    spec, weights = load(directory, dtype, device)
    log.info("%s: %.2f GB of weights on %s", spec.name, weights.bytes / 1e9, device)
    engine = Engine(spec, weights, one_request(length, len(tokens)))
    text = TextStream(tokenizer, settings.stops)
    for token in engine.stream(tokens, sampling):
        yield text.add(token)
        if text.stopped:
            return
    yield text.end()


def one_request(length: int, prompt: int) -> Settings:
    """An engine for a single sequence: pages for its length, its prompt in one or a few chunks."""
    page = 64
    return Settings(
        max_batch=1,
        token_budget=min(max(prompt, 16), 2048),
        page_size=page,
        pages=-(-length // page),
        max_length=length,
        graphs=False,
        tune=False,
    )


def chosen_device(name: str) -> torch.device:
    """cpu, cuda, or for auto whichever is there; BadInputError where CUDA was asked for and is not."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise UnknownNameError("device", name, ("cpu", "cuda", "auto"))
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInputError("device cuda: torch finds no CUDA device here; use --device cpu")
    return torch.device(name)


def chosen_dtype(name: str, device: torch.device) -> torch.dtype:
    """The data type by name; for auto what is exact on the CPU and fast on CUDA."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise UnknownNameError("dtype", name, (*DTYPES, "auto"))
    return DTYPES[name]


def _length(spec: ModelSpec, tokens: list[int], max_tokens: int) -> int:
    """Room for prompt and answer, if the model can take so much."""
    if not tokens:
        raise BadInputError("the prompt is empty, and this model's tokenizer adds no first token; write something")
    total = len(tokens) + max_tokens
    if total > spec.max_position:
        raise BadInputError(
            f"{len(tokens)} prompt tokens and {max_tokens} more exceed {spec.name}'s longest sequence,"
            f" {spec.max_position}; shorten the prompt or lower --max-tokens"
        )
    return total
