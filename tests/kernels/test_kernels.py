"""The kernels as Python sees them: values against NumPy, strides, outputs, bad input, the tier.

What one tier computes against another, and every alignment, is checked in tests/c.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import sutra
from sutra import kernels
from sutra.errors import ConfigError, DimensionError, DTypeError

DIMS = [*range(131), 256, 257, 768, 1536]
COUNTS = [0, 1, 3, 4, 5, 17]
FLOATS = ["dot_f32", "l2sq_f32", "cosine_f32"]
BYTES = ["l2sq_u8", "l2sq_u7", "dot_u8s8", "dot_code4"]
ROW_TYPES = dict.fromkeys(FLOATS, np.float32) | dict.fromkeys(BYTES, np.uint8)
QUERY_TYPES = dict.fromkeys(FLOATS, np.float32) | {
    "l2sq_u8": np.uint8,
    "l2sq_u7": np.uint8,
    "dot_u8s8": np.int8,
    "dot_code4": np.int8,
}
OUT_TYPES = dict.fromkeys(FLOATS, np.float32) | {
    "l2sq_u8": np.uint32,
    "l2sq_u7": np.uint32,
    "dot_u8s8": np.int32,
    "dot_code4": np.int32,
}


def arguments(name, count, dim, seed=0):
    """A query and rows that suit a kernel; dim is the number of elements of a row."""
    rng = np.random.default_rng([seed, count, dim])
    if name in FLOATS:
        query, rows = rng.normal(size=dim), rng.normal(size=(count, dim))
    elif name == "l2sq_u8":
        query, rows = rng.integers(0, 256, dim), rng.integers(0, 256, (count, dim))
    elif name == "l2sq_u7":
        query, rows = rng.integers(0, 128, dim), rng.integers(0, 128, (count, dim))
    elif name == "dot_u8s8":
        query, rows = rng.integers(-64, 65, dim), rng.integers(0, 256, (count, dim))
    else:
        query, rows = rng.integers(-127, 128, 2 * dim), rng.integers(0, 256, (count, dim))
    return query.astype(QUERY_TYPES[name]), rows.astype(ROW_TYPES[name])


def expected(name, query, rows):
    """The exact values, in float64 or int64."""
    wide = np.float64 if name in FLOATS else np.int64
    q, r = query.astype(wide), rows.astype(wide)
    if name == "cosine_f32":
        lengths = np.linalg.norm(q) * np.linalg.norm(r, axis=1)
        return 1 - np.divide(r @ q, lengths, out=np.zeros(len(r)), where=lengths > 0)
    if name.startswith("l2sq"):
        return ((q - r) ** 2).sum(axis=1)
    if name == "dot_code4":
        count, width = r.shape
        blocks = r.reshape(count, width // 32, 32)
        r = np.concatenate([blocks & 15, blocks >> 4], axis=2).reshape(count, 2 * width)
    return r @ q


def tolerance(name, query, rows):
    """What kernels.def allows a float sum, for every row."""
    if name not in FLOATS:
        return 0
    q, r = np.abs(query.astype(np.float64)), np.abs(rows.astype(np.float64))
    unit = (len(query) + 8) * 2.0**-24
    if name == "dot_f32":
        return unit * (r @ q) + 1e-30
    if name == "l2sq_f32":
        return 3 * unit * ((q + r) ** 2).sum(axis=1) + 1e-30
    return 4 * unit + 1e-6


def dims_of(name):
    return [32 * blocks for blocks in range(9)] if name == "dot_code4" else DIMS


def check(name, query, rows, found):
    assert found.dtype == OUT_TYPES[name]
    assert found.shape == (len(rows),)
    errors = np.abs(found.astype(np.float64) - expected(name, query, rows))
    assert (errors <= tolerance(name, query, rows)).all()


def test_every_function_is_covered():
    assert sorted(kernels.__all__) == sorted(FLOATS + BYTES)


@pytest.mark.parametrize("name", FLOATS + BYTES)
def test_values(name):
    for dim in dims_of(name):
        for count in COUNTS:
            query, rows = arguments(name, count, dim)
            check(name, query, rows, getattr(kernels, name)(query, rows))


@pytest.mark.parametrize("name", FLOATS + BYTES)
def test_strided_rows_and_any_alignment(name):
    for dim in (d for d in dims_of(name) if d in (1, 2, 7, 32, 64, 96, 100, 128, 130)):
        for before, after in [(0, 1), (1, 0), (3, 5), (0, dim)]:
            query, wide = arguments(name, 9, before + dim + after)
            query = arguments(name, 9, dim)[0]
            rows = wide[:, before : before + dim]
            check(name, query, rows, getattr(kernels, name)(query, rows))
            check(name, query, rows[::2], getattr(kernels, name)(query, rows[::2]))
            check(name, query, rows[4:5], getattr(kernels, name)(query, rows[4:5]))
            repeated = np.broadcast_to(rows[0], rows.shape)
            check(name, query, repeated, getattr(kernels, name)(query, repeated))


@pytest.mark.parametrize("name", FLOATS + BYTES)
def test_out(name):
    query, rows = arguments(name, 12, 64)
    function = getattr(kernels, name)
    out = np.full(16, 99, dtype=OUT_TYPES[name])
    assert function(query, rows, out=out[2:14]).base is out
    np.testing.assert_array_equal(out[2:14], function(query, rows))
    assert (out[[0, 1, 14, 15]] == 99).all()
    with pytest.raises(DimensionError, match="12 rows"):
        function(query, rows, out=out)
    with pytest.raises(DimensionError, match="contiguous"):
        function(query, rows, out=np.zeros(24, dtype=OUT_TYPES[name])[::2])
    with pytest.raises(DTypeError, match="out"):
        function(query, rows, out=np.zeros(12, dtype=np.float64))
    frozen = np.zeros(12, dtype=OUT_TYPES[name])
    frozen.flags.writeable = False
    with pytest.raises(DimensionError, match="writable"):
        function(query, rows, out=frozen)


@pytest.mark.parametrize("name", FLOATS + BYTES)
def test_wrong_types_are_refused(name):
    query, rows = arguments(name, 4, 64)
    function = getattr(kernels, name)
    for wrong in (np.float64, np.int64, np.uint16, np.float16, bool):
        with pytest.raises(DTypeError, match="query"):
            function(query.astype(wrong), rows)
        with pytest.raises(DTypeError, match="rows"):
            function(query, rows.astype(wrong))
    with pytest.raises(DTypeError, match="NumPy array"):
        function(query.tolist(), rows)
    with pytest.raises((DTypeError, DimensionError)):
        function(query, rows.tolist())
    if name in FLOATS:
        swapped = query.astype(query.dtype.newbyteorder())
        with pytest.raises(DTypeError, match="byte order"):
            function(swapped, rows)
        moved = np.frombuffer(b"\0" + query.tobytes(), dtype=np.uint8)[1:].view(np.float32)
        with pytest.raises(DTypeError, match="aligned"):
            function(moved, rows)


@pytest.mark.parametrize("name", FLOATS + BYTES)
def test_wrong_shapes_are_refused(name):
    query, rows = arguments(name, 4, 64)
    function = getattr(kernels, name)
    for bad_query in (query[:-1], query[:0], query[None], np.append(query, query)):
        with pytest.raises(DimensionError):
            function(bad_query, rows)
    for bad_rows in (rows[0], rows[None], np.float32(1) * 0):
        with pytest.raises((DimensionError, DTypeError)):
            function(query, bad_rows)
    with pytest.raises(DimensionError, match="contiguous"):
        function(np.repeat(query, 2)[::2], rows)
    with pytest.raises(DimensionError, match="contiguous"):
        function(query, np.repeat(rows, 2, axis=1)[:, ::2])
    with pytest.raises(DimensionError, match="contiguous"):
        function(query, np.asfortranarray(rows))
    with pytest.raises(DimensionError, match="positive"):
        function(query, rows[::-1])


def test_code_rows_come_in_blocks():
    with pytest.raises(ConfigError, match="blocks of 32"):
        kernels.dot_code4(np.zeros(96, dtype=np.int8), np.zeros((2, 48), dtype=np.uint8))


def test_cosine_of_zero_vectors_is_one():
    rows = np.array([[0, 0, 0], [1, 2, 3]], dtype=np.float32)
    assert kernels.cosine_f32(np.zeros(3, dtype=np.float32), rows).tolist() == [1, 1]
    assert kernels.cosine_f32(rows[1], rows)[0] == 1
    assert abs(kernels.cosine_f32(rows[1], rows)[1]) < 1e-6


def test_extreme_codes_do_not_overflow():
    dim = 33000 // 32 * 32
    full = np.full((3, dim), 255, dtype=np.uint8)
    zero = np.zeros(dim, dtype=np.uint8)
    assert kernels.l2sq_u8(zero, full).tolist() == [dim * 255**2] * 3
    assert kernels.l2sq_u7(zero, full >> 1).tolist() == [dim * 127**2] * 3
    for value in (-64, 64):
        query = np.full(dim, value, dtype=np.int8)
        assert kernels.dot_u8s8(query, full).tolist() == [dim * 255 * value] * 3
    for value in (-127, 127):
        query = np.full(2 * dim, value, dtype=np.int8)
        assert kernels.dot_u8s8(query[:dim], full >> 1).tolist() == [dim * 127 * value] * 3
        assert kernels.dot_code4(query, full).tolist() == [2 * dim * 15 * value] * 3


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("tier", sutra.platform()["isa"]["supported"])
def test_the_environment_caps_the_tier(tier):
    code = """if True:
        import json, sys, numpy as np, sutra
        query, rows = np.arange(130, dtype=np.uint8), np.full((3, 130), 9, dtype=np.uint8)
        print(json.dumps([sutra.platform()["isa"], sutra.kernels.l2sq_u8(query, rows).tolist()]))
    """
    finished = run(code, SUTRA_ISA=tier)
    assert finished.returncode == 0, finished.stderr
    isa, distances = json.loads(finished.stdout)
    assert isa["chosen"] == tier
    assert isa["supported"] == sutra.platform()["isa"]["supported"]
    assert distances == [int(((np.arange(130) - 9) ** 2).sum())] * 3


@pytest.mark.parametrize("name", ["sse9", "SCALAR", " ", "avx2 ", "é"])
def test_an_unknown_tier_stops_the_import_and_names_the_known_ones(name):
    finished = run("import sutra", SUTRA_ISA=name)
    assert finished.returncode == 1
    message = finished.stderr.splitlines()[-1]
    assert message.startswith("ImportError: SUTRA_ISA=")
    for tier in sutra.platform()["isa"]["supported"]:
        assert tier in message


def test_an_empty_setting_is_none():
    finished = run("import sutra; print(sutra.platform()['isa']['chosen'])", SUTRA_ISA="")
    assert finished.stdout.strip() == sutra.platform()["isa"]["supported"][-1]


def test_platform():
    found = sutra.platform()
    assert set(found) == {
        "isa",
        "page_bytes",
        "cache_line_bytes",
        "cache_bytes",
        "huge_pages",
        "cores",
        "memory_bytes",
    }
    isa = found["isa"]
    assert set(isa) == {"compiled", "supported", "chosen"}
    assert isa["supported"][0] == isa["compiled"][0] == "scalar"
    assert set(isa["supported"]) <= set(isa["compiled"])
    assert isa["chosen"] in isa["supported"]
    assert found["page_bytes"] in (4096, 16384, 65536)
    assert found["cache_line_bytes"] in (32, 64, 128, 256)
    assert set(found["cache_bytes"]) == {"l1d", "l2", "l3"}
    assert all(size >= 0 for size in found["cache_bytes"].values())
    assert found["huge_pages"] in ("never", "madvise", "always", "unknown")
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert found["memory_bytes"]["total"] >= found["memory_bytes"]["available"] > 0
    json.dumps(found)
