"""The arguments and options by which a command is told its scenario."""

from typing import Annotated

import typer

Scenario = Annotated[str, typer.Argument(help="Scenario file, or the name of a shipped one.")]
With = Annotated[
    list[str] | None, typer.Option("--with", help="Override to lay over it; may be given again.")
]
Replications = Annotated[
    int | None, typer.Option("--replications", help="Fresh futures that validate the plan.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Root of all luck.")]
