"""Orders in whole lots."""
