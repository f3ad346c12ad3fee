"""The command line: every verb, its JSON, its exit codes, and what it says to bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sutra.cli import VERBS, main

ROWS, DIM = 800, 24


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(7).standard_normal((ROWS, DIM), dtype=np.float32)


@pytest.fixture
def npy(here: Path, vectors: np.ndarray) -> Path:
    np.save(here / "vectors.npy", vectors)
    return here / "vectors.npy"


@pytest.fixture
def index(npy: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["build", str(npy), "test.sutra"]) == 0
    capsys.readouterr()
    return npy.parent / "test.sutra"


def write_vecs(path: Path, rows: np.ndarray) -> None:
    with path.open("wb") as file:
        for row in rows:
            file.write(np.int32(len(row)).tobytes() + row.tobytes())


# ---- the command itself


def test_help_and_version(sutra) -> None:
    assert sutra("--help") == 0
    assert "exit codes" in sutra.out
    assert sutra("--version") == 0
    assert sutra.out.startswith("sutra ")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(sutra, verb: str) -> None:
    assert sutra(verb, "--help") == 0
    assert "--json" in sutra.out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["build"],
        ["build", "a.npy", "b.sutra", "--metric", "manhattan"],
        ["build", "a.npy", "b.sutra", "--m", "7"],
        ["build", "a.npy", "b.sutra", "--ef-construction", "0"],
        ["search", "a.sutra"],
        ["search", "a.sutra", "--id", "1", "--stdin"],
        ["search", "a.sutra", "--id", "1", "-k", "0"],
        ["create"],
        ["create", "a", "--dim", "0"],
        ["put", "a", "--metadata", "{"],
        ["put", "a", "--metadata", "[1]"],
        ["put", "a", "--content", "x", "--content-file", "x"],
        ["get", "a"],
        ["rm", "a"],
        ["link", "a", "b"],
        ["links", "a", "b", "--direction", "up"],
        ["related", "a"],
        ["related", "a", "--id", "b", "--vector", "c.npy"],
        ["import", "a"],
        ["import", "a", "b", "--format", "csv"],
        ["export", "a", "--format", "csv"],
        ["snapshot", "a"],
        ["restore", "a"],
        ["repair", "a"],
    ],
)
def test_wrong_usage_is_exit_code_2(sutra, arguments: list[str]) -> None:
    assert sutra(*arguments) == 2
    assert "usage:" in sutra.err
    assert sutra.out == ""


def test_module_runs_and_leaves_no_traceback(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sutra", "info", "missing.sutra"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("sutra: error: ")
    assert "missing.sutra" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_kernel_tier_is_an_import_error(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sutra", "platform"],
        capture_output=True,
        text=True,
        env={**os.environ, "SUTRA_ISA": "abacus"},
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert "abacus" in last
    assert "scalar" in last


def test_reader_that_leaves_early_is_no_traceback(index: Path) -> None:
    program = "import sys; from sutra.cli import main; sys.exit(main(sys.argv[1:]))"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, "search", str(index), "--id", "0"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writing)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_interrupt_is_exit_code_130(sutra, npy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sutra.cli.build.read_vectors", interrupted)
    assert sutra("build", npy, "out.sutra") == 130
    assert "interrupted" in sutra.err
    assert not Path("out.sutra").exists()


def test_no_escape_codes_where_nobody_watches(sutra, index: Path) -> None:
    assert sutra("info", index) == 0
    assert "\x1b" not in sutra.out + sutra.err


# ---- platform


def test_platform(sutra) -> None:
    report = sutra.json("platform")
    assert report["version"]
    assert sutra("platform") == 0
    assert report["version"] in sutra.out


# ---- build


@pytest.mark.parametrize("kind", ["npy", "npz", "fvecs"])
def test_build_reads_formats(sutra, here: Path, vectors: np.ndarray, kind: str) -> None:
    source = here / f"vectors.{kind}"
    if kind == "npy":
        np.save(source, vectors)
    elif kind == "npz":
        np.savez(source, vectors=vectors, words=np.array(["a", "b"]))
    else:
        write_vecs(source, vectors)
    report = sutra.json("build", source, "out.sutra")
    assert (report["count"], report["dim"]) == (ROWS, DIM)
    assert report["file_bytes"] == Path("out.sutra").stat().st_size
    nearest = sutra.json("search", "out.sutra", "--id", 5, "-k", 1)
    assert nearest["results"][0]["ids"] == [5]


def test_build_reads_bvecs(sutra, here: Path) -> None:
    rows = np.random.default_rng(1).integers(0, 256, (60, 16), dtype=np.uint8)
    write_vecs(here / "bytes.bvecs", rows)
    report = sutra.json("build", "bytes.bvecs", "out.sutra", "--metric", "l2")
    assert (report["count"], report["dim"]) == (60, 16)


def test_build_options_reach_the_index(sutra, npy: Path) -> None:
    sutra.json(
        "build", npy, "out.sutra", "--metric", "l2", "--m", 8, "--ef-construction", 50,
        "--quantization", "u4", "--no-originals", "--threads", 1,
    )  # fmt: skip
    stats = sutra.json("info", "out.sutra")
    assert stats["metric"] == "l2"
    assert stats["m"] == 8
    assert stats["quantization"] == "u4"
    assert stats["keep_originals"] is False


@pytest.mark.parametrize("kind", ["npy", "txt"])
def test_build_takes_ids(sutra, npy: Path, kind: str) -> None:
    ids = np.arange(ROWS) * 10 + 1000
    path = Path(f"ids.{kind}")
    if kind == "npy":
        np.save(path, ids)
    else:
        path.write_text("\n".join(map(str, ids)))
    sutra.json("build", npy, "out.sutra", "--ids", path)
    nearest = sutra.json("search", "out.sutra", "--id", 1030, "-k", 1)
    assert nearest["results"][0]["ids"] == [1030]


def test_build_replaces_only_when_told(sutra, npy: Path, index: Path) -> None:
    before = index.read_bytes()
    assert "--force" in sutra.fails(1, "build", npy, index)
    assert index.read_bytes() == before
    assert sutra("build", npy, index, "--force") == 0


def test_build_refuses_what_it_cannot_index(
    sutra, here: Path, npy: Path, vectors: np.ndarray
) -> None:
    def refused(source: object, *options: object) -> str:
        message = sutra.fails(1, "build", source, "out.sutra", *options)
        assert not Path("out.sutra").exists()
        return message

    assert "missing.npy" in refused("missing.npy")
    Path("vectors.csv").write_text("1,2,3\n")
    assert ".fvecs" in refused("vectors.csv")
    Path("empty.npy").touch()
    assert "empty" in refused("empty.npy")
    Path("torn.npy").write_bytes(npy.read_bytes()[:100])
    assert "torn.npy" in refused("torn.npy")
    Path("text.npz").write_text("no zip file")
    assert "text.npz" in refused("text.npz")
    np.save("pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "pickled.npy" in refused("pickled.npy")
    np.save("words.npy", np.array([["a"]]))
    assert "dtype" in refused("words.npy") or "numbers" in sutra.err
    np.save("cube.npy", np.zeros((2, 2, 2), np.float32))
    assert "(2, 2, 2)" in refused("cube.npy")
    np.savez("two.npz", a=vectors, b=vectors)
    assert "--key" in refused("two.npz")
    assert "'c'" in refused("two.npz", "--key", "c")
    assert sutra("build", "two.npz", "keyed.sutra", "--key", "b") == 0
    Path("odd.fvecs").write_bytes(b"\x03\x00\x00\x00" + bytes(11))
    assert "odd.fvecs" in refused("odd.fvecs")
    write_vecs(Path("mixed.fvecs"), vectors[:4])
    mixed = bytearray(Path("mixed.fvecs").read_bytes())
    mixed[(4 + 4 * DIM) * 2] += 1
    Path("mixed.fvecs").write_bytes(mixed)
    assert "row 2" in refused("mixed.fvecs")
    spoiled = vectors.copy()
    spoiled[3, 1] = np.nan
    np.save("nan.npy", spoiled)
    assert "3" in refused("nan.npy")
    Path("ids.txt").write_text("1\ntwo\n")
    assert "line 2" in refused(npy, "--ids", "ids.txt")
    Path("ids.txt").write_text("1\n2\n")
    refused(npy, "--ids", "ids.txt")
    Path("ids.txt").write_text("\n".join(["7"] * ROWS))
    assert "7" in refused(npy, "--ids", "ids.txt")
    assert "nowhere" in sutra.fails(1, "build", npy, "nowhere/out.sutra")


# ---- search


def test_search_agrees_with_the_exact_scan(sutra, index: Path, vectors: np.ndarray) -> None:
    np.save("queries.npy", vectors[:20] + 0.01)
    near = sutra.json("search", index, "--vector", "queries.npy", "-k", 5, "--ef", 200)
    exact = sutra.json("search", index, "--vector", "queries.npy", "-k", 5, "--exact")
    assert len(near["results"]) == len(exact["results"]) == 20
    assert [result["ids"][0] for result in exact["results"]] == list(range(20))
    same = sum(a["ids"] == b["ids"] for a, b in zip(near["results"], exact["results"], strict=True))
    assert same >= 18
    for result in exact["results"]:
        assert result["distances"] == sorted(result["distances"])


def test_search_reads_standard_input(
    sutra, index: Path, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.dumps(vectors[3].tolist()), " ".join(map(str, vectors[8])), ""]
    monkeypatch.setattr("sys.stdin", iter(lines))
    found = sutra.json("search", index, "--stdin", "-k", 1)
    assert [result["ids"] for result in found["results"]] == [[3], [8]]
    monkeypatch.setattr("sys.stdin", iter(lines))
    assert sutra("search", index, "--stdin", "-k", 2) == 0
    assert sutra.out.splitlines()[0].split() == ["query", "rank", "id", "distance"]


def test_search_for_more_than_there_is(sutra, index: Path) -> None:
    found = sutra.json("search", index, "--id", 0, "-k", ROWS + 50)
    assert len(found["results"][0]["ids"]) <= ROWS
    assert -1 not in found["results"][0]["ids"]


def test_search_refuses_bad_queries(sutra, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "999999" in sutra.fails(1, "search", index, "--id", 999999)
    np.save("short.npy", np.zeros((1, DIM - 1), np.float32))
    assert str(DIM - 1) in sutra.fails(1, "search", index, "--vector", "short.npy")
    for lines, expected in (([], "no vectors"), (["1 x"], "line 1"), (["1 2", "1"], "line 2")):
        monkeypatch.setattr("sys.stdin", iter(lines))
        assert expected in sutra.fails(1, "search", index, "--stdin")


def test_failure_with_json_is_a_document_too(sutra, index: Path) -> None:
    sutra.fails(1, "search", index, "--id", 999999, "--json")
    assert json.loads(sutra.out)["error"]["type"] == "NotFoundError"


# ---- info and verify


def test_info(sutra, index: Path) -> None:
    stats = sutra.json("info", index)
    assert (stats["count"], stats["dim"], stats["metric"]) == (ROWS, DIM, "cosine")
    assert stats["file_bytes"] == index.stat().st_size
    assert sutra("info", index) == 0
    assert "cosine" in sutra.out


@pytest.mark.parametrize("options", [[], ["--deep"]])
def test_verify_of_a_sound_file(sutra, index: Path, options: list[str]) -> None:
    assert sutra.json("verify", index, *options)["sound"] is True
    assert sutra("verify", index, *options) == 0
    assert "sound" in sutra.out


def test_verify_of_a_damaged_file_is_exit_code_4(sutra, index: Path) -> None:
    content = bytearray(index.read_bytes())
    content[len(content) // 2] ^= 0x40
    index.write_bytes(content)
    sutra.fails(4, "verify", index, "--deep")
    assert sutra("verify", index, "--deep", "--json") == 4
    assert json.loads(sutra.out)["error"]["type"] == "CorruptError"
    index.write_bytes(content[: len(content) // 3])
    sutra.fails(4, "verify", index)


def test_files_that_are_no_index(sutra, npy: Path) -> None:
    for verb in ("info", "stats", "verify", "search --id 1", "get 1", "export"):
        verb, *options = verb.split()
        assert "vectors.npy" in sutra.fails(4, verb, npy, *options)
    for verb in ("info", "stats", "verify", "doctor"):
        assert "missing" in sutra.fails(1, verb, "missing.sutra")
        sutra.fails(1, verb, npy.parent)


# ---- bench


def test_bench_of_vectors(sutra, npy: Path) -> None:
    report = sutra.json("bench", npy, "--ef", 10, 100)
    assert report["queries"] == ROWS // 10
    low, high = report["points"]
    assert (low["ef"], high["ef"]) == (10, 100)
    assert 0 < low["recall"] <= high["recall"] <= 1
    assert high["recall"] > 0.95
    assert sutra("bench", npy, "--ef", 10, 100) == 0
    assert "recall@10" in sutra.out


def test_bench_of_an_index(sutra, index: Path, npy: Path) -> None:
    report = sutra.json("bench", index, "--queries", npy, "--ef", 64, "-k", 1)
    assert report["points"][0]["recall"] > 0.95
    own = sutra.json("bench", index, "--ef", 64)
    assert own["queries"] == ROWS
    assert own["points"][0]["recall"] > 0.95


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_bench_draws(sutra, npy: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib", reason="the plot extra is not installed")
    sutra.json("bench", npy, "--ef", 10, 50, "--plot", f"curve.{suffix}")
    head = Path(f"curve.{suffix}").read_bytes()[:300]
    assert head.startswith(b"\x89PNG") if suffix == "png" else b"<svg" in head or b"<?xml" in head


def test_bench_without_the_plot_extra(sutra, npy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "sutra-storage[plot]" in sutra.fails(1, "bench", npy, "--plot", "curve.png")
    assert ".svg" in sutra.fails(2, "bench", npy, "--plot", "curve.pdf")


def test_bench_refuses_too_little(sutra, here: Path) -> None:
    np.save("few.npy", np.ones((5, 4), np.float32))
    assert "few" in sutra.fails(1, "bench", "few.npy")
