"""Make the shipped summaries anew from the published files: python -m tools.summarise_traces FOLDER."""

import argparse
import sys
from pathlib import Path

from executor.errors import UserMistakeError
from planner.reference.traces import SHIPPED
from tools.trace_catalogue import summaries_of


def main(arguments: list[str] | None = None) -> int:
    """Write one JSON file a trace; 0, or 2 where the folder is not what it should be."""
    parser = argparse.ArgumentParser(prog="python -m tools.summarise_traces", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with azure/, deepseek/, mooncake/, servegen/")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where to write; default: the product's own data")
    chosen = parser.parse_args(arguments)
    try:
        for summary in summaries_of(chosen.folder):
            target = chosen.out / f"{summary.name}.json"
            target.write_text(summary.to_json(), encoding="utf-8")
            print(f"{target.name}: {target.stat().st_size:,} bytes")
    except UserMistakeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
