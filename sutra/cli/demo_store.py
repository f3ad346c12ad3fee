"""The part of `sutra demo` about the store: words linked to words, and a writer that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sutra.cli import demo_writer
from sutra.cli.output import (
    Failure,
    Output,
    ProgressBar,
    format_bytes,
    format_count,
    format_seconds,
)
from sutra.cli.stores import directory_bytes, shown_path

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sutra import Index, Store

__all__ = ["die_and_reopen", "fill", "show_related"]

LINKS = 3  # nearest words that each word is linked to
STEP = 1000
RELATED = 10
HOPS, DECAY = 2, 0.85
WRITER_SECONDS = 60


def fill(
    index: "Index", words: list[str], vectors: "npt.NDArray[np.float32]", path: Path, out: Output
) -> dict[str, Any]:
    """Make a store of words, and link each to the nearest words that the index knows."""
    import sutra

    started = time.perf_counter()
    with sutra.open(path, dim=vectors.shape[1], metric="cosine") as store:
        with ProgressBar("storing words") as progress:
            for first in range(0, len(words), STEP):
                some = words[first : first + STEP]
                store.add(
                    some,
                    vectors[first : first + STEP],
                    contents=[f"English word number {first + row + 1}" for row in range(len(some))],
                    metadata=[{"letters": len(word)} for word in some],
                )
                progress(first + len(some), len(words))
        store_seconds = time.perf_counter() - started
        started = time.perf_counter()
        links = link_nearest(store, index, words, vectors)
        link_seconds = time.perf_counter() - started
    size = directory_bytes(str(path))
    out.heading("A durable store")
    out.line(
        f"  {format_count(len(words))} words, each write synced before it is acknowledged: "
        f"{format_seconds(store_seconds)} ({format_count(len(words) / store_seconds)} words/s)"
    )
    out.line(
        f"  each linked to its nearest {LINKS}: {format_count(links)} links in "
        f"{format_seconds(link_seconds)}; {format_bytes(size)} on the disk"
    )
    return {
        "concepts": len(words),
        "links": links,
        "store_seconds": store_seconds,
        "link_seconds": link_seconds,
        "file_bytes": size,
    }


def link_nearest(
    store: "Store", index: "Index", words: list[str], vectors: "npt.NDArray[np.float32]"
) -> int:
    """Link every word to its nearest words; return how many links there are."""
    links = 0
    with ProgressBar("linking words") as progress:
        for first in range(0, len(words), STEP):
            found = index.search(vectors[first : first + STEP], LINKS + 1)
            near = [
                (words[row], words[other])
                for row, others in enumerate(found.ids.tolist(), first)
                for other in others
                if other not in (row, -1)
            ]
            sources, targets = zip(*near, strict=True)
            links += store.link(sources, targets, kind="near").count
            progress(first + len(found.ids), len(words))
    return links


def show_related(path: Path, words: list[str], out: Output) -> list[dict[str, Any]]:
    """Show what a few words lead to: nearest first, then along links."""
    import sutra

    answers = []
    with sutra.open(path, mode="r") as store:
        for word in words:
            vector = store[word].vector
            assert vector is not None  # every word was stored with one
            hits = store.related(vector, RELATED + 1, hops=HOPS, decay=DECAY)
            out.heading(f"Related to {word}, by its vector and along links")
            related = []
            for hit in hits:
                if hit.path is None or hit.id == word:
                    continue
                how = shown_path(hit.path.ids, hit.path.kinds) if hit.path.kinds else "its vector"
                name = out.style(str(hit.id).ljust(14), "cyan")
                out.line(f"  {name} {hit.score:.2f}  {out.style(how, 'dim')}")
                related.append({"word": hit.id, "score": hit.score, "path": list(hit.path.ids)})
            answers.append({"word": word, "related": related})
    return answers


def die_and_reopen(path: Path, out: Output) -> dict[str, Any]:
    """Let a process write and kill itself, reopen, and look for all it was promised."""
    import sutra

    with sutra.open(path, mode="r") as store:
        before, dim = len(store), store.dim or 0
    acknowledged = run_writer(path, dim)
    started = time.perf_counter()
    with sutra.open(path) as store:
        seconds = time.perf_counter() - started
        replayed = store.health()["recovered"]
        found = len(store) - before
        promised = acknowledged * demo_writer.BATCH
        lost = count_lost(store, promised, dim)
    whole = found % demo_writer.BATCH == 0
    out.heading("A writer killed by SIGKILL in the middle of a write")
    out.pairs(
        {
            "acknowledged": f"{format_count(promised)} concepts in {acknowledged} writes",
            "found": f"{format_count(found)} after reopening in {format_seconds(seconds)}, "
            f"{format_count(replayed)} log records replayed",
            "the last write": {
                promised: "left no trace: it was not acknowledged",
                promised + demo_writer.BATCH: "is there whole: only its acknowledgement was lost",
            }.get(found, "is there in part"),
            "lost": format_count(lost),
        }
    )
    if lost or not whole or found < promised:
        out.line(out.style("  something acknowledged was lost, or half a write is there", "red"))
    else:
        out.line(f"  {out.style('nothing acknowledged was lost', 'bold', 'green')}")
    return {
        "acknowledged": promised,
        "found": found,
        "lost": lost,
        "whole": whole,
        "replayed": replayed,
        "open_seconds": seconds,
    }


def run_writer(path: Path, dim: int) -> int:
    """Run the writer until it is dead; return how many writes the store acknowledged to it."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "sutra.cli.demo_writer", str(path), str(dim)],
        capture_output=True,
        timeout=WRITER_SECONDS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode != -signal.SIGKILL:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Failure(f"the writer ended with {done.returncode} instead of being killed: {last}")
    return done.stdout.count(b"\n")


def count_lost(store: "Store", promised: int, dim: int) -> int:
    """Return how many acknowledged concepts are missing, or are not what was written."""
    lost = 0
    for first in range(0, promised, STEP):
        numbers = range(first, min(first + STEP, promised))
        concepts = store.get([demo_writer.id_of(number) for number in numbers], vectors=True)
        for number, concept in zip(numbers, concepts, strict=True):
            expected = [demo_writer.vector_value(number, place) for place in range(dim)]
            if (
                concept is None
                or concept.content != demo_writer.content_of(number)
                or concept.vector is None
                or concept.vector.tolist() != expected
            ):
                lost += 1
    return lost
