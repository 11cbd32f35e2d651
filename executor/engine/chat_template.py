"""Chat templates, filled in by a process of their own: a template is a program that came with the weights.

Jinja's sandbox keeps it from files and from Python's insides, but not from running for ever or taking all memory, and
neither a thread nor a C function at work in it (``9**9**9``) can be stopped from within. The process has MOST_MEMORY
bytes and MOST_SECONDS after its start; the kernel ends it where it wants more.
"""

import json
import signal
import subprocess
import sys
from typing import Any

MOST_SECONDS = 3
"""For one conversation; published templates take a thousandth of it."""
MOST_MEMORY = 512 << 20
MOST_CHARACTERS = 10**7
"""Of a filled-in template."""
_START_S = 60
"""For the process to start, on a machine that is busy with other things, and to fill in the template."""
_SHOWN = 200
_NO_MEMORY = 75
"""Exit code of the process where Python itself ran out of memory."""


def render(template: str, **values: Any) -> str:
    """A chat template filled in with values that JSON can hold.

    BadInputError where it is broken, refuses the conversation or breaks a bound.
    """
    from executor.errors import BadInputError

    asked = json.dumps({"template": template, "values": values})
    process = [sys.executable, "-P", __file__]  # imports nothing of ours, so that it starts in a moment
    try:
        done = subprocess.run(process, input=asked, capture_output=True, timeout=_START_S, text=True, check=False)
    except subprocess.TimeoutExpired:
        raise BadInputError(f"the chat template: its process did not end within {_START_S} s; try again") from None
    if done.returncode == 0:
        kind, text = json.loads(done.stdout)
        if kind == "text":
            return str(text)
        why = {"refused": "refuses", "failed": "cannot be filled in"}[kind]
        raise BadInputError(f"the chat template {why}: {text[:_SHOWN]}")
    if done.returncode > 0 and done.returncode != _NO_MEMORY:
        raise BadInputError(f"the chat template cannot be filled in: {done.stderr.strip()[-_SHOWN:]}")
    late = done.returncode in (-signal.SIGALRM, -signal.SIGXCPU, -signal.SIGKILL)
    taken = f"{MOST_SECONDS} s" if late else f"{MOST_MEMORY >> 20} MiB"
    raise BadInputError(f"the chat template took more than {taken} and was stopped; mend it, or leave it out (--raw)")


def _fill_in() -> tuple[str, str]:
    """In the process: what became of the template on standard input, and its text."""
    import resource
    from datetime import datetime

    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Refused(Exception):  # noqa: N818  what a template raises is no fault of ours
        pass

    def raise_exception(message: object) -> None:
        raise Refused(str(message))

    asked = json.load(sys.stdin)
    world = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    world.globals["raise_exception"] = raise_exception
    world.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS + 1))  # SIGXCPU, then SIGKILL
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)  # its default action ends the process, whatever runs
    try:
        text = world.from_string(asked["template"]).render(**asked["values"])
    except Refused as problem:
        return "refused", str(problem)[:_SHOWN]
    except MemoryError:
        sys.exit(_NO_MEMORY)
    except Exception as problem:  # a template can fail in any way an expression can
        return "failed", str(problem)[:_SHOWN] or type(problem).__name__
    if len(text) > MOST_CHARACTERS:
        return "failed", f"it gives more than {MOST_CHARACTERS:,} characters"
    return "text", text


if __name__ == "__main__":
    json.dump(_fill_in(), sys.stdout)
