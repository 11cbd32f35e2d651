"""Orders from sampled futures: formulation, solver, promise, rivals, reasons. Arrays in, plans out."""
