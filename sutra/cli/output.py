"""What the command shows: text for people, or one JSON document for programs.

Colours appear only where standard output is a terminal and NO_COLOR is not set; a progress
bar only where standard error is one.
"""

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

__all__ = [
    "Failure",
    "Output",
    "ProgressBar",
    "format_bytes",
    "format_count",
    "format_seconds",
    "shortened",
]

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Failure(Exception):
    """A verb cannot go on; the message is one line for the user.

    Parameters
    ----------
    message : str
        What was expected and what came.
    code : int
        The exit code: 1 for data and system, 2 for usage, 4 for damage.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Output:
    """Writes text, or holds it back and writes one JSON document.

    Parameters
    ----------
    json_document : bool
        Write nothing but the document given to `document`.
    """

    def __init__(self, *, json_document: bool = False) -> None:
        self.json = json_document
        self.documented = False
        self.coloured = not json_document and wants_colour(sys.stdout)

    def style(self, text: str, *names: str) -> str:
        """Return `text` in these styles, or as it is where colours are off."""
        if not self.coloured or not names:
            return text
        codes = ";".join(STYLES[name] for name in names)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        """Write a line of text."""
        if not self.json:
            print(text)

    def heading(self, text: str) -> None:
        """Write a heading after an empty line."""
        self.line()
        self.line(self.style(text, "bold"))

    def pairs(self, values: Mapping[str, Any], indent: int = 2, unit: str = "") -> None:
        """Write names and values in two columns, mappings indented below their name.

        Numbers whose name, or whose mapping's name, ends in ``_bytes`` are shown as sizes.
        """
        width = max((len(name) for name in values), default=0)
        for name, value in values.items():
            label = " " * indent + self.style(name.ljust(width), "dim")
            of_bytes = unit == "bytes" or name.endswith("_bytes")
            if isinstance(value, Mapping):
                self.line(label.rstrip())
                self.pairs(value, indent + 2, "bytes" if of_bytes else "")
            elif of_bytes and isinstance(value, int | float):
                self.line(f"{label}  {format_bytes(value)}")
            else:
                self.line(f"{label}  {format_value(value)}")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Write a table; numbers are right-aligned."""
        cells = [[format_value(value) for value in row] for row in rows]
        numeric = [
            all(is_number(row[column]) for row in cells) if cells else False
            for column in range(len(header))
        ]
        widths = [
            max(len(line[column]) for line in [list(header), *cells])
            for column in range(len(header))
        ]

        def aligned(row: Sequence[str]) -> str:
            return "  ".join(
                text.rjust(width) if right else text.ljust(width)
                for text, width, right in zip(row, widths, numeric, strict=True)
            ).rstrip()

        self.line(self.style(f"  {aligned(header)}", "dim"))
        for row in cells:
            self.line(f"  {aligned(row)}")

    def document(self, value: object) -> None:
        """Write the JSON document, if that is what was asked for; there is never a second one."""
        if self.json and not self.documented:
            self.documented = True
            print(json.dumps(plain(value), indent=2, allow_nan=False))

    def note(self, text: str) -> None:
        """Write a line to standard error that is no error."""
        print(f"sutra: {text}", file=sys.stderr)

    def warning(self, message: Warning | str, *_: object, **__: object) -> None:
        """Write a warning of Python's as a note; takes the place of `warnings.showwarning`."""
        self.note(" ".join(str(message).split()))

    def error(self, message: str, kind: str) -> None:
        """Write one line to standard error, and the document of a failure."""
        self.document({"error": {"type": kind, "message": message}})
        label = "sutra: error:"
        if wants_colour(sys.stderr):
            label = f"\x1b[{STYLES['red']}m{label}\x1b[0m"
        print(f"{label} {message}", file=sys.stderr)


class ProgressBar:
    """A bar with rate and time left on standard error; silent unless that is a terminal.

    Call it with ``(done, total)``, or with ``(done, total, items)`` where progress is measured in
    one thing (bytes of a file) and told in another; a total of 0 is then unknown, and there is no
    bar. Use it as a context manager so that it is gone when the work is.

    Parameters
    ----------
    label : str
        What is being done.
    stream : file, optional
        Standard error by default.
    """

    def __init__(self, label: str, stream: IO[str] | None = None) -> None:
        self.label = label
        self.stream = sys.stderr if stream is None else stream
        self.visible = is_terminal(self.stream)
        self.started = time.monotonic()
        self.drawn = -math.inf

    def __enter__(self) -> "ProgressBar":
        """Start the clock."""
        self.started = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        """Wipe the bar."""
        if self.visible and self.drawn > -math.inf:
            print("\r\x1b[K", end="", file=self.stream, flush=True)

    def __call__(self, done: int, total: int, items: int | None = None) -> None:
        """Redraw, at most ten times a second."""
        now = time.monotonic()
        if not self.visible or (now - self.drawn < 0.1 and (done < total or not total)):
            return
        self.drawn = now
        columns = shutil.get_terminal_size().columns
        print(
            f"\r{self.render(done, total, now - self.started, columns, items)}\x1b[K",
            end="",
            file=self.stream,
            flush=True,
        )

    def render(
        self, done: int, total: int, seconds: float, columns: int, items: int | None = None
    ) -> str:
        """Return the line for this state, no longer than the terminal is wide."""
        share = min(done / total, 1.0) if total else 1.0
        if items is None:
            facts = f"{share:4.0%}  {format_count(done)} of {format_count(total)}"
        else:
            facts = f"{share:4.0%}  {format_count(items)}" if total else format_count(items)
        if done and seconds > 0:
            facts += f"  {format_count((done if items is None else items) / seconds)}/s"
            if done < total:
                facts += f"  {format_seconds((total - done) * seconds / done)} left"
        if items is not None and not total:
            return f"{self.label}  {facts}"[: columns - 1]
        width = max(0, min(32, columns - len(self.label) - len(facts) - 6))
        filled = round(share * width)
        bar = "█" * filled + "░" * (width - filled)
        return f"{self.label}  {bar}  {facts}"[: columns - 1]


def wants_colour(stream: IO[str]) -> bool:
    """Whether escape codes are welcome on `stream` (see https://no-color.org)."""
    return (
        is_terminal(stream)
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") != "dumb"
    )


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person is watching `stream`."""
    return not stream.closed and stream.isatty()


def format_bytes(count: float) -> str:
    """Return a size in binary units."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while abs(count) >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    decimals = 0 if units[0] == "B" or count >= 100 else 1
    return f"{count:.{decimals}f} {units[0]}"


def format_count(count: float) -> str:
    """Return a number with thousands separators and no decimals."""
    return f"{count:,.0f}"


def format_seconds(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def shortened(value: object, width: int = 60) -> str:
    """Return `value` on one line of at most `width` characters that a terminal shows as they are.

    What a store holds came from somewhere: control characters in it must not reach a terminal.
    """
    if isinstance(value, bytes):
        return f"{format_bytes(len(value))} of bytes"
    text = "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for char in " ".join(str(value)[: 4 * width].split())
    )
    return text if len(text) <= width else f"{text[: width - 1]}\N{HORIZONTAL ELLIPSIS}"


def format_value(value: object) -> str:
    """Return a table cell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(format_value(item) for item in value) or "-"
    return str(value)


def is_number(text: str) -> bool:
    """Whether a cell holds a number."""
    try:
        float(text.replace(",", ""))
    except ValueError:
        return text == "-"
    return True


def plain(value: Any) -> Any:
    """Return `value` in types that JSON has; NumPy's become Python's, infinities null."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)
