"""What machine measured: device, driver, clocks and power as the driver reports them, and the code's commit."""

import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

QUERY = ("name", "driver_version", "clocks.sm", "clocks.mem", "power.draw", "power.limit", "temperature.gpu")
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Machine:
    """The device as it was when asked; empty where nothing could be found out."""

    device: str
    driver: str = ""
    clocks: str = ""


def this_machine() -> Machine:
    """The first NVIDIA GPU of this machine, else its processor."""
    answer = _said("nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader")
    cells = [cell.strip() for cell in answer.splitlines()[0].split(",")] if answer else []
    if len(cells) != len(QUERY):
        return Machine(f"{platform.processor() or platform.machine()}, {platform.system()}")
    name, driver, sm, memory, draw, limit, heat = cells
    count = len(answer.splitlines())
    return Machine(
        device=f"{count} x {name}", driver=driver, clocks=f"SM {sm}, memory {memory}, power {draw} of {limit}, {heat} C"
    )


def code_commit() -> str:
    """Commit of the checkout that this code runs from, with a + where it was changed; empty outside of one."""
    here = str(Path(__file__).parent)
    commit = _said("git", "-C", here, "rev-parse", "--short=12", "HEAD").strip()
    changed = _said("git", "-C", here, "status", "--porcelain", "--untracked-files=no").strip()
    return f"{commit}+" if commit and changed else commit


def _said(*command: str) -> str:
    """What a command prints; nothing where it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
