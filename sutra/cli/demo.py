"""Try it on real word vectors: an index, a store, and a crash.

Indexes the 16,000 GloVe word vectors that ship with the package in a temporary directory,
reopens the file mapped, answers, and measures itself against an exact scan. Then it makes a
durable store of the words, links each to its nearest, follows links, lets a process kill itself
in the middle of a write, reopens the store, and looks for everything that was acknowledged: exit
code 1 if anything is missing. Words or sums of words on the command line are answered too:

  sutra demo ocean guitar "paris - france + japan"
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sutra.cli.bench import recall
from sutra.cli.demo_store import die_and_reopen, fill, show_related
from sutra.cli.output import (
    Failure,
    Output,
    ProgressBar,
    format_bytes,
    format_count,
    format_seconds,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sutra import Index

WORDS = ("river", "physics", "coffee", "jupiter", "winter", "doctor")
ANALOGIES = (
    "king - man + woman",
    "paris - france + japan",
    "walking - walk + swim",
    "actor - man + woman",
    "hockey - canada + brazil",
    "einstein - scientist + painter",
)
RELATED_WORD = "jazz"
NEIGHBOURS = 7
QUERIES = 1000
EF = 64
ROUNDS = 5


class Dictionary(NamedTuple):
    """The words, in order of frequency, and their vectors scaled to length one."""

    words: list[str]
    rows: dict[str, int]
    vectors: "npt.NDArray[np.float32]"


class Question(NamedTuple):
    """A sum of words: what was typed, the words in it, and the vector."""

    text: str
    words: list[str]
    vector: "npt.NDArray[np.float32]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument(
        "words", nargs="*", metavar="WORDS", help="words, or quoted sums like 'king - man + woman'"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the demonstration."""
    dictionary = load_dictionary()
    asked = [parse_question(text, dictionary) for text in args.words]
    count, dim = dictionary.vectors.shape
    out.line(
        f"{out.style('sutra demo', 'bold')}: {format_count(count)} English words, GloVe vectors of "
        f"{dim} dimensions, cosine distance"
    )
    with tempfile.TemporaryDirectory(prefix="sutra-demo-") as directory:
        index, timings = build_and_reopen(dictionary, Path(directory, "words.sutra"), out)
        with index:
            answers = answer(index, dictionary, asked, out)
            summary = measure(index, dictionary, timings)
            show_summary(summary, out)
            place = Path(directory, "words")
            store = fill(index, dictionary.words, dictionary.vectors, place, out)
        related = show_related(place, asked[0].words[:1] if asked else [RELATED_WORD], out)
        crash = die_and_reopen(place, out)
    out.document(
        {**answers, "summary": summary, "store": store, "related": related, "crash": crash}
    )
    return 0 if crash["whole"] and not crash["lost"] else 1


def load_dictionary() -> Dictionary:
    """Load the vectors that ship inside the package."""
    import numpy as np

    with (
        (files("sutra") / "data" / "words100.npz").open("rb") as stream,
        np.load(stream, allow_pickle=False) as archive,
    ):
        words = [word.decode() for word in archive["words"].tolist()]
        vectors = archive["vectors"].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Dictionary(words, {word: row for row, word in enumerate(words)}, vectors)


def parse_question(text: str, dictionary: Dictionary) -> Question:
    """Turn ``king - man + woman`` into a vector; one word is a sum of one."""
    import numpy as np

    words = []
    vector = np.zeros(dictionary.vectors.shape[1], dtype=np.float32)
    sign = 1
    for token in text.lower().split():
        if token in ("+", "-"):
            sign = 1 if token == "+" else -1
            continue
        if token not in dictionary.rows:
            similar = get_close_matches(token, dictionary.words, n=3)
            hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
            raise Failure(f"{token!r} is not among the {len(dictionary.words):,} words{hint}")
        words.append(token)
        vector += sign * dictionary.vectors[dictionary.rows[token]]
        sign = 1
    if not words:
        raise Failure(f"expected a word, got {text!r}", code=2)
    return Question(text, words, vector)


def build_and_reopen(
    dictionary: Dictionary, path: Path, out: Output
) -> tuple["Index", dict[str, float]]:
    """Build an index, save it, and open the file mapped."""
    from sutra import Index

    count, dim = dictionary.vectors.shape
    timings: dict[str, float] = {}
    started = time.perf_counter()
    with Index(dim, metric="cosine") as index:
        with ProgressBar("building") as progress:
            index.add(dictionary.vectors, progress=progress)
        timings["build_seconds"] = time.perf_counter() - started
        started = time.perf_counter()
        index.save(path)
        timings["save_seconds"] = time.perf_counter() - started
    started = time.perf_counter()
    reopened = Index.open(path, resident="mapped")
    timings["open_seconds"] = time.perf_counter() - started
    timings["file_bytes"] = path.stat().st_size
    out.line(
        f"built in {format_seconds(timings['build_seconds'])} "
        f"({format_count(count / timings['build_seconds'])} words/s), "
        f"saved {format_bytes(timings['file_bytes'])} in "
        f"{format_seconds(timings['save_seconds'])}, "
        f"reopened in {format_seconds(timings['open_seconds'])}"
    )
    return reopened, timings


def answer(
    index: "Index", dictionary: Dictionary, asked: Sequence[Question], out: Output
) -> dict[str, Any]:
    """Answer what was asked, or the questions of the demonstration, and then the analogies."""
    questions = asked or [parse_question(word, dictionary) for word in WORDS]
    analogies = [parse_question(text, dictionary) for text in ANALOGIES]
    document = {}
    for name, title, group, found in (
        ("nearest", "Nearest words", questions, NEIGHBOURS),
        ("analogies", "Analogies", analogies, 3),
    ):
        out.heading(title)
        width = max(len(question.text) for question in group)
        document[name] = [ask(index, dictionary, question, found) for question in group]
        for question, neighbours in zip(group, document[name], strict=True):
            best, *others = [neighbour["word"] for neighbour in neighbours["neighbours"]]
            equals = "=" if len(question.words) > 1 else " "
            out.line(
                f"  {question.text.ljust(width)} {equals} {out.style(best, 'bold', 'cyan')}"
                f"{out.style(''.join(f'  {other}' for other in others), 'dim')}"
            )
    return document


def ask(index: "Index", dictionary: Dictionary, question: Question, count: int) -> dict[str, Any]:
    """Return the `count` words nearest to a question, other than those in it."""
    found = index.search(question.vector, count + len(question.words))
    neighbours = [
        {"word": dictionary.words[row], "distance": distance}
        for row, distance in zip(found.ids.tolist(), found.distances.tolist(), strict=True)
        if row >= 0 and dictionary.words[row] not in question.words
    ]
    return {"question": question.text, "neighbours": neighbours[:count]}


def measure(index: "Index", dictionary: Dictionary, timings: dict[str, float]) -> dict[str, Any]:
    """Compare the ten nearest other words of 1,000 words with an exact scan."""
    import numpy as np

    import sutra

    rows = np.linspace(0, len(dictionary.words) - 1, QUERIES).astype(np.int64)
    queries = dictionary.vectors[rows]
    k = 11  # the word itself, and ten others
    truth = index.search(queries, k, exact=True).ids
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        found = index.search(queries, k, ef=EF, threads=1).ids
        best = min(best, time.perf_counter() - started)
    started = time.perf_counter()
    index.search(queries, k, exact=True, threads=1)
    exact = time.perf_counter() - started
    stats = index.stats()
    return {
        **timings,
        "count": len(index),
        "dim": dictionary.vectors.shape[1],
        "ef": EF,
        "recall_at_10": recall(found, truth, rows),
        "queries_per_second": QUERIES / best,
        "exact_queries_per_second": QUERIES / exact,
        "bytes_per_vector": dict(stats["bytes_per_vector"]),
        "kernels": sutra.platform()["isa"]["chosen"],
    }


def show_summary(summary: dict[str, Any], out: Output) -> None:
    """Print the measured figures."""
    hot = dict(summary["bytes_per_vector"])
    original = hot.pop("originals", 0)
    parts = ", ".join(f"{name} {size:.0f}" for name, size in hot.items())
    out.heading("Measured just now, one thread")
    out.pairs(
        {
            "recall@10": f"{summary['recall_at_10']:.4f} against an exact scan "
            f"({format_count(QUERIES)} words, ef = {summary['ef']})",
            "queries": f"{format_count(summary['queries_per_second'])} per second "
            f"(exact scan: {format_count(summary['exact_queries_per_second'])})",
            "memory": f"{sum(hot.values()):.0f} bytes a vector ({parts}); "
            f"original: {original:.0f}, in the file",
            "open": f"{format_seconds(summary['open_seconds'])}, mapped",
            "kernels": summary["kernels"],
        }
    )
