"""The two options that say where replications are computed."""

from typing import Annotated

import typer

Backend = Annotated[
    str | None,
    typer.Option(
        "--backend", help="Where replications are computed: processes or dask; the results are the same bits."
    ),
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="Address of the dask scheduler, as tcp://HOST:8786.")
]
