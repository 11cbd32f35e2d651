"""`waferlag generate`: text from the built-in engine, and nothing else, on stdout."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def generate(
    prompt: Annotated[str, typer.Argument(help="What to continue, or to answer.")],
    weights: Annotated[
        Path, typer.Option("--weights", help="Directory with config.json, safetensors and tokenizer.json.")
    ],
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Most tokens to generate.")] = 128,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, help="0: always the most probable token.")
    ] = 0.0,
    top_p: Annotated[float, typer.Option("--top-p", help="Only the most probable tokens up to this share.")] = 1.0,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="Only so many most probable tokens; 0: all.")] = 0,
    seed: Annotated[int | None, typer.Option("--seed", help="Makes a sampled text repeatable.")] = None,
    dtype: Annotated[
        str, typer.Option("--dtype", help="float32, bfloat16, float16; auto: float32 on the CPU, else bfloat16.")
    ] = "auto",
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or auto.")] = "auto",
    stop: Annotated[list[str] | None, typer.Option("--stop", help="End before this text; may be given again.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the prompt; leave the chat template out.")] = False,
) -> None:
    """Generate text with the weights in a directory, as an answer where it has a chat template.

    Weights are read from safetensors only; no code from the directory is run.
    """
    from executor.engine.sampling import Sampling
    from executor.engine.text import TextSettings, stream_text

    sampling = Sampling(temperature, top_k, top_p, seed, max_tokens)
    settings = TextSettings(sampling, dtype, device, raw, tuple(stop or ()))
    try:
        for piece in stream_text(weights, prompt, settings):
            sys.stdout.write(piece)
            sys.stdout.flush()
        sys.stdout.write("\n")
    except KeyboardInterrupt:
        sys.stdout.write("\n")
        sys.stdout.flush()
        raise typer.Exit(130) from None  # 128 + SIGINT, as shells report it
