"""What the tests of the index share: data with structure, distances in NumPy, file surgery."""

import struct
import types

import numpy as np
import pytest

METRICS = ("cosine", "l2", "ip")
SECTION_NAMES = (
    "mean",
    "signs",
    "upper_node",
    "upper_first",
    "upper_level",
    "upper_links",
    "links",
    "high",
    "low",
    "correction",
    "id",
    "original",
)


def clustered(count, dim, seed=0, clusters=20):
    """Rows of a Gaussian mixture with clusters of unequal size, scale and shape."""
    centres = np.random.default_rng(1000 + dim)  # the same mixture for every seed
    means = 2.0 * centres.standard_normal((clusters, dim))
    shapes = centres.standard_normal((clusters, dim, dim)) / np.sqrt(dim)
    scales = centres.uniform(0.3, 1.5, clusters)
    weights = centres.dirichlet(np.full(clusters, 2.0))
    rng = np.random.default_rng(seed)
    labels = rng.choice(clusters, count, p=weights)
    noise = rng.standard_normal((count, dim))
    rows = means[labels] + scales[labels, None] * np.einsum("nd,nde->ne", noise, shapes[labels])
    return rows.astype(np.float32)


def distances(metric, queries, rows):
    """Distances in float64, by the definitions in the documentation."""
    queries, rows = np.atleast_2d(queries).astype(float), np.atleast_2d(rows).astype(float)
    if metric == "l2":
        return ((queries[:, None] - rows[None]) ** 2).sum(axis=2)
    dots = queries @ rows.T
    if metric == "ip":
        return -dots
    norms = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(rows, axis=1)[None]
    return 1.0 - np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)


def nearest(metric, queries, rows, k):
    """Row numbers of the k nearest, ties by row number."""
    return np.argsort(distances(metric, queries, rows), axis=1, kind="stable")[:, :k]


def recall(found, truth):
    """The share of true neighbours among those found."""
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True))
    return hits / truth.size


# ---- files: see csrc/index/FORMAT.md

_TABLE = np.arange(256, dtype=np.uint32)
for _ in range(8):
    _TABLE = np.where(_TABLE & 1, (_TABLE >> 1) ^ np.uint32(0x82F63B78), _TABLE >> 1)


def crc32c(data):
    """CRC-32C of bytes, 64 lanes at a time: a CRC is linear, so partial sums combine."""
    data = np.frombuffer(data, dtype=np.uint8)
    lanes = 64
    if len(data) < 4 * lanes:
        crc = 0xFFFFFFFF
        table = _TABLE.tolist()
        for byte in data.tolist():
            crc = (crc >> 8) ^ table[(crc ^ byte) & 255]
        return crc ^ 0xFFFFFFFF
    # Leading zeros do not change a CRC register that starts at zero, so the data is padded in
    # front to whole lanes; the usual start value is the same as flipping the first four bytes.
    data = data.copy()
    data[:4] ^= 255
    width = -(-len(data) // lanes)
    padded = np.zeros(lanes * width, dtype=np.uint8)
    padded[lanes * width - len(data) :] = data
    columns = padded.reshape(lanes, width)
    crcs = np.zeros(lanes, dtype=np.uint32)
    for column in columns.T:
        crcs = (crcs >> np.uint32(8)) ^ _TABLE[(crcs ^ column) & np.uint32(255)]
    shift = _zeros_operator(width)
    total = 0
    for crc in crcs.tolist():
        total = _apply(shift, total) ^ crc
    return total ^ 0xFFFFFFFF


_OPERATORS = {}


def _zeros_operator(count):
    """The 32 images of single bits after `count` zero bytes."""
    if count not in _OPERATORS:
        step = [int(_TABLE[(1 << bit) & 255]) ^ ((1 << bit) >> 8) for bit in range(32)]
        result = [1 << bit for bit in range(32)]
        left = count
        while left:
            if left & 1:
                result = [_apply(step, image) for image in result]
            step = [_apply(step, image) for image in step]
            left >>= 1
        _OPERATORS[count] = result
    return _OPERATORS[count]


def _apply(operator, value):
    result = 0
    for image in operator:
        if value & 1:
            result ^= image
        value >>= 1
    return result


def read_u32(data, offset):
    return struct.unpack_from("<I", data, offset)[0]


def read_u64(data, offset):
    return struct.unpack_from("<Q", data, offset)[0]


def write_u32(data, offset, value):
    struct.pack_into("<I", data, offset, value)


def sections(data):
    """The section table: name -> (entry, offset, rows, row bytes, checksum)."""
    table = {}
    for number in range(read_u32(data, 12)):
        entry = 256 + 32 * number
        kind, row_bytes, offset, rows, crc, reserved = struct.unpack_from("<IIQQII", data, entry)
        assert reserved == 0
        table[SECTION_NAMES[kind - 1]] = types.SimpleNamespace(
            entry=entry,
            offset=offset,
            rows=rows,
            row_bytes=row_bytes,
            bytes=rows * row_bytes,
            crc=crc,
        )
    return table


def seal(data):
    """Put the right checksum into a changed header."""
    write_u32(data, 4092, crc32c(data[:4092]))
    return data


@pytest.fixture(scope="session")
def tools():
    """The functions of this file."""
    return types.SimpleNamespace(
        METRICS=METRICS,
        SECTION_NAMES=SECTION_NAMES,
        clustered=clustered,
        crc32c=crc32c,
        distances=distances,
        nearest=nearest,
        read_u32=read_u32,
        read_u64=read_u64,
        recall=recall,
        seal=seal,
        sections=sections,
        write_u32=write_u32,
    )
