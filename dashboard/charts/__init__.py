"""Charts from a plan's record: pure functions that know no screen, so that dashboard and report draw the same."""
