"""Import of lines: links, bad lines, and every stop with its resumption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sutra import open as open_store
from sutra.cli import main
from sutra.cli.records import parse_line

DIM, SOME = 5, 40  # as in conftest.py


def lines(count, first=0, links=True):
    """Concepts as lines: each is linked to the one before and to one far behind it."""
    made = []
    for number in range(first, first + count):
        item = {"id": number, "vector": [number, 1, 2, 3, 4], "content": f"number {number}"}
        if links:
            item["links"] = [{"to": max(0, number - 1)}, {"to": (number + 61) % count, "kind": "f"}]
        made.append(json.dumps(item).encode() + b"\n")
    return made


def journal_of(store):
    return store.with_name(f"{store.name}.import.json")


# ---- lines


def test_links_to_later_lines_are_made(sutra, empty, everything):
    Path("in.ndjson").write_bytes(b"".join(lines(200)))
    report = sutra.json("import", empty, "in.ndjson")
    assert (report["concepts"], report["links"]) == (200, 400)
    _, found = everything(empty)
    assert set(found[199][6]) == {(198, "semantic"), (60, "f")}
    assert set(found[0][6]) == {(0, "semantic"), (61, "f")}


def test_links_go_from_file_to_file(sutra, empty, everything):
    made = lines(200)
    Path("a").write_bytes(b"".join(made[:90]))
    Path("b").write_bytes(b"".join(made[90:]))
    assert sutra.json("import", empty, "a", "b")["links"] == 400
    assert sum(len(item[6]) for item in everything(empty)[1].values()) == 400


def test_an_id_that_comes_again_wins(sutra, empty, everything):
    Path("in.ndjson").write_text(
        '{"id": 1, "content": "first", "metadata": {"kept": 1}}\n'
        '{"id": 2}\n'
        '{"id": 1, "content": "second"}\n'
    )
    assert sutra.json("import", empty, "in.ndjson")["concepts"] == 3
    order, found = everything(empty)
    assert order == [1, 2]
    assert found[1][1:3] == ("second", {"kept": 1})


def test_blank_lines_and_a_mark_are_passed_over(sutra, empty, stdin):
    stdin(b'\xef\xbb\xbf{"id": 1}\n\n  \r\n{"id": 2}\r\n{"id": "last"}')
    assert sutra.json("import", empty, "-")["concepts"] == 3
    stdin(b'\n\n{"id": 1, "x": 2}\n')
    assert "standard input:3: " in sutra.fails(1, "import", empty, "-")


BAD_LINES = {
    "{": "not JSON",
    '{"id": 1} x': "not JSON",
    "[1]": "expected a JSON object, got an array",
    "7": "expected a JSON object, got 7",
    "\\xff": "not UTF-8",
    '{"content": "x"}': "'id' is missing",
    '{"id": 1.5}': "id: expected",
    '{"id": true}': "id: expected",
    '{"id": null}': "id: expected",
    '{"id": -1}': "id: is -1",
    '{"id": 9223372036854775808}': "id: is 9223372036854775808",
    '{"id": ""}': "1 to 1024",
    '{"id": "\\ud800"}': "text",
    '{"id": 1, "vektor": []}': "'vektor' is none of id, vector",
    '{"id": 1, "row": 0}': "'row' is none of",
    '{"id": 1, "vector": "abc"}': "vector: expected an array",
    '{"id": 1, "vector": [1, 2]}': "length 5, not 2",
    '{"id": 1, "vector": []}': "length 5, not 0",
    '{"id": 1, "vector": [1, 2, 3, 4, "x"]}': "expected real numbers",
    '{"id": 1, "vector": [1, 2, 3, 4, null]}': "expected real numbers",
    '{"id": 1, "vector": [1, 2, 3, 4, [5]]}': "vectors",
    '{"id": 1, "vector": [1, 2, 3, 4, NaN]}': "NaN",
    '{"id": 1, "vector": [1, 2, 3, 4, 1e39]}': "float32",
    '{"id": 1, "content": 5}': "content: expected a text",
    '{"id": 1, "content": "a", "content_base64": "YQ=="}': "one of them",
    '{"id": 1, "content_base64": "?"}': "content_base64",
    '{"id": 1, "metadata": [1]}': "metadata: expected an object",
    '{"id": 1, "metadata": {"x": NaN}}': "metadata",
    '{"id": 1, "strength": "x"}': "strength: expected a number",
    '{"id": 1, "strength": 1e999}': "strength: expected a finite",
    '{"id": 1, "confidence": 1e300}': "confidence",
    '{"id": 1, "links": {"to": 1}}': "links: expected an array",
    '{"id": 1, "links": [1]}': "links: expected a JSON object",
    '{"id": 1, "links": [{"kind": "x"}]}': "'to' is missing",
    '{"id": 1, "links": [{"to": null}]}': "to: expected",
    '{"id": 1, "links": [{"to": 0, "kind": ""}]}': "kind",
    '{"id": 1, "links": [{"to": 0, "kind": 5}]}': "kind: expected a text",
    '{"id": 1, "links": [{"to": 0, "weight": "x"}]}': "weight",
    '{"id": 1, "links": [{"to": 0, "weight": -Infinity}]}': "weight",
    '{"id": 1, "links": [{"to": 0, "x": 1}]}': "'x' is none of to, kind",
    '{"id": 1, "links": [{"to": -4}]}': "-4",
}


@pytest.mark.parametrize("bad", BAD_LINES)
def test_a_bad_line_is_named_and_what_is_before_it_is_stored(sutra, empty, bad, everything):
    good = lines(70, links=False)
    coded = bad.encode().replace(b"\\xff", b"\xff")
    Path("in.ndjson").write_bytes(b"".join([*good[:50], coded, b"\n", *good[50:]]))
    message = sutra.fails(1, "import", empty, "in.ndjson")
    assert message.startswith("sutra: error: in.ndjson:51: ")
    assert BAD_LINES[bad] in message, message
    assert "goes on there" in message
    assert everything(empty)[0] == list(range(50))


def test_parsing_refuses_nesting_without_end():
    with pytest.raises(ValueError, match="nested"):
        parse_line(b'{"id": 1, "metadata": ' + b'{"x":' * 200_000, 1)


def test_a_link_to_nothing_is_told_at_the_end(sutra, empty, everything):
    made = lines(100)
    made[20] = b'{"id": 20, "links": [{"to": "gone"}, {"to": 21}, {"to": "gone too"}]}\n'
    Path("in.ndjson").write_bytes(b"".join(made))
    message = sutra.fails(1, "import", empty, "in.ndjson")
    assert "in.ndjson:21: links to 'gone'" in message
    assert "1 more" in message
    _, found = everything(empty)
    assert len(found) == 100
    assert set(found[20][6]) == {(21, "semantic")}
    assert set(found[99][6]) == {(98, "semantic"), (60, "f")}
    with Path("in.ndjson").open("ab") as file:  # it comes after all
        file.write(b'{"id": "gone"}\n{"id": "gone too"}\n')
    report = sutra.json("import", empty, "in.ndjson")
    assert report["concepts"] == 2
    assert report["resumed"]["in.ndjson"] > 0
    assert set(everything(empty)[1][20][6]) == {
        (21, "semantic"), ("gone", "semantic"), ("gone too", "semantic"),
    }  # fmt: skip
    assert not journal_of(empty).exists()


# ---- stopped and taken up again


@pytest.fixture
def expected_of(everything):
    return lambda made: imported_once(made, everything)


def imported_once(made, everything):
    """What a store holds after one import of these lines."""
    with open_store("expected", dim=DIM):
        pass
    Path("expected.ndjson").write_bytes(b"".join(made))
    assert main(["import", "expected", "expected.ndjson"]) == 0
    return everything("expected")


def test_a_mended_line_is_where_it_goes_on(sutra, empty, everything, expected_of):
    made = lines(200)
    broken = [*made[:130], b'{"id": 130, "vector": [1, 2\n', *made[131:]]
    Path("in.ndjson").write_bytes(b"".join(broken))
    assert "in.ndjson:131: " in sutra.fails(1, "import", empty, "in.ndjson")
    assert journal_of(empty).exists()
    assert sorted(os.listdir(empty.parent)) == ["in.ndjson", "store", "store.import.json"]
    Path("in.ndjson").write_bytes(b"".join(made))
    report = sutra.json("import", empty, "in.ndjson")
    assert report["concepts"] == 70
    assert report["resumed"] == {"in.ndjson": sum(map(len, made[:130]))}
    assert "went on from byte" in sutra.err
    assert not journal_of(empty).exists()
    assert everything(empty) == expected_of(made)


def test_a_change_before_that_is_noticed(sutra, empty, everything, expected_of):
    made = lines(200)
    Path("in.ndjson").write_bytes(b"".join([*made[:130], b"{\n", *made[131:]]))
    sutra.fails(1, "import", empty, "in.ndjson")
    made[7] = made[7].replace(b"number 7", b"NUMBER 7")
    Path("in.ndjson").write_bytes(b"".join(made))
    report = sutra.json("import", empty, "in.ndjson")
    assert (report["concepts"], report["resumed"]) == (200, {})
    assert everything(empty) == expected_of(made)


JOURNALS = (
    '{"store": [1',
    "[]",
    '{"store": STORE, "sources": []}',
    '{"store": STORE, "sources": {"PATH": []}}',
    '{"store": STORE, "sources": {"PATH": {"mark": {}, "links_from": null}}}',
    '{"store": STORE, "sources": {"PATH": {"mark": {"bytes": "x"}, "links_from": null}}}',
    '{"store": STORE, "sources": {"PATH": {"mark": {"bytes": -1}, "links_from": null}}}',
    '{"store": STORE, "sources": {"PATH": {"mark": {"bytes": 9}, "links_from": "x"}}}',
    '{"store": [0, 0], "sources": {}}',
)


@pytest.mark.parametrize("text", JOURNALS)
def test_a_spoilt_position_starts_at_the_beginning(sutra, empty, text):
    Path("in.ndjson").write_bytes(b"".join(lines(90)))
    identity = (empty / "SUTRA").stat()
    text = text.replace("STORE", f"[{identity.st_ino}, {identity.st_mtime_ns}]")
    journal_of(empty).write_text(text.replace("PATH", str(Path("in.ndjson").resolve())))
    report = sutra.json("import", empty, "in.ndjson")
    assert (report["concepts"], report["links"], report["resumed"]) == (90, 180, {})


@pytest.mark.parametrize("change", ["shorter", "no resume", "new store", "journal"])
def test_what_starts_at_the_beginning(sutra, empty, change):
    made = lines(200, links=False)
    Path("in.ndjson").write_bytes(b"".join([*made[:130], b"{\n"]))
    sutra.fails(1, "import", empty, "in.ndjson")
    options = []
    if change == "shorter":
        made = made[:100]
    elif change == "no resume":
        options = ["--no-resume"]
    elif change == "new store":
        with open_store(empty, mode="w", dim=DIM):
            pass
    else:
        journal_of(empty).unlink()
    Path("in.ndjson").write_bytes(b"".join(made))
    report = sutra.json("import", empty, "in.ndjson", *options)
    assert (report["concepts"], report["resumed"]) == (len(made), {})
    assert not journal_of(empty).exists()


def test_one_of_several_files_goes_on(sutra, empty, everything, expected_of):
    made = lines(200)
    Path("a").write_bytes(b"".join(made[:90]))
    Path("b").write_bytes(b"".join([*made[90:150], b"{\n"]))
    assert "b:61: " in sutra.fails(1, "import", empty, "a", "b")
    Path("b").write_bytes(b"".join(made[90:]))
    report = sutra.json("import", empty, "a", "b")
    assert report["concepts"] == 50
    assert set(report["resumed"]) == {"a", "b"}
    assert everything(empty) == expected_of(made)


def test_a_place_for_the_position_is_not_needed(sutra, empty, monkeypatch, everything):
    def refuse(self, target):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "replace", refuse)
    Path("in.ndjson").write_bytes(b"".join(lines(100)))
    assert sutra("import", empty, "in.ndjson") == 0
    assert "position was not kept" in sutra.err
    assert len(everything(empty)[0]) == 100
    Path("in.ndjson").write_bytes(b"{\n")
    message = sutra.fails(1, "import", empty, "in.ndjson")
    assert "goes on" in message  # nothing was tried yet: the first line is bad


def test_a_killed_import_goes_on(empty, everything):
    """SIGKILL somewhere in the middle; the same command again; nothing is missing or double."""
    made = lines(6000)
    Path("in.ndjson").write_bytes(b"".join(made))
    command = [sys.executable, "-m", "sutra", "import", "store", "in.ndjson", "--json"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not journal_of(empty).exists():
        assert running.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    killed = running.wait() == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    if killed and report["concepts"] < 6000:
        assert report["resumed"]["in.ndjson"] > 0
    order, found = everything(empty)
    assert order == list(range(6000))
    assert all(len(item[6]) == 2 for item in found.values())
    assert not journal_of(empty).exists()


# ---- other refusals


def test_inputs_that_cannot_be_read(sutra, empty, stdin):
    assert "missing" in sutra.fails(1, "import", empty, "missing")
    Path("folder").mkdir()
    assert "folder" in sutra.fails(1, "import", empty, "folder")
    Path("empty.npy").touch()
    assert "empty.npy" in sutra.fails(1, "import", empty, "empty.npy")
    Path("empty.ndjson").touch()
    assert sutra.json("import", empty, "empty.ndjson")["concepts"] == 0
    stdin(b"not an array")
    assert "standard input" in sutra.fails(1, "import", empty, "-", "--format", "npy")
    stdin(b"not an array")
    assert "standard input" in sutra.fails(1, "import", empty, "-", "--format", "npz")
