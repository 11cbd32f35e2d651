"""Environments in which this machine computes as another processor would: other kernels of BLAS, NumPy and libm.

BLAS picks its kernels by OPENBLAS_CORETYPE, NumPy its loops by NPY_DISABLE_CPU_FEATURES, the C library its exp, log
and pow by GLIBC_TUNABLES. Kernels for AVX-512 are tried only where the processor has it.
"""

from numpy._core import _multiarray_umath as umath

SWITCHED = tuple(name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name))
"""Instruction sets beyond the baseline for which NumPy has other loops on this processor."""
HAS_AVX512 = bool(umath.__cpu_features__.get("X86_V4") or umath.__cpu_features__.get("AVX512F"))

NO_DISPATCH = {"NPY_DISABLE_CPU_FEATURES": ",".join(SWITCHED)} if SWITCHED else {}
OLD_LIBM = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX2_Usable,-FMA_Usable"}
"""The last two are the names before glibc 2.33; a name that it does not know is passed over."""

OTHER = {"OPENBLAS_CORETYPE": "Nehalem", **NO_DISPATCH, **OLD_LIBM}

PLAIN: dict[str, str] = {}
FEW = {
    "as it is": PLAIN,
    "Nehalem without dispatch": {"OPENBLAS_CORETYPE": "Nehalem", **NO_DISPATCH},
    "libm without AVX2 and FMA": OLD_LIBM,
}
"""What every run of the tests holds."""
CORES = ("Nehalem", "Haswell", "Zen", *(("SkylakeX",) if HAS_AVX512 else ()))
MANY = {
    **FEW,
    **{core: {"OPENBLAS_CORETYPE": core} for core in CORES},
    **{f"{core} without dispatch": {"OPENBLAS_CORETYPE": core, **NO_DISPATCH} for core in CORES},
    "without dispatch": dict(NO_DISPATCH),
    "all of it": OTHER,
}
"""What ``make soak`` holds."""

PROBE = """
import hashlib, math
import numpy as np
from scipy import special
x = np.random.default_rng(1).uniform(0.1, 3.0, 20_000)
square = x[:14_400].reshape(120, 120)
def name(values):
    return hashlib.sha256(np.asarray(values).tobytes()).hexdigest()[:8]
print(name([math.exp(v) for v in x]), name(np.exp(x)), name(special.gammaincinv(2.7, x / 4)), name(square @ square))
"""
"""Prints four words that tell whose arithmetic it is: libm's, NumPy's, SciPy's and BLAS's."""

if __name__ == "__main__":
    print(*(f"{name}={value}" for name, value in OTHER.items()))
