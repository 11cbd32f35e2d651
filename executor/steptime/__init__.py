"""How long a step takes: parameters, work, model, fit."""
