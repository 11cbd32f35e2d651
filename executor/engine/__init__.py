"""The inference engine: open models on CUDA as fast as the device allows, on the CPU correctly.

torch is imported here and in ``executor/measure`` only. docs/executor.md draws the whole on one page.
"""
