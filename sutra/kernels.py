"""Distance kernels over NumPy arrays: one query against many rows, with the chosen SIMD tier.

Every function takes ``(query, rows, out=None)`` and returns one value a row. Arrays must have the
named element types; nothing is converted. The GIL is kept.
"""

from sutra._kernels import (
    cosine_f32,
    dot_code4,
    dot_f32,
    dot_u8s8,
    l2sq_f32,
    l2sq_u7,
    l2sq_u8,
)

__all__ = [
    "cosine_f32",
    "dot_code4",
    "dot_f32",
    "dot_u8s8",
    "l2sq_f32",
    "l2sq_u7",
    "l2sq_u8",
]
