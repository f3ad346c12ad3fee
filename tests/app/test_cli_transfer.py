"""Export, and import of what was exported or comes as arrays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sutra import open as open_store
from sutra.cli import importing, main
from sutra.cli.records import plain_number, vector_json

DIM, SOME = 5, 40  # as in conftest.py


def awkward(count=150, seed=5):
    """Concepts with everything that can go wrong on the way, and links between them."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, DIM)).astype(np.float32)
    vectors[3] = [0.1, -0.0, 1e-38, 1e18, -1.17549435e-38]
    vectors[4] = np.float32([1 / 3, 2 / 3, 1e-45, 16777216, 16777217])
    ids = [number * 7 if number % 3 else f"id {number}" for number in range(count)]
    ids[6] = "42"  # a text that looks like the number that is there too
    ids[7] = 42
    ids[8] = 'quo"te\\ \u2028 \U0001f980 \x00 end'
    ids[9] = 2**63 - 1
    contents = [None if number % 4 == 0 else f"content {number}" for number in range(count)]
    contents[1] = ""
    contents[2] = "line\nbreak\r\n\x00\u2028\x1b[0m \U0001f600"
    contents[3] = b""
    contents[5] = bytes(range(256))
    metadata = [None if number % 2 else {"n": number, "ü": [1.5, None, {"x": ""}]}
                for number in range(count)]  # fmt: skip
    metadata[1] = {}
    return {
        "ids": ids,
        "vectors": [None if number % 5 == 1 else vectors[number] for number in range(count)],
        "contents": contents,
        "metadata": metadata,
        "strength": rng.uniform(0, 2, count).astype(np.float32),
        "confidence": rng.uniform(0, 1, count).astype(np.float32),
    }


def fill(path, count=150):
    given = awkward(count)
    ids = given["ids"]
    rng = np.random.default_rng(6)
    sources, targets = rng.integers(0, count, (2, count * 3))
    with open_store(path) as store:
        store.add(
            given["ids"],
            given["vectors"],
            contents=given["contents"],
            metadata=given["metadata"],
            strength=given["strength"],
            confidence=given["confidence"],
        )
        store.link(
            [ids[number] for number in sources],
            [ids[number] for number in targets],
            kind=["semantic", "causes", "ä b"] * count,
            weight=rng.standard_normal(count * 3).astype(np.float32),
            confidence=rng.uniform(0, 1, count * 3).astype(np.float32),
        )


# ---- there and back


@pytest.mark.parametrize("form", ["ndjson", "npz"])
def test_an_import_of_an_export_is_the_same_store(sutra, empty, form, everything):
    fill("full")
    assert sutra.json("export", "full", "-o", f"out.{form}")["count"] == 150
    report = sutra.json("import", empty, f"out.{form}")
    assert (report["concepts"], report["count"]) == (150, 150)
    assert everything(empty) == everything("full")
    assert not list(empty.parent.glob("*.import.json"))
    assert sutra("import", empty, f"out.{form}") == 0  # twice is the same as once
    assert everything(empty) == everything("full")
    assert sutra("export", empty, "-o", f"again.{form}") == 0
    assert Path(f"again.{form}").read_bytes() == Path(f"out.{form}").read_bytes()


@pytest.mark.parametrize("form", ["ndjson", "npz"])
def test_through_a_pipe(empty, form, everything):
    fill("full")
    program = "import sys; from sutra.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program]
    out = subprocess.Popen([*command, "export", "full", "--format", form], stdout=subprocess.PIPE)
    done = subprocess.run(
        [*command, "import", "store", "-", "--format", form, "--json"],
        stdin=out.stdout,
        capture_output=True,
        text=True,
    )
    out.stdout.close()
    assert (out.wait(), done.returncode) == (0, 0), done.stderr
    assert json.loads(done.stdout)["concepts"] == 150
    assert everything(empty) == everything("full")


def test_export_to_standard_output(here, capfdbinary):
    fill("full", 20)
    assert main(["export", "full", "--no-vectors"]) == 0
    out, err = capfdbinary.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert err == b""
    assert [item["id"] for item in found] == awkward(20)["ids"]
    assert all("vector" not in item for item in found)
    assert main(["export", "full", "--json"]) == 2


def test_export_of_an_empty_store(sutra, empty):
    with open_store("nothing"):
        pass
    for store in ("store", "nothing"):
        for form in ("ndjson", "npz", "npy"):
            report = sutra.json("export", store, "-o", f"{store}.{form}")
            assert report["count"] == 0
        assert Path(f"{store}.ndjson").read_bytes() == b""
        assert sutra.json("import", empty, f"{store}.npz")["concepts"] == 0
        assert sutra.json("import", empty, f"{store}.ndjson")["concepts"] == 0


def test_npy_there_and_back(sutra, empty, everything):
    fill("full")
    assert sutra.json("export", "full", "-o", "v.npy", "--ids", "ids.txt")["count"] == 120
    given = awkward()
    kept = [row for row, vector in enumerate(given["vectors"]) if vector is not None]
    assert np.array_equal(np.load("v.npy"), np.array([given["vectors"][row] for row in kept]))
    assert sutra.json("import", empty, "v.npy", "--ids", "ids.txt")["concepts"] == 120
    order, found = everything(empty)
    assert order == [given["ids"][row] for row in kept]
    assert [found[id][0] for id in order] == [given["vectors"][row].tobytes() for row in kept]


def test_export_of_an_index(sutra, here, empty, everything):
    vectors = np.random.default_rng(1).standard_normal((90, DIM)).astype(np.float32)
    np.save("v.npy", vectors)
    np.save("ids.npy", np.arange(90) * 2)
    assert sutra("build", "v.npy", "i.sutra", "--ids", "ids.npy") == 0
    for form in ("ndjson", "npz"):
        assert sutra.json("export", "i.sutra", "-o", f"out.{form}")["count"] == 90
        with open_store(f"from-{form}"):
            pass
        assert sutra.json("import", f"from-{form}", f"out.{form}")["concepts"] == 90
        order, found = everything(f"from-{form}")
        assert order == list(range(0, 180, 2))
        assert [found[id][0] for id in order] == [row.tobytes() for row in vectors]
    assert sutra("export", "i.sutra", "-o", "out.npy", "--ids", "out.txt") == 0
    assert np.array_equal(np.load("out.npy"), vectors)
    assert Path("out.txt").read_text().split()[:3] == ["0", "2", "4"]


def test_export_replaces_only_when_told_and_leaves_no_halves(sutra, empty, monkeypatch):
    fill("full", 20)
    Path("out.ndjson").write_text("precious")
    assert "--force" in sutra.fails(1, "export", "full", "-o", "out.ndjson")
    assert Path("out.ndjson").read_text() == "precious"
    assert "nowhere" in sutra.fails(1, "export", "full", "-o", "nowhere/out.ndjson")

    def no_room(*_, **__):
        raise OSError(28, "No space left on device")

    before = set(os.listdir())
    with monkeypatch.context() as patch:
        patch.setattr("sutra.cli.exporting.format_line", no_room)
        sutra.fails(1, "export", "full", "-o", "out.ndjson", "--force")
    assert Path("out.ndjson").read_text() == "precious"
    assert set(os.listdir()) == before
    assert sutra("export", "full", "-o", "out.ndjson", "--force") == 0
    assert Path("out.ndjson").read_text().count("\n") == 20
    assert set(os.listdir()) == before
    assert Path("out.ndjson").stat().st_mode & 0o777 == 0o666 & ~umask()
    for options in (["--no-vectors", "--format", "npz"], ["--ids", "x"]):
        assert sutra("export", "full", "-o", "out.x", *options) == 2


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("number", [0.1, 1 / 3, 1e-45, 3.4028235e38, -0.0, 7.0, 16777217.0])
def test_numbers_keep_their_bits(number):
    exact = np.float32(number)
    assert np.float32(json.loads(json.dumps(plain_number(float(exact))))) == exact
    row = np.array([exact, -exact, exact / 3], dtype=np.float32)
    again = np.array(json.loads(vector_json(row)), dtype=np.float32)
    assert again.tobytes() == row.tobytes()


def test_vectors_keep_their_bits_at_random():
    bits = np.random.default_rng(8).integers(0, 2**32, 20_000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    again = np.array(json.loads(vector_json(values)), dtype=np.float32)
    assert again.tobytes() == values.tobytes()


# ---- arrays of others


def test_npy_gets_row_numbers(sutra, empty, everything):
    vectors = np.random.default_rng(2).standard_normal((100, DIM))
    np.save("v.npy", vectors)
    assert sutra.json("import", empty, "v.npy")["concepts"] == 100
    order, found = everything(empty)
    assert order == list(range(100))
    assert found[99][0] == vectors[99].astype(np.float32).tobytes()


def test_npz_of_words(sutra, empty, stdin, everything):
    vectors = np.random.default_rng(2).standard_normal((30, DIM)).astype(np.float16)
    words = [f"wört {row}" for row in range(30)]
    coded = np.array([word.encode() for word in words])
    np.savez("a.npz", vectors=vectors, words=coded, other=vectors)
    np.savez("b.npz", m=vectors, ids=np.array(words), contents=np.array(words))
    np.savez("c.npz", m=vectors, ids=np.arange(30, dtype=np.uint64) + 5)
    for name, ids, contents in (
        ("a", list(range(30)), words),
        ("b", words, words),
        ("c", list(range(5, 35)), [None] * 30),
    ):
        with open_store(name):
            pass
        assert sutra.json("import", name, f"{name}.npz")["concepts"] == 30
        order, found = everything(name)
        assert order == ids
        assert [found[id][1] for id in order] == contents
    stdin(Path("a.npz").read_bytes())
    assert sutra.json("import", empty, "-", "--format", "npz")["concepts"] == 30


def test_ids_from_a_file(sutra, empty, stdin, everything):
    np.save("v.npy", np.eye(DIM))
    Path("ids.txt").write_text('7\n"7"\n plain text \n"with \\n break"\n0012\n')
    assert sutra("import", empty, "v.npy", "--ids", "ids.txt") == 0
    assert everything(empty)[0] == [7, "7", "plain text", "with \n break", 12]
    np.save("ids.npy", np.arange(DIM) + 100)
    stdin(Path("v.npy").read_bytes())
    assert sutra("import", empty, "-", "--format", "npy", "--ids", "ids.npy") == 0
    assert everything(empty)[0][DIM:] == [100, 101, 102, 103, 104]
    for text, expected in (("7\n\n8\n", "line 2"), ('"open\n', "line 1"), ("1\n2\n", "2 ids")):
        Path("ids.txt").write_text(text)
        assert expected in sutra.fails(1, "import", empty, "v.npy", "--ids", "ids.txt")
    assert sutra("import", empty, "v.npy", "v.npy", "--ids", "ids.npy") == 2
    assert sutra("import", empty, "lines.ndjson", "--ids", "ids.npy") == 2


def test_arrays_that_cannot_be_imported(sutra, empty, everything):
    good = np.random.default_rng(2).standard_normal((100, DIM))
    bad = good.copy()
    bad[57, 2] = np.nan
    np.save("nan.npy", bad)
    message = sutra.fails(1, "import", empty, "nan.npy")
    assert "nan.npy: row 57: vector: " in message
    assert everything(empty)[0] == list(range(57))  # what is before it is stored
    np.save("wide.npy", np.ones((3, DIM + 1)))
    assert f"row 0: vectors: expected vectors of length {DIM}" in sutra.fails(
        1, "import", empty, "wide.npy"
    )
    np.save("cube.npy", np.ones((2, 2, 2)))
    assert "(2, 2, 2)" in sutra.fails(1, "import", empty, "cube.npy")
    np.savez("two.npz", a=good, b=good)
    assert "--key" in sutra.fails(1, "import", empty, "two.npz")
    assert sutra("import", empty, "two.npz", "--key", "b", "--no-wait") == 0
    assert "'c'" in sutra.fails(1, "import", empty, "two.npz", "--key", "c")
    np.savez("ids.npz", vectors=good, ids=np.ones((100, 1)))
    assert "ids" in sutra.fails(1, "import", empty, "ids.npz")
    np.savez("short.npz", vectors=good, ids=np.arange(99))
    assert "99 ids" in sutra.fails(1, "import", empty, "short.npz")
    np.savez("negative.npz", vectors=good, ids=np.arange(100) - 1)
    assert "row 0: id: " in sutra.fails(1, "import", empty, "negative.npz")
    Path("torn.npz").write_bytes(Path("two.npz").read_bytes()[:300])
    assert "torn.npz" in sutra.fails(1, "import", empty, "torn.npz")
    np.savez("bytes.npz", vectors=good[:2], contents=np.array([b"ok", b"\xff"]))
    assert "row 1" in sutra.fails(1, "import", empty, "bytes.npz")
    packed = np.frombuffer(b'{"id": 1, "row": 5}\n', np.uint8)
    np.savez("row.npz", vectors=good[:2], concepts=packed)
    assert "row: expected 0 to 1, got 5" in sutra.fails(1, "import", empty, "row.npz")


def test_arrays_go_on_too(sutra, empty, monkeypatch, everything):
    fill("full", 150)
    assert sutra("export", "full", "-o", "full.npz") == 0
    write, done = importing.Import.write, []

    def stop(self, batch):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(batch)
        write(self, batch)

    monkeypatch.setattr(importing.Import, "write", stop)
    assert sutra("import", empty, "full.npz") == 130
    monkeypatch.setattr(importing.Import, "write", write)
    report = sutra.json("import", empty, "full.npz")
    assert (report["concepts"], report["resumed"]) == (150 - 2 * SOME, {"full.npz": 2 * SOME})
    assert everything(empty) == everything("full")


def test_a_reader_that_leaves_early_is_no_traceback(empty):
    fill("full", 300)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sutra", "export", "full"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
