"""`waferlag worker` and `waferlag run-due`: work on the queue."""

from typing import TYPE_CHECKING, Annotated

import typer

from waferlag.commands.db import open_chosen
from waferlag.commands.options import Db

if TYPE_CHECKING:
    from db.connection import Database


def worker(
    drain: Annotated[bool, typer.Option("--drain", help="Stop when nothing waits or runs any more, anywhere.")] = False,
    db: Db = None,
) -> None:
    """Compute what is queued and fire what is due, until stopped. Any number may share a database."""
    with open_chosen(db) as database:
        _work(database, drain)


def run_due(
    once: Annotated[
        bool, typer.Option("--once", help="Fire what is due, work until the queue is empty, and stop.")
    ] = False,
    db: Db = None,
) -> None:
    """Fire due schedules from cron, a systemd timer or a Kubernetes CronJob: no worker needs to stay up.

    Without --once it stays, as `waferlag worker` does. Exits with 3 if a run failed meanwhile.
    """
    from db.queries import failed_since, moment

    with open_chosen(db) as database:
        began = moment(database)
        _work(database, drain=once)
        failed = failed_since(database, began)
    for run_id in failed:
        print(f"run {run_id} failed: see `waferlag runs show {run_id}`")
    if failed:
        raise typer.Exit(3)


def _work(database: "Database", drain: bool) -> None:
    import logging
    import time

    from waferlag.settings import settings
    from waferlag.worker.loop import Worker, stop_on_signals

    logging.Formatter.converter = time.gmtime
    logging.basicConfig(level=logging.INFO, format="%(asctime)sZ %(levelname)s %(message)s")
    working = Worker(database, settings())
    stop_on_signals(working)
    working.work(drain=drain)
