"""Commands with their output as the documents show them: renewed by ``make docs``, held to what is printed by a test.

A block of a document that begins with ``$ waferlag`` shows a command, and what it prints up to the next command or the
block's end; ``[...]`` stands for the lines after it. Blocks run in their order in one folder, which holds ``FILES``.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "commands.md")
BLOCK = re.compile(r"(?<=```console\n)\$ waferlag .*?(?=```)", re.DOTALL)
LEFT_OUT = "[...]"
REFUSED = 2
"""Exit code of a user's mistake."""
REPEATABLE = (
    *("plan", "audit", "simulate", "size", "estimate", "replay"),
    *("hindcast", "check", "scenarios", "profiles list"),
)
"""Verbs whose output holds no clock, no name of a run and no other machine."""
FILES = {
    "orders.csv": "pool,source,month,gpus\nchat,h20,2025-08,16\nchat,ascend-910c,2025-07,32\n",
    "setups.csv": (
        "gpu,engine,model,precision,input_tokens,output_tokens,concurrency,tp\n"
        "H100-SXM,sglang,Qwen3-32B,bf16,1024,256,32,4\n"
    ),
    "typo.yaml": (
        "name: typo\nstart: 2025-07-16\nhorizon_month: 12\n"
        "pools:\n- {name: chat, model: Qwen/Qwen3-32B, layouts: {H20-96GB: {tp: 4}},\n"
        "   slo: {ttft_ms: 3000, tpot_ms: 60}, load: {trace: servegen-m-large, requests_per_second: 10}}\n"
        "goal: {unmet_price_per_gpu_hour: 60}\nsources:\n- {name: h20, sku: H20-96GB, prise: 150000}\n"
    ),
}

Run = Callable[[list[str]], str]
"""What a command of these words prints on stdout; where it refuses, on stderr."""


@dataclass(frozen=True)
class Transcript:
    """One command of a document."""

    command: str
    shown: str
    """Its output with the line ends; ends with ``[...]`` where the rest is left out."""

    @property
    def words(self) -> list[str]:
        """The command's words without ``waferlag``."""
        return re.findall(r'"[^"]*"|\S+', self.command.removeprefix("waferlag "))

    @property
    def repeatable(self) -> bool:
        """Whether it prints the same each time, and anything at all."""
        return bool(self.shown) and self.command.removeprefix("waferlag ").startswith(REPEATABLE)

    def renewed(self, said: str) -> str:
        """What ``said`` looks like in the document: as many lines as are shown today, or all."""
        if not self.shown.endswith(LEFT_OUT + "\n"):
            return said
        kept = self.shown.count("\n") - 1
        return "".join(said.splitlines(keepends=True)[:kept]) + LEFT_OUT + "\n"


def transcripts(page: str) -> Iterator[Transcript]:
    """The commands that a page shows, in their order."""
    for block in BLOCK.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield Transcript(command, shown)


def renewed_page(page: str, run: Run, left_alone: tuple[str, ...] = ()) -> str:
    """The page with the output that its repeatable commands print now; some verbs may be left as they are."""
    for each in transcripts(page):
        if each.words[0] in left_alone:
            continue
        if each.repeatable or "--json" in each.words:
            said = run([word.strip('"') for word in each.words])
            if each.repeatable:
                old = f"$ {each.command}\n{each.shown}"
                page = page.replace(old, f"$ {each.command}\n{each.renewed(said)}")
    return page


def prepare(folder: Path) -> None:
    """Put the files there that the documents' commands read."""
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")


def _in_a_process(folder: Path) -> Run:
    environment = {**os.environ, "COLUMNS": "80", "WAFERLAG_DB": f"sqlite:///{folder}/shown.sqlite"}

    def run(words: list[str]) -> str:
        command = [sys.executable, "-m", "waferlag", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        return done.stderr if done.returncode == REFUSED else done.stdout

    return run


def main() -> None:
    """Renew every page."""
    for path in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder))
            page = path.read_text(encoding="utf-8")
            path.write_text(renewed_page(page, _in_a_process(Path(folder))), encoding="utf-8")
            print(f"renewed: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
