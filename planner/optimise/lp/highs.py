"""HiGHS without a word on stdout, which belongs to the answer."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import highspy


def quiet_highs() -> highspy.Highs:
    """A solver that prints nothing and takes the same steps each time: one thread, one seed.

    The library prints a notice while its first solver is made, before any option can tell it not to; so the
    process's standard output points nowhere for that moment.
    """
    with _silent_stdout():
        highs = highspy.Highs()
    for option, value in (("output_flag", False), ("threads", 1), ("parallel", "off"), ("random_seed", 0)):
        highs.setOptionValue(option, value)
    return highs


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Standard output of the whole process to nowhere; what Python has buffered goes out first."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # no standard output at all, as under some services
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(nowhere)
        os.close(kept)
