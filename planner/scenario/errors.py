"""What is wrong in a scenario file."""

from collections.abc import Sequence
from pathlib import Path

from executor.errors import Problem, UserMistakeError


class ScenarioError(UserMistakeError):
    """Everything that is wrong in one scenario file, told at once.

    >>> print(ScenarioError("quickstart.yaml", [Problem("horizon_months", "must be positive", found=-3)]))
    quickstart.yaml has 1 problem(s):
      horizon_months: must be positive (got -3)
    """

    def __init__(self, source: str | Path, problems: Sequence[Problem]) -> None:
        assert problems, "a scenario without problems is no error"
        self.source = str(source)
        self.problems = tuple(problems)
        lines = [f"{self.source} has {len(self.problems)} problem(s):"]
        super().__init__("\n  ".join([*lines, *map(str, self.problems)]))
