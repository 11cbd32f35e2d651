"""The arguments and options by which a command is told its scenario."""

from typing import Annotated

import typer

ScenarioName = Annotated[str, typer.Argument(help="Scenario file, a shipped one's name, or a plan's JSON.")]
With = Annotated[
    list[str] | None, typer.Option("--with", help="Override to lay over the scenario; may be given again.")
]
Replications = Annotated[int | None, typer.Option("--replications", help="Fresh futures to judge by.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Root of all luck.")]
Scenarios = Annotated[int | None, typer.Option("--scenarios", help="Futures that the optimiser sees.")]
Full = Annotated[
    bool, typer.Option("--full", help="Plan on 10,000 futures and judge on 20,000, unless told otherwise.")
]
