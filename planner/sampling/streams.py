"""Keyed random numbers: every uniform is a pure function of what it is for.

The generator is Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC'11), a bijection of a 128-bit counter under a 64-bit key. Waferlag's use of it:

    key     = (root, domain)           root: which sample; domain: what it is for ("gate", "lot" ..)
    counter = (replication, entity, stage // 2, draw)
    uniform = the half of the block that stage % 2 names: 52 of its 64 bits, centred, so never 0 and never 1

An entity is named by ``entity_id`` from what it is (source, order month, lot), never from when it was made.
So competing plans meet the same random numbers, one replication alone equals itself inside a batch, and a further lot,
source, stage or month changes no draw that existed before.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

UInt64 = NDArray[np.uint64]
Floats = NDArray[np.float64]

_MULTIPLIER = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
_BLOCKS_AT_ONCE = 1 << 13
"""Blocks worked on together: nine buffers of this length (0.6 MB) stay in a core's second-level cache."""

WORDS = 1 << 32
"""Roots, replications, entities, stages and draws are whole numbers from 0 up to, not including, this."""


@dataclass(frozen=True)
class Key:
    """One family of random numbers: all draws made under the same root are common to every plan, engine and process.

    root         seed, 0 .. 2**32 - 1
    domain       what a number is for; different words give independent streams
    replication, entity, stage, draw    whole numbers 0 .. 2**32 - 1, scalars or arrays

    ValueError for a number out of range.
    """

    root: int

    def __post_init__(self) -> None:
        if not 0 <= self.root < WORDS:
            raise ValueError(f"a root is a whole number from 0 to {WORDS - 1}, got {self.root}")

    def uniform(
        self, domain: str, replication: ArrayLike, entity: ArrayLike, stage: ArrayLike = 0, draw: ArrayLike = 0
    ) -> Floats:
        """Uniforms strictly between 0 and 1 for the counters, which broadcast against each other.

        Returns float64 of the broadcast shape (scalars: 0-dimensional).
        """
        words = np.broadcast_arrays(*(_word(value) for value in (replication, entity, stage, draw)))
        flat = [np.ascontiguousarray(word).reshape(-1) for word in words]
        out = np.empty(flat[0].size)
        for first in range(0, out.size, _BLOCKS_AT_ONCE):
            part = slice(first, first + _BLOCKS_AT_ONCE)
            counter = (flat[0][part], flat[1][part], flat[2][part] >> np.uint64(1), flat[3][part])
            w0, w1, w2, w3 = philox4x32(counter, (int(self.root), domain_id(domain)))
            odd = (flat[2][part] & np.uint64(1)).astype(bool)
            out[part] = np.where(odd, _fraction(w2, w3), _fraction(w0, w1))
        return out.reshape(words[0].shape)

    def stages(self, domain: str, replication: ArrayLike, entity: ArrayLike, stages: int) -> Floats:
        """Stages 0 .. ``stages`` - 1 of each counter at draw 0, first axis the stage: ``uniform`` at half its cost.

        ``replication`` and ``entity`` broadcast; the result has shape (stages, *broadcast shape) and equals
        ``uniform(domain, replication, entity, stage=s)`` for every s, bit for bit.
        """
        rep, ent = np.broadcast_arrays(_word(replication), _word(entity))
        shape = rep.shape
        rep, ent = np.ascontiguousarray(rep).reshape(-1), np.ascontiguousarray(ent).reshape(-1)
        out = np.empty((stages, rep.size))
        key = (int(self.root), domain_id(domain))
        for first in range(0, rep.size, _BLOCKS_AT_ONCE):
            part = slice(first, first + _BLOCKS_AT_ONCE)
            draw = np.zeros(rep[part].size, dtype=np.uint64)
            for pair in range((stages + 1) // 2):
                w0, w1, w2, w3 = philox4x32((rep[part], ent[part], np.full_like(draw, pair), draw), key)
                out[2 * pair, part] = _fraction(w0, w1)
                if 2 * pair + 1 < stages:
                    out[2 * pair + 1, part] = _fraction(w2, w3)
        return out.reshape(stages, *shape)


@lru_cache(maxsize=65536)
def entity_id(*parts: str | int) -> int:
    """A stable 32-bit name for an entity, the same on every machine and in every order of creation.

    >>> entity_id("H20 from new wafers", 3, 0)
    534164987
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(blake2b(text.encode("utf-8"), digest_size=4).digest(), "big")


def philox4x32(counter: tuple[UInt64, UInt64, UInt64, UInt64], key: tuple[int, int]) -> tuple[UInt64, ...]:
    """Ten rounds of Philox4x32 on arrays of equal shape; 32-bit words travel in uint64.

    One round, with hi and lo the halves of a 32 x 32 bit product and M, W the paper's constants:

        (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0));   k <- k + W
    """
    c0, c1, c2, c3 = (word.copy() for word in counter)
    left, right = np.empty_like(c0), np.empty_like(c0)
    k0, k1 = key
    for _ in range(_ROUNDS):
        np.multiply(c0, _MULTIPLIER[0], out=left)
        np.multiply(c2, _MULTIPLIER[1], out=right)
        np.right_shift(right, _WORD, out=c0)
        np.bitwise_xor(c0, c1, out=c0)
        np.bitwise_xor(c0, np.uint64(k0), out=c0)
        np.right_shift(left, _WORD, out=c2)
        np.bitwise_xor(c2, c3, out=c2)
        np.bitwise_xor(c2, np.uint64(k1), out=c2)
        np.bitwise_and(right, _LOW, out=c1)
        np.bitwise_and(left, _LOW, out=c3)
        k0, k1 = (k0 + _WEYL[0]) % WORDS, (k1 + _WEYL[1]) % WORDS
    return c0, c1, c2, c3


@lru_cache(maxsize=1024)
def domain_id(domain: str) -> int:
    """The second key word of a domain's name."""
    return int.from_bytes(blake2b(domain.encode("utf-8"), digest_size=4).digest(), "big")


def _fraction(high: UInt64, low: UInt64) -> Floats:
    """(k + 1/2) / 2**52 for the top 52 bits k of the two words: exact in float64, and never 0 or 1."""
    bits = (high << np.uint64(20)) | (low >> np.uint64(12))
    return (bits.astype(np.float64) + 0.5) * (1.0 / 2**52)


def _word(value: ArrayLike) -> UInt64:
    words = np.asarray(value)
    if words.dtype.kind not in "iu":
        raise ValueError(f"a counter is made of whole numbers, got {words.dtype}")
    if words.size and (int(words.min()) < 0 or int(words.max()) >= WORDS):
        raise ValueError(f"a counter word lies in 0 .. {WORDS - 1}, got {int(words.min())} .. {int(words.max())}")
    return words.astype(np.uint64)
