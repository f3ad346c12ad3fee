"""Writing what sources give to a store, in batches that can be taken up again after any stop.

A batch is one write: its concepts, and their links to concepts that are there by then, all or
none. Links to concepts that come later are kept aside and made at the end. After each batch a
small file beside the store, `NAME.import.json` for the store `NAME`, says how far the import is;
it is gone when the import is done. It is written after its batch is durable, so it never claims
too much, and what it does not claim is written again, which changes nothing.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sutra.cli.output import Failure, ProgressBar
from sutra.cli.records import Item, Tie
from sutra.cli.sources import BadItem, Changed, Mark, Source

if TYPE_CHECKING:
    from sutra import Store
    from sutra.results import Id

__all__ = ["Import", "Journal", "journal_path"]

BATCH_ITEMS = 1000
BATCH_BYTES = 32 << 20
BATCH_TIES = 10_000

T = TypeVar("T")


def journal_path(store: str) -> Path:
    """Return where the position of imports into a store is kept."""
    place = Path(store).resolve()
    return place.with_name(f"{place.name}.import.json")


class Journal:
    """The file beside a store that says how far an import into it is.

    Parameters
    ----------
    store : str
        The store's directory.

    Attributes
    ----------
    error : str or None
        Why nothing more is kept.
    """

    def __init__(self, store: str) -> None:
        identity = os.stat(Path(store, "SUTRA"))
        self.path = journal_path(store)
        # A store that was made anew, or restored, has none of what went into the one before.
        self.store = [identity.st_ino, identity.st_mtime_ns]
        self.sources = self.read()
        self.error: str | None = None

    def read(self) -> dict[str, Any]:
        """Return what was noted for this store, by source."""
        try:
            found = json.loads(self.path.read_bytes())
        except (OSError, ValueError):  # none, or cut short by a crash: start at the beginning
            return {}
        if not isinstance(found, dict) or found.get("store") != self.store:
            return {}
        sources = found.get("sources")
        return sources if isinstance(sources, dict) else {}

    def note(self, source: str, mark: Mark, links_from: int | None) -> None:
        """Note where a source is."""
        self.sources[source] = {"mark": mark, "links_from": links_from}
        self.write()

    def forget(self, sources: Iterable[str | None]) -> None:
        """Forget sources: they are done, or are to be read from the beginning."""
        for source in sources:
            self.sources.pop(source or "", None)
        self.write()

    def write(self) -> None:
        """Replace the file as a whole, or remove it if there is nothing to say."""
        if self.error is not None:
            return
        partial = self.path.with_name(f"{self.path.name}.tmp")
        try:
            if not self.sources:
                self.path.unlink(missing_ok=True)
                return
            partial.write_text(json.dumps({"store": self.store, "sources": self.sources}))
            partial.replace(self.path)
        except OSError as error:
            self.error = f"{error.filename}: {error.strerror}"


class Import:
    """One import into a store.

    Parameters
    ----------
    store : Store
        Open for writing.
    sources : sequence of Source
        Where concepts come from, one after the other.
    journal : Journal
        Where the position is kept.

    Attributes
    ----------
    concepts, links : int
        Written so far.
    resumed : dict
        By number of a source: bytes or rows that an earlier import had done.
    """

    def __init__(self, store: "Store", sources: Sequence[Source], journal: Journal) -> None:
        self.store = store
        self.sources = sources
        self.journal = journal
        self.concepts = self.links = 0
        self.resumed: dict[int, int] = {}
        self.at = 0  # number of the source
        self.first_open: int | None = None  # its first place with a link kept aside
        self.aside = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115

    def close(self) -> None:
        """Let go of what was kept aside, and of the sources."""
        self.aside.close()
        for source in self.sources:
            source.close()

    @property
    def source(self) -> Source:
        """What is being read."""
        return self.sources[self.at]

    def run(self) -> None:
        """Write everything, and then the links that had to wait."""
        for at, source in enumerate(self.sources):
            self.at, self.first_open = at, None
            self.resume()
            skipped, before = self.resumed.get(at, 0), self.concepts
            with ProgressBar("importing") as progress:
                for batch in self.batches():
                    self.write(batch)
                    if source.key is not None:
                        self.journal.note(source.key, source.mark(), self.first_open)
                    progress(
                        source.done - skipped,
                        max(0, source.total - skipped),
                        self.concepts - before,
                    )
        self.link_rest()
        self.journal.forget(source.key for source in self.sources)

    def resume(self) -> None:
        """Go to where an earlier import of the source stopped."""
        found = self.journal.sources.get(self.source.key or "")
        if not isinstance(found, dict):
            return
        kept = self.aside.tell()
        try:
            since = found["links_from"]
            for item in self.source.replay(found["mark"], since):
                self.put_aside(item.ties)
            self.first_open = since
            self.resumed[self.at] = self.source.done
        except (Changed, BadItem, KeyError, TypeError):
            self.aside.seek(kept)
            self.aside.truncate()
            self.first_open = None
            self.source.restart()

    # ---- concepts

    def batches(self) -> Iterator[list[Item]]:
        """Give items in batches; where one is bad, those before it, and then fail."""
        batch: list[Item] = []
        size = 0
        items = self.source.items()
        while True:
            try:
                item = next(items, None)
            except BadItem as error:
                if batch:
                    yield batch
                raise Failure(f"{error} ({self.advice()})") from None
            if item is None:
                break
            batch.append(item)
            size += item.size
            if len(batch) == BATCH_ITEMS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def advice(self) -> str:
        """Return what to do after a bad item."""
        goes_on = self.source.key is not None and self.journal.error is None
        return "what is before it is stored" + "; the same command goes on there" * goes_on

    def write(self, batch: Sequence[Item]) -> None:
        """Write a batch; an id that comes again in it counts as it would alone: the last wins."""
        group: dict[Id, Item] = {}
        for item in batch:
            if item.id in group:
                self.write_group(list(group.values()))
                group = {}
            group[item.id] = item
        self.write_group(list(group.values()))

    def write_group(self, items: list[Item]) -> None:
        """Write items with different ids at once, or one by one if one of them is refused."""
        try:
            ready, waiting = self.sorted_ties(items)
            made = self.put(items, ready)
        except (ValueError, TypeError) as error:
            if len(items) == 1:
                place = self.source.where(items[0].place)
                raise Failure(f"{place}: {reason_of(error)} ({self.advice()})") from error
            for item in items:
                self.write_group([item])
            return
        self.put_aside(waiting)
        self.concepts += len(items)
        self.links += made

    def put(self, items: list[Item], ties: list[Tie]) -> int:
        """Write concepts and links as one; return how many links were made."""
        vectors = [item.vector for item in items]
        contents = [item.content for item in items]
        metadata = [item.metadata for item in items]
        with self.store.batch() as batch:
            batch.upsert(
                [item.id for item in items],
                vectors if any_given(vectors) else None,
                contents=contents if any_given(contents) else None,
                metadata=metadata if any_given(metadata) else None,
                strength=[item.strength for item in items],
                confidence=[item.confidence for item in items],
            )
            if ties:
                batch.link(
                    [tie.source for tie in ties],
                    [tie.target for tie in ties],
                    kind=[tie.kind for tie in ties],
                    weight=[tie.weight for tie in ties],
                    confidence=[tie.confidence for tie in ties],
                )
        return batch.results[1].count if ties else 0

    # ---- links

    def sorted_ties(self, items: list[Item]) -> tuple[list[Tie], list[Tie]]:
        """Return the links that can be made with these items, and those that have to wait."""
        ties = [tie for item in items for tie in item.ties]
        known = {item.id for item in items}
        known |= self.stored({tie.target for tie in ties} - known)
        ready = [tie for tie in ties if tie.target in known]
        return ready, [tie for tie in ties if tie.target not in known]

    def stored(self, ids: "set[Id]") -> "set[Id]":
        """Return those of the ids that the store has."""
        asked = list(ids)
        if not asked:
            return set()
        found = self.store.records(asked)["found"].tolist()
        return {id for id, there in zip(asked, found, strict=True) if there}

    def put_aside(self, ties: Iterable[Tie]) -> None:
        """Keep links of the source for the end."""
        for tie in ties:
            if self.first_open is None:
                self.first_open = tie.place
            self.aside.write(json.dumps([self.at, *tie]) + "\n")

    def link_rest(self) -> None:
        """Make the links that were kept aside; fail if an end is still missing."""
        self.aside.seek(0)
        kept = (json.loads(line) for line in self.aside)
        missing = 0
        first: tuple[int, Tie] | None = None
        for some in chunks(((at, Tie(*tie)) for at, *tie in kept), BATCH_TIES):
            known = self.stored({tie.target for _, tie in some})
            lost = [(at, tie) for at, tie in some if tie.target not in known]
            first = first or next(iter(lost), None)
            missing += len(lost)
            self.link_each([(at, tie) for at, tie in some if tie.target in known])
        if first is not None:
            at, tie = first
            more = f", nor {missing - 1:,} more such ends" if missing > 1 else ""
            raise Failure(
                f"{self.sources[at].where(tie.place)}: links to {tie.target!r}: neither the input "
                f"nor the store has it{more} (everything else is stored)"
            )

    def link_each(self, ties: list[tuple[int, Tie]]) -> None:
        """Make links at once, or one by one if one of them is refused."""
        if not ties:
            return
        try:
            self.links += self.store.link(
                [tie.source for _, tie in ties],
                [tie.target for _, tie in ties],
                kind=[tie.kind for _, tie in ties],
                weight=[tie.weight for _, tie in ties],
                confidence=[tie.confidence for _, tie in ties],
            ).count
        except (ValueError, TypeError, KeyError) as error:
            if len(ties) == 1:
                ((at, tie),) = ties
                raise Failure(f"{self.sources[at].where(tie.place)}: {reason_of(error)}") from error
            for one in ties:
                self.link_each([one])


def any_given(values: Iterable[Any]) -> bool:
    """Whether there is anything but None."""
    return any(value is not None for value in values)


def reason_of(error: Exception) -> str:
    """Return what a refusal of one item says, on one line, without the number of its row."""
    text = re.sub(r" \(operation \d+ of the batch\)", "", " ".join(str(error).split()))
    for long, short in (("vectors: row 0 ", "vector: "), ("ids: row 0 ", "id: "), ("row 0: ", "")):
        text = text.replace(long, short)
    return text


def chunks(items: Iterator[T], count: int) -> Iterator[list[T]]:
    """Give items so many at a time."""
    while some := list(islice(items, count)):
        yield some
