"""What the store is measured for: sizes, goals, and the rows of the table."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bench import store_adapters
from bench.store_worker import PLAIN_BATCH

OURS = "sutra"
RECALL = 0.95


@dataclass(frozen=True)
class Settings:
    """Sizes and times; stored in the result file."""

    rows: int = 100_000
    """Vectors of the ingest measurements."""
    early: int = 40_000
    """Of these, so many count as written before the graph catches up."""
    batch: int = 1_000
    concepts: int = 1_000_000
    links: int = 2_000_000
    mixed: int = 100_000
    """Vectors that are searched while more are written: up to twice as many."""
    large: int = 1_000_000
    large_links: int = 10_000_000
    searches: int = 100_000
    memory_searches: int = 10_000
    log_bytes: int = 62 << 20
    """A full log: at 64 MiB it is sealed, so a batch less."""
    changed: float = 0.01
    rounds: int = 3
    burst_s: float = 1.0
    limit_s: float = 120.0
    threads: int = 2
    queries: int = 1_000
    scale: float = 1.0

    def scaled(self, scale: float) -> Settings:
        """The same with every size multiplied, but for a smallest one."""
        least = {
            "rows": 3_000,
            "early": 1_000,
            "mixed": 2_000,
            "large": 3_000,
            "log_bytes": 1 << 20,
        }
        others = ("concepts", "links", "large_links", "searches", "memory_searches")
        least |= dict.fromkeys(others, 2_000)
        sizes = {n: max(few, int(getattr(self, n) * scale)) for n, few in least.items()}
        sizes["log_bytes"] = min(sizes["log_bytes"], self.log_bytes)
        return replace(self, scale=scale, **sizes)


@dataclass(frozen=True)
class Goal:
    """What a measurement must reach and should reach."""

    must: float
    aim: float
    lower: bool = False
    """Whether less is better."""
    relative: bool = False
    """Whether it is about the ratio to the best peer."""

    def verdict(self, value: float) -> str:
        """Which of the two a value reaches."""
        for name, bound in (("aim", self.aim), ("must", self.must)):
            if value <= bound if self.lower else value >= bound:
                return f"{name} reached"
        return "NOT reached"


@dataclass
class Measure:
    """One row of the table: what was measured, for each library or way of doing it."""

    title: str
    unit: str
    goal: Goal | None = None
    ours: str = OURS
    """The entry that the goal is about. Entries with the name of a library are compared."""
    entries: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, *values: float) -> None:
        """Add what a round measured."""
        self.entries.setdefault(name, []).extend(values)

    def best_peer(self, *, synced: bool = False) -> str | None:
        """The library with the best median, sutra aside; of all, or of those that sync."""
        kinds = store_adapters.STORES
        peers = [name for name in self.entries if name in kinds and name != OURS]
        if synced:
            peers = [name for name in peers if kinds[name].synced]
        sign = -1 if self.goal and self.goal.lower else 1
        return max(peers, key=lambda n: sign * statistics.median(self.entries[n]), default=None)

    def ratios(self, name: str, *, synced: bool = False) -> list[float]:
        """Ratios to the best peer, round by round."""
        best = self.best_peer(synced=synced)
        if best is None:
            return []
        pairs = zip(self.entries[name], self.entries[best], strict=False)
        return [one / other for one, other in pairs]

    def result(self) -> float | None:
        """The figure that the goal is about."""
        values = self.entries.get(self.ours)
        if values and self.goal and self.goal.relative:
            values = self.ratios(self.ours)
        return statistics.median(values) if values else None

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        entries = {name: [float(v) for v in values] for name, values in self.entries.items()}
        return {**asdict(self), "entries": entries, "best_peer": self.best_peer()}

    def table(self) -> str:
        """As text."""
        lines = [f"{self.title} ({self.unit})" if self.unit else self.title]
        for name in dict.fromkeys((*self.entries, *self.notes)):
            values = self.entries.get(name, [])
            line = f"  {name:<34}"
            if values:
                shown = statistics.median(values), min(values), max(values)
                line += "".join(f"{number(value):>12}" for value in shown)
            ratios = self.ratios(name) if values and name in store_adapters.STORES else []
            if ratios:
                line += f"{statistics.median(ratios):>8.2f}x ({min(ratios):.2f}-{max(ratios):.2f})"
            note = self.notes.get(name)
            lines.append(line + (f"  {note}" if note else ""))
        best = self.best_peer()
        ratios = self.ratios(OURS, synced=True) if OURS in self.entries else []
        if ratios and best is not None and not store_adapters.STORES[best].synced:
            other = self.best_peer(synced=True)
            lines.append(
                f"  {best} syncs nothing; sutra to {other}, the best that does: "
                f"{statistics.median(ratios):.2f}x ({min(ratios):.2f}-{max(ratios):.2f})"
            )
        result = self.result()
        if self.goal is not None and result is not None:
            sign = "at most" if self.goal.lower else "at least"
            times = "x the best peer" if self.goal.relative else ""
            goals = f"{number(self.goal.must)}{times}, aim {number(self.goal.aim)}{times}"
            lines.append(f"  goal: {sign} {goals}: {self.goal.verdict(result)}")
        return "\n".join(lines)


def number(value: float) -> str:
    """Whole with thousands marked, or with three digits."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def measures(settings: Settings) -> dict[str, Measure]:
    """The rows of the table, by name, before anything is measured."""
    s = settings
    return {
        "acknowledged": Measure(
            f"durable ingest, {s.batch:,} a batch, the first {s.early:,} of {s.rows:,}: "
            "acknowledged, before the graph catches up",
            "vectors/s",
            Goal(2, 5, relative=True),
        ),
        "indexed": Measure(
            f"durable ingest of {s.rows:,} until all are indexed",
            "vectors/s",
            Goal(1, 2, relative=True),
        ),
        "concepts": Measure(
            f"{s.concepts:,} concepts without vectors, {PLAIN_BATCH:,} a batch, readable on return",
            "concepts/s",
            Goal(880_000, 1_500_000),
        ),
        "lookup": Measure(
            f"id -> record, uniform over {s.concepts:,} concepts, one thread",
            "look-ups/s",
            Goal(10_000_000, 22_000_000),
            ours="engine, 256 a call",
        ),
        "links": Measure(
            f"{s.links:,} associations among {s.concepts:,} concepts, "
            f"{PLAIN_BATCH:,} a batch, followed in both directions",
            "associations/s",
            Goal(1_000_000, 3_000_000),
        ),
        "mixed": Measure(
            f"searches at recall {RECALL} while a writer ingests at half speed, against idle, "
            f"{s.mixed:,} vectors and growing, one thread",
            "searches/s",
            Goal(0.7, 0.9),
            ours="writing / idle",
        ),
        "reference": Measure(
            f"{s.large:,} x 384 vectors at recall {RECALL}: searches on two threads",
            "searches/s",
            Goal(12_000, 20_000),
            ours="two threads, one query a call",
        ),
        "latency": Measure(
            "of the same two threads, a search takes",
            "ms",
            Goal(2.0, 1.0, lower=True),
            ours="99 %",
        ),
        "memory": Measure(
            f"resident after reopening: {s.large:,} concepts x 384, {s.large_links:,} associations",
            "GB",
            Goal(1.8, 0.8, lower=True),
            ours="without float32 originals",
        ),
        "opening": Measure(
            "opening that store, to the first answered search, after a clean shutdown",
            "ms",
            Goal(100, 100, lower=True),
        ),
        "killed": Measure(
            f"the same after kill -9 with {s.log_bytes / 2**20:.0f} MiB in the log",
            "s",
            Goal(2, 2, lower=True),
            ours="log of vectors",
        ),
        "checkpoint": Measure(
            f"written by a checkpoint after new vectors for a random {s.changed:.0%} of "
            f"{s.large:,}, relative to the store",
            "%",
            Goal(5, 5, lower=True),
        ),
        "building": Measure(
            f"making the large store: {s.large:,} vectors, {s.large_links:,} associations", ""
        ),
    }
