"""Orders from sampled futures: formulation, solver, service level, benchmarks, reasons. Arrays in, plans out."""
