"""Triton kernels and their launchers. Each is checked against plain torch: under Triton's interpreter in the tests, on
the device by ``benchmarks/gpu``."""

import os

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"
"""Under the interpreter kernels run on the CPU, and matrix products there are exact only in FP32."""


def power_of_two(count: int, least: int = 1) -> int:
    """The smallest power of two that is at least ``count`` and ``least``."""
    return max(least, 1 << (count - 1).bit_length())
