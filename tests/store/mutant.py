"""What a mutant is, and the C tests that are named more than once."""

from dataclasses import dataclass

# Test programs, with the part of a test's name that is run of each; in the order they are tried.
CRASH = ("test_store_crash:full", "test_store_crash:interval", "test_store_crash:off")
FAULTS = ("test_store_faults:",)
DAMAGE = ("test_store_damage:",)


@dataclass(frozen=True)
class Edit:
    """One text of a file that becomes another; it must be there exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A bug: its name, where it is put, and the tests that must find it."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def mutant(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    """A mutant of one edit."""
    return Mutant(name, (Edit(f"csrc/{file}", old, new),), tests)
