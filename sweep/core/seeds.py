"""Named seeds: every random draw has a name, so adding one draw does not change the others."""

from __future__ import annotations

import hashlib

import numpy as np


def named_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on `seed` and on the path of `names`, e.g. (0, "augment", epoch)."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def rng(seed: int, *names: str | int) -> np.random.Generator:
    """A separate NumPy generator for one named purpose."""
    return np.random.default_rng(named_seed(seed, *names))
