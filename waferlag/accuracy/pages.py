"""The accuracy pages renewed by a measurement: its figures as JSON, then every page that tells them."""

from pathlib import Path

from dashboard.accuracy.figures import Figures
from dashboard.accuracy.pages import renewed
from executor.errors import FileError
from waferlag.files import write_whole


def write_figures(index: Path, name: str, figures: Figures) -> None:
    """Put figures under the name of their section into the folder beside the index, and renew what tells them.

    The folder has the index's name without its ending: docs/accuracy/ for docs/accuracy.md.

    :raises FileError: the index is no .md file, or what is there cannot be read or written.
    """
    if index.suffix != ".md":
        raise FileError(index, "must end in .md", mend="its figures and pages go into the folder of that name")
    try:
        texts = renewed(index, name, figures)
        index.with_suffix("").mkdir(exist_ok=True)
    except (OSError, ValueError) as problem:
        raise FileError(index, f"cannot be read or written: {problem}") from problem
    for path, text in texts.items():
        write_whole(path, text)
