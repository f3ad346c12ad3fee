"""What `sutra doctor` looks at: one function a check, each giving what it found and advice."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sutra.cli.importing import journal_path
from sutra.cli.output import format_bytes, format_count, format_seconds
from sutra.cli.stores import directory_bytes, holder_of, open_store

if TYPE_CHECKING:
    from sutra import Index, Store

__all__ = ["Check", "check_index", "check_place", "check_store"]

LOG_BYTES = 64 << 20  # what the log may take before a checkpoint
DEAD_SHARE = 0.25
PENDING_MANY = 20_000  # vectors that a search scans in about a millisecond or more

NETWORK = (
    "9p", "afs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs",
    "fuse.sshfs", "glusterfs", "lustre", "nfs", "nfs4", "smb3", "smbfs",
)  # fmt: skip
ADVICE = {
    "overlay": "a container's own layer is lost with the container: put the store on a volume",
    "tmpfs": "it is in memory: everything is lost when the machine stops",
    "ramfs": "it is in memory: everything is lost when the machine stops",
}


class Check(NamedTuple):
    """One thing looked at."""

    name: str
    status: Literal["ok", "warn", "fail", "corrupt"]
    found: str
    advice: str | None = None


# ---- where it is


def check_place(path: str) -> Iterator[Check]:
    """Look at the place of a store or an index."""
    writable = os.access(path, os.R_OK | os.W_OK | (os.X_OK if Path(path).is_dir() else 0))
    if writable:
        yield Check("access", "ok", "readable and writable")
    else:
        yield Check("access", "warn", "not writable", "this user can read it at most")
    yield check_file_system(path)
    yield check_disk(path)


def check_file_system(path: str) -> Check:
    """Look at the kind of file system."""
    kind = file_system_of(path)
    if kind is None:
        return Check("file system", "ok", "of a kind that this system does not tell")
    if kind in NETWORK:
        advice = "locks and syncs over a network are only as good as its server: use a local disk"
        return Check("file system", "warn", kind, advice)
    return Check("file system", "warn" if kind in ADVICE else "ok", kind, ADVICE.get(kind))


def file_system_of(path: str, mounts: str = "/proc/self/mountinfo") -> str | None:
    """Return the kind of file system that a path is on, where Linux tells."""
    place = os.path.realpath(path)
    best, kind = "", None
    try:
        lines = Path(mounts).read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = fields[4]
        for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
            point = point.replace(code, char)
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two at one place the later covers the other
            best, kind = point, after.split()[0]
    return kind


def check_disk(path: str) -> Check:
    """Look at the room that is left."""
    found = os.statvfs(path)
    free = found.f_bavail * found.f_frsize
    size = directory_bytes(path) if Path(path).is_dir() else os.stat(path).st_size
    text = f"{format_bytes(free)} free, {format_bytes(size)} used here"
    if free < LOG_BYTES:
        return Check("disk", "fail", text, f"the log alone takes up to {format_bytes(LOG_BYTES)}")
    if free < size:
        return Check("disk", "warn", text, "compact needs as much room again as the store has")
    return Check("disk", "ok", text)


# ---- a store


def check_store(path: str) -> Iterator[Check]:
    """Look at a store; what keeps it from being opened ends the checks."""
    import sutra

    yield check_lock(path)
    if journal_path(path).exists():
        advice = "run it again: it goes on where it was; or remove the file"
        yield Check("import", "warn", f"one has stopped: {journal_path(path).name}", advice)
    try:
        store = open_store(path, resident="mapped")
    except (sutra.SutraError, OSError) as error:
        yield refused("open", error, "sutra repair saves what can be saved; or restore a snapshot")
        return
    with store:
        stats, health = store.stats(), store.health()
        yield check_recovery(stats, health)
        if health["status"] not in ("ok", "read-only"):
            yield Check("state", "fail", f"{health['status']}: {health['detail']}")
        yield check_pending(stats)
        yield check_dead(stats)
        yield check_memory(stats["mapped_bytes"] + stats["memory_bytes"] - stats["originals_bytes"])
        yield check_pages()
        yield check_content(store)


def refused(name: str, error: Exception, advice: str) -> Check:
    """Return the check that an error ended."""
    from sutra.errors import CorruptError, FormatVersionError

    found = " ".join(str(error).split())
    if isinstance(error, CorruptError):
        return Check(name, "corrupt", found, advice)
    newer = isinstance(error, FormatVersionError)
    return Check(name, "fail", found, "install a newer version of sutra" if newer else None)


def check_lock(path: str) -> Check:
    """Look at who writes."""
    try:
        holder = holder_of(path)
    except OSError as error:
        return Check("lock", "warn", f"not known: {error.strerror}")
    return Check("lock", "ok", "free" if holder is None else f"held by {holder}")


def check_recovery(stats: dict[str, Any], health: dict[str, Any]) -> Check:
    """Look at what opening met."""
    seconds = format_seconds(stats["recovery_ns"] / 1e9)
    found = f"format read, {format_count(health['recovered'])} log records replayed in {seconds}"
    if health["torn_bytes"]:
        found += f", {format_bytes(health['torn_bytes'])} of an unfinished write left out"
    if health["manifest_fallback"]:
        advice = "the disk may be failing: verify --deep, and make a snapshot elsewhere"
        return Check("open", "warn", f"{found}; the newest manifest is damaged", advice)
    return Check("open", "ok", found)


def check_pending(stats: dict[str, Any]) -> Check:
    """Look at what is not linked."""
    pending = stats["pending"]
    found = f"{format_count(stats['vectors'] - pending)} linked, {format_count(pending)} waiting"
    if pending >= PENDING_MANY:
        advice = "searches scan those that wait: a program that writes links them, or compact"
        return Check("vectors", "warn", found, advice)
    return Check("vectors", "ok", found)


def check_dead(stats: dict[str, Any]) -> Check:
    """Look at what is deleted or replaced and still takes room."""
    share = stats["dead_slots"] / max(1, stats["slots"])
    found = f"{format_count(stats['dead_slots'])} of {format_count(stats['slots'])} ({share:.0%})"
    if share >= DEAD_SHARE:
        return Check("dead versions", "warn", found, "sutra compact gives their room back")
    return Check("dead versions", "ok", found)


def check_content(source: "Store | Index") -> Check:
    """Verify the structure."""
    try:
        report = source.verify()
    except OSError as error:
        return refused("verify", error, "sutra repair saves what can be saved of a store")
    return Check("verify", "ok", f"sound, in {format_seconds(report['seconds'])}")


# ---- the machine


def check_memory(wanted: int) -> Check:
    """Look at whether what searches touch fits."""
    import sutra

    free = sutra.platform()["memory_bytes"]["available"]
    found = f"searches touch {format_bytes(wanted)}, {format_bytes(free)} available"
    if wanted > free:
        return Check("memory", "warn", found, "searches will wait for the disk")
    return Check("memory", "ok", found)


def check_pages() -> Check:
    """Look at the size of pages."""
    import sutra

    machine = sutra.platform()
    mode = machine["huge_pages"]
    found = f"{format_bytes(machine['page_bytes'])}, huge pages: {mode or 'not known'}"
    if mode == "never":
        advice = "large stores are slower: /sys/kernel/mm/transparent_hugepage/enabled = madvise"
        return Check("pages", "warn", found, advice)
    return Check("pages", "ok", found)


# ---- an index


def check_index(path: str) -> Iterator[Check]:
    """Look at an index file."""
    import sutra

    try:
        index = sutra.Index.open(path, resident="mapped")
    except (sutra.SutraError, OSError) as error:
        yield refused("open", error, "build it again, or copy it again from where it was made")
        return
    with index:
        stats = index.stats()
        yield Check("open", "ok", f"format read, {format_count(stats['count'])} vectors")
        yield check_memory(stats["mapped_bytes"])
        yield check_pages()
        yield check_content(index)
