"""Arithmetic that gives the same bits on every processor.

The four operations and the square root are correctly rounded everywhere (IEEE 754). ``exp``, ``log``, ``pow``, the
special functions of SciPy and all of BLAS and LAPACK are not: their libraries pick other code, with other last bits,
for other processors. A last bit is enough to tip a comparison, and with it an order. So what leads to a decision is
computed here from the four operations and the square root alone, in a stated order and elementwise in NumPy:

    elementary    exp, expm1, log, log1p, log2, power, hypot
    normal        the normal distribution, its quantile, and draws from it
    gamma         the gamma distribution's quantile, ln Γ, the Poisson distribution function
    linear        products, Cholesky factors and solutions of small dense systems

What is elementwise here gives each element the same value whatever array it stands in.
"""
