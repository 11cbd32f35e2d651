"""What one GPU delivers, checked and measured by one command: ``python -m benchmarks.gpu``.

It needs torch, triton and numpy only. Without a GPU it runs the same code at small sizes on the CPU, which proves
the code and measures nothing worth keeping.
"""
