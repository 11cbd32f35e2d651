"""A process that ends with the one that started it, however that one ended: kill -9 included."""

import os
import signal
import threading
import time
from contextlib import suppress

_SECONDS = 10
"""Time to end in order before it is ended at once."""


def end_with_parent() -> None:
    """Watch standard input, a pipe whose other end the parent holds: the system closes it when the parent dies."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    with suppress(OSError):  # there is no pipe any more
        while os.read(0, 1024):
            continue
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_SECONDS)
    os._exit(1)
