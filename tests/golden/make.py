"""Write the golden files of the current format version, where there are none yet.

    python tests/golden/make.py            # a new folder, v<version>
    python tests/golden/make.py --replace  # before a version is released, and never after

Files of released versions are never written again: that they still open is what they are for.
"""

import argparse
import gzip
import json
import shutil
import struct
from pathlib import Path

import numpy as np

from sutra import Index

HERE = Path(__file__).resolve().parent
QUERIES = 8


def rows(count, dim):
    """Vectors that do not depend on a random generator: small multiples of 1/8."""
    numbers = np.arange(count * dim, dtype=np.uint64)
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    small = (mixed >> np.uint64(40)) % np.uint64(61)
    return ((small.astype(np.float32) - 30) / 8).reshape(count, dim)


# name: options, vectors, ids
FILES = {
    "empty": ({"dim": 3, "metric": "ip"}, 0, None),
    "flat": ({"dim": 7, "metric": "cosine", "seed": 3}, 100, None),
    "u8": ({"dim": 8, "metric": "l2", "m": 8, "ef_construction": 40}, 520, None),
    "u4-coded": (
        {"dim": 8, "metric": "cosine", "m": 8, "quantization": "u4", "keep_originals": False},
        520,
        None,
    ),
    "u8-coded": ({"dim": 8, "metric": "ip", "m": 8, "keep_originals": False}, 520, None),
    "none-ids": ({"dim": 5, "metric": "l2", "m": 8, "quantization": "none"}, 520, "squares"),
}


def build(name):
    options, count, ids = FILES[name]
    index = Index(**options)
    index.add(rows(count, options["dim"]), ids=None if ids is None else np.arange(count) ** 2)
    return index


def expectation(name, index):
    """What a reader must find in the file."""
    options, count, _ = FILES[name]
    dim = options["dim"]
    queries = rows(count + QUERIES, dim)[count:]
    found = index.search(queries, k=5, ef=100, threads=1)
    exact = index.search(queries, k=5, exact=True)
    return {
        "options": {"m": 16, "ef_construction": 200, "quantization": "u8",
                    "keep_originals": True, "seed": 0, **options},
        "count": count,
        "graph": index.stats()["graph"],
        "ids": index.ids().tolist(),
        "queries": queries.tolist(),
        "found": found.ids.tolist(),
        "found_distances": found.distances.tolist(),
        "exact": exact.ids.tolist(),
        "exact_distances": exact.distances.tolist(),
        "decoded": [index.get(number).tolist() for number in index.ids()[:QUERIES].tolist()],
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replace", action="store_true", help="replace the newest folder")
    replace = parser.parse_args().replace
    unsorted = HERE / "unsorted"
    unsorted.mkdir()
    try:
        version = 0
        for name in FILES:
            index = build(name)
            path = unsorted / "saved"
            index.save(path)
            data = path.read_bytes()
            path.unlink()
            (version,) = struct.unpack_from("<I", data, 8)
            packed = gzip.compress(data, 9, mtime=0)  # sections begin every 64 KiB: mostly zeros
            (unsorted / f"{name}.idx.gz").write_bytes(packed)
            text = json.dumps(expectation(name, index))
            (unsorted / f"{name}.json").write_text(text + "\n")
        folder = HERE / f"v{version}"
        if folder.exists():
            if not replace:
                raise SystemExit(f"{folder.name} exists; --replace only before its release")
            shutil.rmtree(folder)
        unsorted.rename(folder)
    finally:
        if unsorted.exists():
            shutil.rmtree(unsorted)
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size:8,}  {path.relative_to(HERE)}")


if __name__ == "__main__":
    main()
