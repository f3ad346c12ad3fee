"""ScalarQuantizer: error bounds, planes, the bytes form, bad input."""

import pickle
import threading

import numpy as np
import pytest

from sutra import Codes, ScalarQuantizer
from sutra.errors import (
    ConfigError,
    CorruptError,
    DimensionError,
    DTypeError,
    FormatVersionError,
    InvalidVectorError,
)

DIMS = [1, 2, 7, 8, 9, 16, 50, 63, 64, 65, 100, 128, 384]


def rows_of(count, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def nibbles(plane, dim):
    """One nibble a column, in the order of the rotated dimensions."""
    blocks = plane.reshape(len(plane), -1, 32)
    return np.concatenate([blocks & 15, blocks >> 4], axis=2).reshape(len(plane), -1)[:, :dim]


def relative_errors(data, decoded, mean):
    distances = np.linalg.norm(data.astype(np.float64) - mean, axis=1)
    return np.linalg.norm(decoded - data.astype(np.float64), axis=1) / distances


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dim", DIMS)
def test_the_error_bound_holds_where_nothing_is_clipped(dim, bits):
    data = rows_of(400, dim) * np.float32(3) + np.float32(5)
    quantizer = ScalarQuantizer(dim, bits=bits, seed=3).fit(data)
    errors = relative_errors(data, quantizer.decode(quantizer.encode(data)), data.mean(axis=0))
    whole = ScalarQuantizer(dim, bits=8, seed=3).fit(data).encode(data)
    rotated_dim = -(-dim // 8) * 8
    codes = nibbles(whole.high, rotated_dim) * 16 + nibbles(whole.low, rotated_dim)
    inside = ((codes > 0) & (codes < 255)).all(axis=1)
    if dim <= 8:
        assert inside.all()
    assert inside.sum() > 100
    assert errors[inside].max() <= quantizer.error_bound * 1.001 + 1e-5
    assert np.median(errors) < 0.7 * quantizer.error_bound


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", ["spike", "heavy tails", "constant", "tiny", "huge", "outlier"])
def test_data_of_any_shape_is_coded(shape, bits):
    rng = np.random.default_rng(1)
    data = rows_of(500, 96)
    if shape == "spike":
        data *= 1e-3
        data[:, 17] = rng.normal(size=500) * 100
    elif shape == "heavy tails":
        data = rng.standard_cauchy(size=(500, 96)).astype(np.float32)
    elif shape == "constant":
        data[:] = 7
    elif shape == "tiny":
        data *= 1e-15
    elif shape == "huge":
        data *= 1e15
    else:
        data[3] *= 1e6
    quantizer = ScalarQuantizer(96, bits=bits).fit(data)
    decoded = quantizer.decode(quantizer.encode(data))
    assert np.isfinite(decoded).all()
    if shape == "constant":
        np.testing.assert_allclose(decoded, 7, rtol=1e-5)
    else:
        errors = relative_errors(data, decoded, data.astype(np.float64).mean(axis=0))
        assert np.median(errors) < quantizer.error_bound
        assert errors.max() < (0.4 if bits == 4 else 0.3)


def test_planes_and_corrections():
    data = rows_of(30, 100)
    codes = ScalarQuantizer(100).fit(data).encode(data)
    assert codes.high.shape == codes.low.shape == (30, 64)
    assert codes.high.dtype == codes.low.dtype == np.uint8
    assert codes.corrections.shape == (30, 2)
    assert codes.corrections.dtype == np.float32
    assert len(codes) == 30
    assert codes.nbytes == 30 * (64 + 64 + 8)
    squares = (np.float64(data - data.mean(axis=0)) ** 2).sum(axis=1)
    np.testing.assert_allclose(codes.corrections[:, 0], squares, rtol=1e-4)
    narrow = ScalarQuantizer(100, bits=4).fit(data).encode(data)
    assert narrow.low is None
    assert narrow.nbytes == 30 * (64 + 8)
    np.testing.assert_array_equal(narrow.high, codes.high)
    np.testing.assert_array_equal(narrow.corrections, codes.corrections)
    assert "4 bits" in repr(narrow)


def test_the_low_plane_may_be_left_out():
    data = rows_of(30, 40)
    quantizer = ScalarQuantizer(40).fit(data)
    codes = quantizer.encode(data)
    high_only = quantizer.decode(Codes(codes.high, None, codes.corrections))
    narrow = ScalarQuantizer(40, bits=4).fit(data)
    np.testing.assert_array_equal(high_only, narrow.decode(narrow.encode(data)))
    fine = np.linalg.norm(quantizer.decode(codes) - data)
    assert fine < np.linalg.norm(high_only - data) / 4


def test_codes_can_be_cut_stored_and_put_together():
    data = rows_of(20, 24)
    quantizer = ScalarQuantizer(24).fit(data)
    codes = quantizer.encode(data)
    whole = quantizer.decode(codes)
    np.testing.assert_array_equal(quantizer.decode(codes[5:9]), whole[5:9])
    np.testing.assert_array_equal(quantizer.decode(codes[::2]), whole[::2])
    stored = pickle.loads(pickle.dumps(codes))
    np.testing.assert_array_equal(quantizer.decode(stored), whole)
    assert quantizer.decode(codes[:0]).shape == (0, 24)
    with pytest.raises(TypeError):
        codes[3]


def test_one_vector_and_no_vector():
    data = rows_of(20, 24)
    quantizer = ScalarQuantizer(24).fit(data)
    one = quantizer.encode(data[4])
    np.testing.assert_array_equal(one.high, quantizer.encode(data).high[4:5])
    assert len(quantizer.encode(np.empty((0, 24)))) == 0


def test_the_mean_itself_and_zero():
    data = np.zeros((5, 10), dtype=np.float32)
    quantizer = ScalarQuantizer(10).fit(data)
    np.testing.assert_array_equal(quantizer.decode(quantizer.encode(data)), data)


def test_it_is_deterministic_and_the_seed_matters():
    data = rows_of(50, 33)
    first, second, other = (ScalarQuantizer(33, seed=s).fit(data) for s in (1, 1, 2))
    assert first.to_bytes() == second.to_bytes() != other.to_bytes()
    np.testing.assert_array_equal(first.encode(data).high, second.encode(data).high)
    assert (first.encode(data).high != other.encode(data).high).any()


def test_properties():
    for bits, step in [(8, 7.2 / 256), (4, 7.2 / 16)]:
        quantizer = ScalarQuantizer(100, bits=bits, seed=2**64 - 1)
        assert quantizer.step == pytest.approx(step)
        assert step / 2 <= quantizer.error_bound < step / 2 * 1.01
        assert quantizer.dim == 100
        assert quantizer.bits == bits
        assert quantizer.seed == 2**64 - 1
        assert quantizer.row_bytes == 64
        assert not quantizer.fitted
        assert "not fitted" in repr(quantizer)
        assert quantizer.fit(rows_of(3, 100)) is quantizer
        assert quantizer.fitted


def test_use_before_fit_is_refused():
    quantizer = ScalarQuantizer(8)
    codes = ScalarQuantizer(8).fit(rows_of(3, 8)).encode(rows_of(3, 8))
    for call in (
        lambda: quantizer.encode(rows_of(1, 8)),
        lambda: quantizer.decode(codes),
        lambda: quantizer.to_bytes(),
    ):
        with pytest.raises(ConfigError, match="fit"):
            call()
    with pytest.raises(TypeError, match="fitted"):
        pickle.dumps(quantizer)


def test_bad_settings_are_refused():
    for bits in (0, 1, 5, 7, 16, -4):
        with pytest.raises(ConfigError, match="bits"):
            ScalarQuantizer(8, bits=bits)
    for dim in (0, -1, 16385):
        with pytest.raises(ConfigError, match="dim"):
            ScalarQuantizer(dim)
    for seed in (-1, 2**64):
        with pytest.raises(ConfigError, match="seed"):
            ScalarQuantizer(8, seed=seed)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_vectors_that_cannot_be_coded_are_refused_with_their_row(bad):
    quantizer = ScalarQuantizer(8).fit(rows_of(5, 8))
    before = quantizer.to_bytes()
    data = rows_of(5, 8)
    data[3, 7] = bad
    for call in (quantizer.encode, quantizer.fit):
        with pytest.raises(InvalidVectorError) as caught:
            call(data)
        assert caught.value.row == 3
    assert quantizer.to_bytes() == before


def test_wrong_shapes_and_types_are_refused():
    quantizer = ScalarQuantizer(8).fit(rows_of(5, 8))
    for call in (quantizer.encode, quantizer.fit):
        with pytest.raises(DimensionError):
            call(rows_of(2, 9))
        with pytest.raises(DTypeError):
            call(np.zeros((2, 8), dtype=complex))
    with pytest.raises(DimensionError, match="at least one"):
        quantizer.fit(np.empty((0, 8)))
    with pytest.raises(DimensionError, match="32 bytes"):
        quantizer.decode(ScalarQuantizer(100).fit(rows_of(2, 100)).encode(rows_of(2, 100)))
    with pytest.raises(TypeError):
        quantizer.decode(rows_of(2, 8))


def test_codes_check_their_arrays():
    high = np.zeros((3, 32), dtype=np.uint8)
    corrections = np.zeros((3, 2), dtype=np.float32)
    with pytest.raises(DTypeError):
        Codes(high.astype(np.int8), None, corrections)
    with pytest.raises(DTypeError):
        Codes(high, None, corrections.astype(np.float64))
    with pytest.raises(DimensionError):
        Codes(high[0], None, corrections)
    with pytest.raises(DimensionError):
        Codes(high, high[:2], corrections)
    with pytest.raises(DimensionError):
        Codes(high, None, corrections[:, :1])
    with pytest.raises(AttributeError):
        Codes(high, None, corrections).high = high


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dim", [1, 8, 50, 128])
def test_bytes_restore_the_quantizer(dim, bits):
    data = rows_of(40, dim)
    quantizer = ScalarQuantizer(dim, bits=bits, seed=9).fit(data)
    packed = quantizer.to_bytes()
    rotated = -(-dim // 8) * 8
    assert len(packed) == 36 + 4 * rotated + rotated // 2
    assert packed[:12] == b"SUTRAQ8\n\x01\0\0\0"
    for form in (bytes, bytearray, memoryview, lambda b: np.frombuffer(b, dtype=np.uint8)):
        restored = ScalarQuantizer.from_bytes(form(packed))
        assert (restored.dim, restored.bits, restored.seed) == (dim, bits, 9)
        assert restored.to_bytes() == packed
    codes = restored.encode(data)
    np.testing.assert_array_equal(codes.high, quantizer.encode(data).high)
    np.testing.assert_array_equal(restored.decode(codes), quantizer.decode(codes))
    assert pickle.loads(pickle.dumps(quantizer)).to_bytes() == packed


def test_every_flipped_bit_is_found():
    packed = bytearray(ScalarQuantizer(10).fit(rows_of(5, 10)).to_bytes())
    for byte in range(len(packed)):
        for bit in range(8):
            packed[byte] ^= 1 << bit
            with pytest.raises((CorruptError, FormatVersionError)):
                ScalarQuantizer.from_bytes(packed)
            packed[byte] ^= 1 << bit
    assert ScalarQuantizer.from_bytes(packed).fitted


def test_every_wrong_length_is_found():
    packed = ScalarQuantizer(10).fit(rows_of(5, 10)).to_bytes()
    for length in range(len(packed)):
        with pytest.raises(CorruptError) as caught:
            ScalarQuantizer.from_bytes(packed[:length])
        assert caught.value.offset is not None
    with pytest.raises(CorruptError):
        ScalarQuantizer.from_bytes(packed + b"\0")


def test_a_newer_version_is_named():
    packed = bytearray(ScalarQuantizer(10).fit(rows_of(5, 10)).to_bytes())
    packed[8] = 2
    with pytest.raises(FormatVersionError) as caught:
        ScalarQuantizer.from_bytes(packed)
    assert caught.value.version == 2
    for bad in ("text", 3, None):
        with pytest.raises(TypeError):
            ScalarQuantizer.from_bytes(bad)


def test_fitting_beside_coding_is_safe():
    data = rows_of(300, 64)
    quantizer = ScalarQuantizer(64).fit(data)
    failures = []

    def code():
        for _ in range(30):
            if len(quantizer.encode(data)) != 300:
                failures.append("short")

    threads = [threading.Thread(target=code) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        quantizer.fit(data)
    for thread in threads:
        thread.join()
    assert failures == []
