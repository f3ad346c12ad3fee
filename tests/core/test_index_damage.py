"""Damaged index files: every one is refused, or read without harm."""

import faulthandler

import numpy as np
import pytest

from sutra import Index
from sutra.errors import CorruptError, FormatVersionError, SutraError

RESIDENTS = ("auto", "arena", "mapped")
CONFIGURATIONS = {
    "u8": {"quantization": "u8", "metric": "l2"},
    "u4": {"quantization": "u4", "keep_originals": False},
    "none": {"quantization": "none", "metric": "ip"},
    "flat": {"quantization": "u8"},
}
MAGIC_BYTES = 8


@pytest.fixture(scope="module")
def files(tools):
    """Small sound files by name."""
    made = {}

    def make(folder):
        for name, options in CONFIGURATIONS.items():
            if name not in made:
                count = 40 if name == "flat" else 520
                index = Index(6, m=8, ef_construction=20, **options)
                ids = np.arange(count) * 3 if name in ("u4", "flat") else None
                index.add(tools.clustered(count, 6), ids=ids)
                path = folder / "made"
                index.save(path)
                made[name] = path.read_bytes()
                path.unlink()
        return made

    return make


@pytest.fixture(params=CONFIGURATIONS)
def sound(request, files, tmp_path):
    """The bytes of a sound file."""
    return files(tmp_path)[request.param]


def refused(path, data, errors=CorruptError):
    path.write_bytes(data)
    with pytest.raises(errors) as caught:
        Index.open(path, resident="mapped")
    assert caught.value.path == str(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, OSError)
    return caught.value


def test_checksum_is_right(tools, sound):
    """The CRC-32C of the tests is the standard one, and the one in the files."""
    assert tools.crc32c(b"123456789") == 0xE3069283
    assert tools.crc32c(bytes(1000)) == tools.crc32c(bytearray(1000))
    data = bytes(range(256)) * 5
    assert tools.crc32c(data[:255]) != tools.crc32c(data)
    assert tools.crc32c(sound[:4092]) == tools.read_u32(sound, 4092)
    for section in tools.sections(sound).values():
        body = sound[section.offset : section.offset + section.bytes]
        assert tools.crc32c(body) == section.crc


def test_sections_are_where_they_should_be(tools, sound):
    table = tools.sections(sound)
    end = 4096
    for section in table.values():
        assert section.offset % 65536 == 0
        assert section.offset >= end
        assert not any(sound[end : section.offset])
        end = section.offset + section.bytes
    assert len(sound) % 65536 == 0
    assert len(sound) == tools.read_u64(sound, 16)
    assert not any(sound[end:])


@pytest.mark.parametrize(
    "data",
    [b"", b"S", b"SUTRAIDX", b"\0" * 4095, b"\0" * 4096, b"PK\3\4" * 9999, b"\xff" * 70000],
    ids=["empty", "one", "magic", "short", "zeros", "zip", "ones"],
)
def test_not_an_index(tmp_path, data):
    error = refused(tmp_path / "file", data)
    assert error.offset == 0


def test_random_bytes(tmp_path):
    rng = np.random.default_rng(0)
    for size in (1, 100, 4096, 10_000, 100_000):
        refused(tmp_path / "file", rng.bytes(size))
        refused(tmp_path / "file", b"SUTRAIDX" + rng.bytes(size))


def test_truncated_at_every_border(tools, sound, tmp_path):
    borders = {0, 1, 7, 8, 255, 256, 4091, 4092, 4095, 4096, 65535, 65536, len(sound) - 1}
    for section in tools.sections(sound).values():
        end = section.offset + section.bytes
        borders |= {section.offset + delta for delta in (-1, 0, 1)} | {end - 1, end, end + 1}
    for border in sorted(borders - {len(sound)}):
        error = refused(tmp_path / "file", sound[:border])
        assert "short" in str(error)
        assert error.offset is not None
    error = refused(tmp_path / "file", sound + b"\0")
    assert str(len(sound)) in str(error)


def test_every_header_bit_flipped(sound, tmp_path):
    """All of the fields and of the table, and a sample of the reserved rest."""
    path = tmp_path / "file"
    path.write_bytes(sound)
    rest = np.random.default_rng(0).choice(np.arange(704, 4092), 100, replace=False).tolist()
    with path.open("r+b", buffering=0) as file:
        for byte in [*range(704), *rest, *range(4092, 4096)]:
            for bit in range(8):
                file.seek(byte)
                file.write(bytes([sound[byte] ^ 1 << bit]))
                with pytest.raises((CorruptError, FormatVersionError)) as caught:
                    Index.open(path)
                assert caught.value.path == str(path)
            file.seek(byte)
            file.write(sound[byte : byte + 1])
    assert len(Index.open(path))


@pytest.mark.parametrize("version", [2, 3, 255, 2**31, 2**32 - 1])
def test_newer_version(tools, sound, tmp_path, version):
    data = bytearray(sound)
    tools.write_u32(data, 8, version)
    path = tmp_path / "file"
    error = refused(path, tools.seal(data), FormatVersionError)
    assert error.version == version
    assert "newer version" in str(error)


def test_version_zero_never_existed(tools, sound, tmp_path):
    data = bytearray(sound)
    tools.write_u32(data, 8, 0)
    refused(tmp_path / "file", tools.seal(data), (CorruptError, FormatVersionError))


def test_every_field_changed_with_a_right_checksum(tools, sound, tmp_path):
    """What a checksum does not catch, the checks of the numbers against each other do."""
    path = tmp_path / "file"
    fields = [12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 72, 76, 80, 84, 88, 92, 96, 100]
    fields += [
        section.entry + offset
        for section in tools.sections(sound).values()
        for offset in range(0, 32, 4)
    ]
    for field in fields:
        old = tools.read_u32(sound, field)
        for value in {0, old + 1, old - 1, old * 2, 2**31, 2**32 - 1} - {old}:
            data = bytearray(sound)
            tools.write_u32(data, field, value % 2**32)
            path.write_bytes(tools.seal(data))
            harmless(path, "mapped")


def test_small_tables_are_checked_at_open(tools, sound, tmp_path):
    names = ["mean", "signs", "upper_node", "upper_first", "upper_level", "upper_links"]
    for name in set(names) & set(tools.sections(sound)):
        section = tools.sections(sound)[name]
        data = bytearray(sound)
        data[section.offset + section.bytes // 2] ^= 0x10
        error = refused(tmp_path / "file", data)
        assert error.offset == section.offset


def test_deep_verify_finds_a_bit_in_any_section(tools, sound, tmp_path):
    path = tmp_path / "file"
    for section in tools.sections(sound).values():
        for position in (0, section.bytes // 3, section.bytes - 1):
            data = bytearray(sound)
            data[section.offset + position] ^= 1
            path.write_bytes(data)
            with pytest.raises(CorruptError) as caught:
                Index.open(path, resident="mapped").verify(deep=True)
            assert caught.value.offset == section.offset
            assert caught.value.path == str(path)


# ---- mutations


def harmless(path, resident, queries=None):
    """Do everything with a file; only results and our own errors may come out."""
    allowed = (SutraError, OSError, MemoryError)
    try:
        index = Index.open(path, resident=resident)
    except allowed:
        return False
    with index:
        rows = np.linspace(-1, 1, 3 * index.dim, dtype=np.float32).reshape(3, index.dim)
        with np.errstate(all="ignore"):
            for exact in (False, True):
                found = index.search(rows, k=7, threads=1, exact=exact)
                assert found.ids.shape == (3, 7)
            ids = index.ids()
            for number in ids[:: max(1, len(ids) // 3)].tolist():
                try:
                    index.get(number)
                except allowed:
                    continue
        for deep in (False, True):
            try:
                index.verify(deep=deep)
            except allowed:
                continue
        try:
            index.add(rows[:2], threads=1)
            index.search(rows[0], k=3)
        except allowed:
            pass
    return True


def mutate(rng, sound, tools):
    """A copy with one to four changes somewhere it matters, often with matching checksums."""
    data = bytearray(sound)
    table = list(tools.sections(sound).values())
    areas = [(0, 700)] + [(section.offset, section.bytes) for section in table]
    for _ in range(rng.integers(1, 5)):
        start, size = areas[rng.integers(len(areas))]
        kind = rng.integers(5)
        at = start + int(rng.integers(size))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at] = int(rng.choice([0, 1, 127, 128, 255]))
        elif kind == 2:
            value = int(rng.choice([0, 1, 519, 520, 521, 2**31 - 1, 2**31, 2**32 - 1]))
            tools.write_u32(data, min(at & ~3, len(data) - 4), value)
        elif kind == 3:
            value = np.float32(rng.choice([np.nan, np.inf, -np.inf, 3e38, -1e-40]))
            position = min(at & ~3, len(data) - 4)
            data[position : position + 4] = value.tobytes()
        else:
            length = int(min(rng.integers(1, 200), start + size - at))
            data[at : at + length] = rng.bytes(length)
    if rng.random() < 0.75:
        try:
            fresh = tools.sections(data)
        except (AssertionError, IndexError, ValueError):
            fresh = {}
        if rng.random() < 0.9:
            for section in fresh.values():
                end = section.offset + section.bytes
                body = bytes(data[section.offset : end])
                if len(body) == section.bytes and body != sound[section.offset : end]:
                    tools.write_u32(data, section.entry + 24, tools.crc32c(body))
        tools.seal(data)
    if rng.random() < 0.05:
        del data[int(rng.integers(len(data))) :]
    return data


def mutations(tools, files, folder, count, seed):
    path = folder / "file"
    sound = list(files(folder).values())
    opened = 0
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        path.write_bytes(mutate(rng, sound[number % len(sound)], tools))
        faulthandler.dump_traceback_later(60, exit=True)  # a walk that never ends
        try:
            opened += harmless(path, RESIDENTS[number // len(sound) % 3])
        except BaseException:
            print(f"mutation {number} of seed {seed}")
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
    return opened


@pytest.mark.parametrize("seed", range(4))
def test_mutations(tools, files, tmp_path, seed):
    opened = mutations(tools, files, tmp_path, 500, seed)
    assert opened > 100  # enough come through to say something about search


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 20))
def test_very_many_mutations(tools, files, tmp_path, seed):
    assert mutations(tools, files, tmp_path, 10_000, seed) > 2000
