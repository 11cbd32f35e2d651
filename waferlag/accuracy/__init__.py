"""Accuracy figures from what was scored and replayed, and the pages that are written from them."""
