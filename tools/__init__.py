"""Commands that make pages and data of the repository; no part of the product."""
