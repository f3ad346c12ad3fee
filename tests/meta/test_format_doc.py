"""What FORMAT.md of the index and of the store say is what the headers say; examples are real."""

import gzip
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "csrc/index/FORMAT.md").read_text(encoding="utf-8")
HEADER = (ROOT / "csrc/index/format.h").read_text(encoding="utf-8")
CONSTANTS = {
    name: int(value, 0)
    for name, value in re.findall(r"\b(SUTRA_\w+)\s*=\s*(\d\w*)", HEADER)
    + re.findall(r"#define (SUTRA_\w+) (\d+)u?\b", HEADER)
}
WIDTHS = {"u32": 4, "u64": 8}

STORE = ROOT / "csrc/store"
SEALED = (STORE / "FORMAT.md").read_text(encoding="utf-8")


def table(heading, text=TEXT):
    """The rows of the first table below a heading."""
    lines = text[text.index(f"{heading}\n") :].splitlines()[1:]
    start = next(n for n, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        rows.append(cells)
    return rows, lines[start + 2 + len(rows) :]


def comment_width(name):
    """Bytes of a field, from the type its comment in format.h begins with."""
    match = re.search(rf"\b{name} = \d+,\s*/\* (\w+|\d+ bytes)", HEADER)
    kind = match[1]
    return WIDTHS[kind] if kind in WIDTHS else int(kind.split()[0])


def test_header_fields():
    rows, _ = table("## Header")
    documented = {name: (int(offset), width) for offset, width, name, _ in rows}
    expected = {
        name.removeprefix("SUTRA_HEADER_")
        for name in CONSTANTS
        if name.startswith("SUTRA_HEADER_") and name != "SUTRA_HEADER_BYTES"
    }
    assert set(documented) == expected
    end = 0
    for name, (offset, width) in documented.items():
        assert offset == CONSTANTS[f"SUTRA_HEADER_{name}"]
        assert offset >= end
        if name == "SECTIONS":
            assert width == f"{CONSTANTS['SUTRA_SECTION_ENTRY_BYTES']} each"
            most = CONSTANTS["SUTRA_SECTION_KINDS"] - 1
            end = offset + most * CONSTANTS["SUTRA_SECTION_ENTRY_BYTES"]
            continue
        assert int(width) == comment_width(f"SUTRA_HEADER_{name}")
        end = offset + int(width)
    assert end == CONSTANTS["SUTRA_HEADER_BYTES"]


def test_flags():
    text = TEXT[TEXT.index("Flags; a reader") :]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", text[: text.index("`ENTRY`:")], re.M)
    expected = {
        name.removeprefix("SUTRA_FLAG_"): value
        for name, value in CONSTANTS.items()
        if name.startswith("SUTRA_FLAG_")
    }
    assert {name: int(value) for value, name in rows} == expected
    assert sum(expected.values()) == CONSTANTS["SUTRA_FLAGS_KNOWN"]


def test_section_entry():
    rows, _ = table("## Section table")
    end = 0
    for offset, width, name, _ in rows:
        assert int(offset) == CONSTANTS[f"SUTRA_SECTION_{name}"] == end
        assert int(width) == comment_width(f"SUTRA_SECTION_{name}")
        end += int(width)
    assert end == CONSTANTS["SUTRA_SECTION_ENTRY_BYTES"]


def test_section_kinds():
    text = TEXT[TEXT.index("| kind | name |") :]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", text[: text.index("\n\n")], re.M)
    assert len(rows) == CONSTANTS["SUTRA_SECTION_KINDS"] - 1
    for number, (kind, name) in enumerate(rows, start=1):
        assert int(kind) == number == CONSTANTS[f"SUTRA_SECTION_{name}"]


@pytest.mark.parametrize(
    ("name", "place", "pattern"),
    [
        ("SUTRA_DIM_MAX", "index/index.h", r"1 to ([\d,]+) \|"),
        ("SUTRA_EF_CONSTRUCTION_MAX", "index/index.h", r"`EF_CONSTRUCTION` \| 1 to ([\d,]+)"),
        ("SUTRA_ROWS_MAX", "vectors/planes.h", r"at most (0x\w+) \|"),
        ("SUTRA_LEVEL_MAX", "graph/graph.h", r"its level, 1 to (\d+)"),
        ("SUTRA_NO_NODE", "graph/node.h", r"unused slots after them are (0x\w+)"),
        ("SUTRA_SECTION_ALIGNMENT", None, r"each at a multiple of ([\d,]+)"),
        ("SUTRA_INDEX_VERSION", "index/format.h", r"# The index file, version (\d+)"),
    ],
)
def test_limits(name, place, pattern):
    files = [ROOT / "csrc" / place] if place else sorted((ROOT / "csrc").rglob("*.h"))
    found = [
        match[1]
        for path in files
        for match in re.finditer(
            rf"#define {name} (.+)|\b{name} = (.+),", path.read_text(encoding="utf-8")
        )
    ]
    assert len(found) == 1
    number, shift = re.match(
        r"[(]*(?:size_t\))?(0x[0-9a-f]+|\d+)u?(?: << (\d+))?", found[0]
    ).groups()
    value = int(number, 0) << int(shift or 0)
    assert int(re.search(pattern, TEXT)[1].replace(",", ""), 0) == value


def test_magic():
    magic = re.search(r'#define SUTRA_INDEX_MAGIC "(\w+)"', HEADER)[1]
    assert f"`MAGIC` | `{magic}`" in TEXT


def test_enumerations():
    text = (ROOT / "csrc/index/index.h").read_text(encoding="utf-8")
    for field, prefix in (("METRIC", "SUTRA_METRIC_"), ("QUANTIZATION", "SUTRA_QUANT_")):
        documented = re.search(rf"`{field}` \| (.+?) \|", TEXT)[1]
        values = dict(re.findall(rf"{prefix}(\w+) = (\d)", text))
        expected = ", ".join(f"{value} {name.lower()}" for name, value in values.items())
        assert documented == expected


def test_example():
    example = TEXT[TEXT.index("## Example") :]
    name = re.search(r"`(tests/golden/\S+\.idx)`", example)[1]
    data = gzip.decompress((ROOT / f"{name}.gz").read_bytes())[: CONSTANTS["SUTRA_HEADER_BYTES"]]
    shown = bytearray(len(data))
    for offset, row in re.findall(
        r"^([0-9a-f]{8})  ((?:[0-9a-f]{2} +)+[0-9a-f]{2})$", example, re.M
    ):
        part = bytes.fromhex(row)
        shown[int(offset, 16) : int(offset, 16) + len(part)] = part
    assert shown == data
    rows, _ = table("## Example")
    assert len(rows) > 10
    for offset, value, meaning in rows:
        number = int(value.replace(",", ""), 0)
        width = 8 if int(offset) in (16, 24, 56, 64, 264, 272) else 4
        found = int.from_bytes(data[int(offset) : int(offset) + width], "little")
        assert found == number, meaning


@pytest.mark.parametrize(
    ("heading", "header", "prefix", "size"),
    [
        ("# The identity file", "manifest", "SUTRA_IDENTITY_AT_", "SUTRA_IDENTITY_FILE_BYTES"),
        ("# Manifests", "manifest", "SUTRA_MANIFEST_AT_", None),
        ("An entry of `FILES`:", "manifest", "SUTRA_MANIFEST_FILE_", "SUTRA_MANIFEST_FILE_SIZE"),
        ("The header:", "segment", "SUTRA_SEGMENT_HEADER_", "SUTRA_SEGMENT_HEADER_BYTES"),
        (
            "An entry of the section table:",
            "segment",
            "SUTRA_SEGMENT_ENTRY_",
            "SUTRA_SEGMENT_ENTRY_SIZE",
        ),
    ],
)
def test_sealed_fields(heading, header, prefix, size):
    text = (STORE / f"{header}_format.h").read_text(encoding="utf-8")
    expected = {
        name: (int(offset), WIDTHS.get(width) or int(width.split()[0]), each)
        for name, offset, width, each in re.findall(
            rf"\b{prefix}(\w+) = (\d+),\s*/\* (u32|u64|\d+ bytes)( each)?\b", text
        )
    }
    assert len(expected) == len(re.findall(rf"\b{prefix}\w+ = ", text)) > 2
    documented = {}
    end = 0
    for offset, width, name, _ in table(heading, SEALED)[0]:
        if not name:  # what no constant is needed for
            continue
        assert int(offset) >= end, name
        number, each = re.fullmatch(r"(\d+)( each)?", width).groups()
        documented[name] = (int(offset), int(number), each or "")
        end = int(offset) + int(number)
    assert documented == expected
    if size is not None:
        assert end == int(re.search(rf"#define {size} (\d+)u", text)[1])


def test_sealed_forms():
    enumeration = re.search(
        r"enum sutra_section_form \{(.+?)\};", (STORE / "segment.h").read_text("utf-8"), re.S
    )[1]
    expected = dict(re.findall(r"SUTRA_SECTION_(\w+) = (\d+),", enumeration))
    text = SEALED[SEALED.index("| form | name |") :]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", text[: text.index("\n\n")], re.M)
    assert {name: form for form, name in rows} == expected


@pytest.mark.parametrize(
    ("header", "name", "sentence"),
    [
        ("store/segment.h", "SUTRA_SEGMENT_VERSION", "| 8 | 4 | `VERSION` | {} |"),
        ("store/segment.h", "SUTRA_SEGMENT_SECTIONS", "entries in the section table, at most {} |"),
        ("store/segment.h", "SUTRA_SEGMENT_SECTIONS", "`SECTION_COUNT` is at most {}"),
        ("store/segment.h", "SUTRA_SEGMENT_BLOCK", "divided into blocks of {} bytes"),
        ("store/segment.h", "SUTRA_SEGMENT_BLOCK", "if it has less than {} bytes of its own"),
        ("store/segment.h", "SUTRA_IDENTITY_BYTES", "| 16 | {} | `IDENTITY` |"),
        ("store/segment_format.h", "SUTRA_SEGMENT_HEADER_BYTES", "| header | {} |"),
        ("store/segment_format.h", "SUTRA_SEGMENT_ALIGNMENT", "begin at a multiple of {}, others"),
        ("store/segment_format.h", "SUTRA_SEGMENT_ALIGNMENT", "4 *c* rounded up to {}, + *c* *r*"),
        ("store/segment_format.h", "SUTRA_SEGMENT_CHECKSUM_BYTES", "checksums | {} for each block"),
        ("store/segment_format.h", "SUTRA_SEGMENT_KIND_MAX", "| 1 to {}: the part"),
        ("store/segment_format.h", "SUTRA_SEGMENT_MAGIC", "`MAGIC` | `{}` |"),
        ("store/manifest_format.h", "SUTRA_MANIFEST_MAGIC", "`MAGIC` | `{}` |"),
        ("store/manifest_format.h", "SUTRA_MANIFEST_FILE_SIZE", "| 640 | {} each | `FILES` |"),
        ("store/manifest_format.h", "SUTRA_STORE_MAGIC", "`MAGIC` | `{}` |"),
        ("store/manifest_format.h", "SUTRA_IDENTITY_FILE_BYTES", "`SUTRA`, {} bytes"),
        ("store/manifest.h", "SUTRA_STORE_VERSION", "| 8 | 4 | `VERSION` | {} |"),
        ("store/manifest.h", "SUTRA_STORE_VERSION", "| 8 | 4 | `VERSION` | {}; 2 where"),
        ("store/manifest.h", "SUTRA_MANIFEST_FILES_MAX", "`FILE_COUNT` is at most {} and"),
        ("store/manifest.h", "SUTRA_MANIFEST_STATE_WORDS", "`STATE` | {} words of 8 bytes"),
        ("vectors/part.h", "SUTRA_PART_KINDS", "the store's own from {} on"),
        ("vectors/part.h", "SUTRA_PART_KINDS", "A section of kind {} and form `BYTES`"),
        ("store/manifest.h", "SUTRA_MANIFEST_VERSION_COLUMNS", "; {} where one of words 40 to 63"),
        ("store/manifest.h", "SUTRA_MANIFEST_COLUMN_WORD", "one of words {} to 63"),
        ("attributes/attributes.h", "SUTRA_FIELDS_MAX", "A store has at most {} declared fields"),
        ("attributes/attributes.h", "SUTRA_CELLS", "then {} values of 8 bytes"),
        ("attributes/attributes.h", "SUTRA_FIELD_DATETIME", "4 str, {} datetime"),
        ("base/json.h", "SUTRA_JSON_PATH_BYTES_MAX", "A path, a 64-bit length (1 to {})"),
        ("vectors/part.h", "SUTRA_PART_FIELD", "| {} | 264 | a definition"),
        ("vectors/part.h", "SUTRA_PART_CELLS", "| {} | 528 | a block of cells"),
        ("vectors/part.h", "SUTRA_PART_CELL_OWNER", "| {} | 8 | whose block"),
        ("vectors/part.h", "SUTRA_PART_TEXT", "| {} | 8 | a text"),
        ("vectors/part.h", "SUTRA_PART_TEXT_HEAP", "| {} | 64 | the heap of texts"),
        ("store/ops.h", "SUTRA_SETTINGS_MAX", "A store has at most {} settings"),
        ("store/ops.h", "SUTRA_SETTING_NAME_BYTES_MAX", "A name, a 64-bit length (1 to {})"),
        ("store/ops.h", "SUTRA_SETTING_BYTES_MAX", "the value, a 64-bit length (0 to {})"),
    ],
)
def test_sealed_limits(header, name, sentence):
    text = (ROOT / "csrc" / header).read_text(encoding="utf-8")
    value = re.search(rf'\b{name} (?:= )?"?(\w+?)u?"?(?:,| |$)', text, re.M)
    shown = f"{int(value[1]):,}" if value[1].isdigit() else value[1]
    assert sentence.format(shown) in " ".join(SEALED.split()), value[0]
