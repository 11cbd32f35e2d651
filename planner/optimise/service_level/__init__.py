"""The plan brought to the service level that is asked, and judged on futures it has not seen."""
