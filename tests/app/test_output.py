"""What the command line looks like: progress, colours, quantities, text from elsewhere."""

import json

from sutra.cli.output import (
    Output,
    ProgressBar,
    format_bytes,
    format_seconds,
    shortened,
    wants_colour,
)


class Terminal:
    """A stream that says a person is watching."""

    def __init__(self) -> None:
        self.text = ""
        self.closed = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_progress_bar_tells_rate_and_time_left() -> None:
    bar = ProgressBar("building", Terminal())
    line = bar.render(250, 1000, 0.5, 80)
    assert "25%" in line
    assert "250 of 1,000" in line
    assert "500/s" in line
    assert "1.5 s left" in line
    assert len(bar.render(250, 1000, 0.5, 40)) < 40
    assert "left" not in bar.render(1000, 1000, 2.0, 80)
    assert "0%" in bar.render(0, 1000, 0.0, 80)
    assert "100%" in bar.render(0, 0, 0.0, 80)


def test_progress_bar_counts_one_thing_and_tells_another() -> None:
    bar = ProgressBar("importing", Terminal())
    line = bar.render(2048, 4096, 2.0, 90, 300)
    for part in ("50%", "  300  ", "150/s", "2 s left"):
        assert part in line
    assert "2,048" not in line
    unknown = bar.render(2048, 0, 2.0, 90, 300)
    assert "300  150/s" in unknown
    assert "%" not in unknown


def test_progress_bar_wipes_itself_and_hides_from_files() -> None:
    terminal = Terminal()
    with ProgressBar("building", terminal) as bar:
        bar(10, 10)
    assert "100%" in terminal.text
    assert terminal.text.endswith("\r\x1b[K")
    bar.visible = False
    terminal.text = ""
    bar(1, 10)
    assert terminal.text == ""


def test_colours_obey_no_color(monkeypatch):

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())


def test_quantities_read_well() -> None:
    assert [format_bytes(n) for n in (0, 1023, 1536, 3 << 20, 200 << 30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "3.0 MiB",
        "200 GiB",
    ]
    assert [format_seconds(s) for s in (2e-6, 0.0125, 2.5, 125, 7260)] == [
        "2 µs",
        "12.5 ms",
        "2.5 s",
        "2 min 05 s",
        "2 h 01 min",
    ]


def test_text_from_elsewhere_cannot_drive_a_terminal() -> None:
    assert (
        shortened("a\x1b[31mred\n\tline\x07")
        == "a\N{REPLACEMENT CHARACTER}[31mred line\N{REPLACEMENT CHARACTER}"
    )
    assert shortened("word " * 50, 10) == "word word\N{HORIZONTAL ELLIPSIS}"
    assert len(shortened("x" * 10_000, 25)) == 25
    assert shortened(b"\x00" * 2048) == "2.0 KiB of bytes"


def test_there_is_one_document(capsys) -> None:
    out = Output(json_document=True)
    out.document({"first": 1})
    out.error("reason", "Failure")
    written, told = capsys.readouterr()
    assert json.loads(written) == {"first": 1}
    assert "reason" in told
