"""The exception tree, and the table from status codes of the C core to it."""

import copy
import errno
import os
import pickle

import pytest

from sutra import _check, errors

BUILTINS = {
    errors.DimensionError: ValueError,
    errors.DTypeError: TypeError,
    errors.InvalidVectorError: ValueError,
    errors.DuplicateIdError: ValueError,
    errors.NotFoundError: KeyError,
    errors.ClosedError: ValueError,
    errors.CorruptError: OSError,
    errors.FormatVersionError: OSError,
    errors.CapacityError: OSError,
    errors.ConfigError: ValueError,
    errors.LockedError: OSError,
    errors.ReadOnlyError: PermissionError,
    errors.DurabilityError: OSError,
}

# The numbers of csrc/base/status.h: they never change their meaning.
STATUSES = {
    -10: errors.ConfigError,
    -11: errors.DimensionError,
    -12: errors.InvalidVectorError,
    -13: errors.DuplicateIdError,
    -14: errors.ConfigError,
    -15: errors.NotFoundError,
    -16: errors.ConfigError,
    -20: MemoryError,
    -21: errors.CapacityError,
    -30: errors.ClosedError,
    -31: BufferError,
    -32: errors.SutraError,
    -33: errors.ClosedError,
    -34: errors.LockedError,
    -35: errors.ReadOnlyError,
    -36: errors.DurabilityError,
    -40: errors.CorruptError,
    -41: errors.FormatVersionError,
    -42: errors.CorruptError,
    -43: errors.CorruptError,
    -44: errors.CorruptError,
    -50: errors.CorruptError,
    -51: errors.CorruptError,
    -52: errors.CorruptError,
    -53: errors.CorruptError,
    -54: errors.CorruptError,
}


def raised(status, **details):
    with pytest.raises(BaseException) as caught:
        _check._raise_status(status, **details)
    return caught.value


def test_all_lists_the_tree():
    assert set(errors.__all__) == {"SutraError", *(kind.__name__ for kind in BUILTINS)}


@pytest.mark.parametrize("kind", BUILTINS, ids=lambda kind: kind.__name__)
def test_each_error_is_a_sutra_error_and_a_builtin(kind):
    assert issubclass(kind, errors.SutraError)
    assert issubclass(kind, BUILTINS[kind])
    assert kind.__doc__
    error = kind("a sentence")
    assert str(error) == "a sentence"
    assert error.args == ("a sentence",)


@pytest.mark.parametrize(
    "error",
    [
        errors.SutraError("m"),
        errors.DimensionError("m"),
        errors.InvalidVectorError("m", row=4),
        errors.DuplicateIdError("m", id=2**62),
        errors.NotFoundError("m", id=7),
        errors.NotFoundError("m", id="seven"),
        errors.LockedError("m", holder="process 12"),
        errors.ReadOnlyError("m"),
        errors.DurabilityError("m"),
        errors.CorruptError("m", path="/a/b", offset=65536),
        errors.FormatVersionError("m", path="/a/b", version=9),
        errors.CapacityError("m"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_pickling(error, protocol):
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == "m"
        assert vars(twin) == vars(error)


def test_attributes_default_to_none():
    assert errors.InvalidVectorError("m").row is None
    assert errors.DuplicateIdError("m").id is None
    assert errors.NotFoundError("m").id is None
    assert errors.LockedError("m").holder is None
    assert errors.CorruptError("m").path is None
    assert errors.CorruptError("m").offset is None
    assert errors.FormatVersionError("m").version is None


def test_not_found_shows_its_message_without_quotes():
    assert str(errors.NotFoundError("no id 7")) == "no id 7"
    assert str(errors.NotFoundError()) == ""


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_each_status_has_its_exception(status, kind):
    error = raised(status)
    assert type(error) is kind
    assert len(str(error)) > 10
    assert "unknown" not in str(error)


def test_success_raises_nothing():
    assert _check._raise_status(0) is None


def test_unknown_status_is_still_a_sutra_error():
    assert type(raised(-9999)) is errors.SutraError


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOENT, FileNotFoundError),
        (errno.EACCES, PermissionError),
        (errno.EISDIR, IsADirectoryError),
        (errno.EEXIST, FileExistsError),
        (errno.ENOSPC, OSError),
    ],
)
def test_errno_becomes_the_matching_os_error(code, kind):
    error = raised(code, path="/some/file")
    assert type(error) is kind
    assert not isinstance(error, errors.SutraError)
    assert error.errno == code
    assert error.filename == "/some/file"
    assert error.strerror == os.strerror(code)
    assert raised(code).filename is None
    assert "index.save" in str(raised(code, what="index.save"))


def test_corrupt_names_file_part_offset_and_numbers():
    error = raised(-40, path=b"/a/b", part=b"neighbours", offset=131072, expected=5, found=6)
    assert error.path == "/a/b"
    assert error.offset == 131072
    for word in ("/a/b", "damaged", "neighbours", "131072", "expected 5", "found 6"):
        assert word in str(error)


def test_version_carries_the_number_found():
    error = raised(-41, path="x", expected=1, found=2)
    assert error.version == 2
    assert error.path == "x"
    assert "expected 1, found 2" in str(error)


def test_rows_and_ids_are_named():
    assert raised(-12, row=17).row == 17
    assert "row 17" in str(raised(-12, row=17))
    error = raised(-13, row=3, found=2**63 - 1)
    assert error.id == 2**63 - 1
    assert str(2**63 - 1) in str(error)
    assert "id -5" in str(raised(-14, row=3, found=2**64 - 5))
    assert "expected 128, found 96" in str(raised(-11, expected=128, found=96))


def test_what_comes_before_the_sentence():
    assert str(raised(-16, what="ef")).startswith("ef: ")
    assert str(raised(-40, what="open", path="p")).startswith("p: open: ")
