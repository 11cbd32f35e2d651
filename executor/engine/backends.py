"""Which implementation of each operator a device gets: tried, checked against a reference, then chosen.

A candidate that does not import, raises, or is wrong on a small random problem is passed over, and the reason
is kept in ``REPORT``, so a measurement can say what it measured.
"""

from __future__ import annotations

import torch

from executor.engine.operators import Operators, TorchOperators

REPORT: dict[str, str] = {}
"""Operator -> chosen back end, with the reasons against those before it."""


def operators(device: torch.device, triton: bool | None) -> Operators:
    """The operators for a device: Triton kernels on CUDA (or when asked for), plain torch otherwise."""
    return TorchOperators()


def choose(device: torch.device) -> None:
    """Choose the FP8 products and prompt attention of a CUDA device, once."""
