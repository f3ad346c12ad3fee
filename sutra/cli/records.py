"""Concepts as lines of JSON: what `sutra import` reads and `sutra export` writes.

A line is an object with ``id`` (a number or a text) and any of ``vector`` (an array of numbers),
``content`` (a text) or ``content_base64`` (bytes), ``metadata`` (an object), ``strength``,
``confidence``, and ``links``: an array of objects with ``to`` and any of ``kind``, ``weight`` and
``confidence``. Another key is an error: a misspelt one would be a loss that nobody sees.
"""

import base64
import binascii
import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sutra import Concept, Link
    from sutra.results import Content, Id, Metadata

__all__ = [
    "Item",
    "Tie",
    "concept_fields",
    "content_document",
    "format_line",
    "parse_line",
    "plain_number",
    "vector_json",
]

KEYS = (
    "id", "vector", "content", "content_base64", "metadata", "strength", "confidence", "links",
)  # fmt: skip
LINK_KEYS = ("to", "kind", "weight", "confidence")
KIND = "semantic"


class Tie(NamedTuple):
    """A link as it is read: where from, where to, and on which line."""

    source: "Id"
    target: "Id"
    kind: str
    weight: float
    confidence: float
    place: int


class Item(NamedTuple):
    """A concept as it is read."""

    id: "Id"
    vector: Any
    content: "Content | None"
    metadata: "Metadata | None"
    strength: float
    confidence: float
    ties: list[Tie]
    place: int  # number of the line or row
    size: int  # bytes, about


# ---- reading


def parse_line(line: bytes, place: int, vectors: "npt.NDArray[Any] | None" = None) -> Item:
    """Return the concept of a line, or raise ValueError saying what is wrong with it.

    Parameters
    ----------
    line : bytes
        One JSON object in UTF-8.
    place : int
        Number of the line, kept with what is read.
    vectors : (rows, dim) array, optional
        Where ``row`` of a line says that its vector is.
    """
    try:
        found = json.loads(line.decode())
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise ValueError("not usable: nested too deeply") from None
    keys = KEYS if vectors is None else (*KEYS, "row")
    check_object(found, keys, "id", "a line")
    id = check_id(found["id"], "id")
    return Item(
        id,
        read_vector(found, vectors),
        read_content(found),
        check_kind_of(found.get("metadata"), dict, "metadata", "an object"),
        read_number(found, "strength"),
        read_number(found, "confidence"),
        [read_tie(id, link, place) for link in read_links(found)],
        place,
        len(line),
    )


def check_object(found: Any, keys: Iterable[str], needed: str, name: str) -> None:
    """Refuse what is no object with these keys."""
    if not isinstance(found, dict):
        raise ValueError(f"{name}: expected a JSON object, got {json_name(found)}")
    for key in found:
        if key not in keys:
            raise ValueError(f"{name}: {key!r} is none of {', '.join(keys)}")
    if needed not in found:
        raise ValueError(f"{name}: {needed!r} is missing")


def check_id(id: Any, name: str) -> "Id":
    """Refuse what is no id; its range is left to the store."""
    if isinstance(id, bool) or not isinstance(id, int | str):
        raise ValueError(f"{name}: expected a whole number or a text, got {json_name(id)}")
    return id


def check_kind_of(value: Any, kind: type, name: str, expected: str) -> Any:
    """Refuse what is neither null nor of this kind."""
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"{name}: expected {expected}, got {json_name(value)}")
    return value


def read_vector(found: dict[str, Any], vectors: "npt.NDArray[Any] | None") -> Any:
    """Return the vector of a line; its length and its numbers are left to the store."""
    row = found.get("row")
    if vectors is None or row is None:
        return check_kind_of(found.get("vector"), list, "vector", "an array")
    if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < len(vectors):
        raise ValueError(f"row: expected 0 to {len(vectors) - 1}, got {json_name(row)}")
    return vectors[row]


def read_content(found: dict[str, Any]) -> "Content | None":
    """Return the content of a line, text or bytes."""
    text: str | None = check_kind_of(found.get("content"), str, "content", "a text")
    coded = check_kind_of(found.get("content_base64"), str, "content_base64", "a text")
    if coded is None:
        return text
    if text is not None:
        raise ValueError("content and content_base64: expected one of them")
    try:
        return base64.b64decode(coded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"content_base64: {error}") from None


def read_number(found: dict[str, Any], name: str) -> float:
    """Return a number of a line, 1 where there is none."""
    value = found.get(name)
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}: expected a number, got {json_name(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a finite number, got {json_name(value)}")
    return number


def read_links(found: dict[str, Any]) -> list[Any]:
    """Return the links of a line, not yet looked at."""
    links: list[Any] | None = check_kind_of(found.get("links"), list, "links", "an array")
    return links or []


def read_tie(source: "Id", link: Any, place: int) -> Tie:
    """Return one link of a line."""
    check_object(link, LINK_KEYS, "to", "links")
    kind = check_kind_of(link.get("kind"), str, "kind", "a text")
    if kind == "":
        raise ValueError("kind: expected a text of at least one character")
    return Tie(
        source,
        check_id(link["to"], "to"),
        KIND if kind is None else kind,
        read_number(link, "weight"),
        read_number(link, "confidence"),
        place,
    )


def json_name(value: Any) -> str:
    """Return what JSON calls a value, for messages."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


# ---- writing


def plain_number(value: float) -> float:
    """Return the shortest number that is this one as a float32."""
    import numpy as np

    if value.is_integer():
        return value
    short = float(str(np.float32(value)))
    return short if np.float32(short) == np.float32(value) else value


def vector_json(vector: "npt.NDArray[np.float32]") -> str:
    """Return a vector as a JSON array; nine digits say exactly which float32 it is."""
    import numpy as np

    if np.any(np.signbit(vector) & (vector == 0)):  # -0 would be read as a whole number: 0
        return json.dumps(vector.tolist(), separators=(",", ":"))
    return f"[{','.join(['%.9g'] * len(vector))}]" % tuple(vector.tolist())


def content_document(content: "Content | None") -> dict[str, str]:
    """Return a content as the part of an object for JSON; nothing for none."""
    if content is None:
        return {}
    if isinstance(content, bytes):
        return {"content_base64": base64.b64encode(content).decode("ascii")}
    return {"content": content}


def concept_fields(concept: "Concept") -> dict[str, Any]:
    """Return what a concept was given, but for its vector, as an object for JSON."""
    fields: dict[str, Any] = {"id": concept.id, **content_document(concept.content)}
    if concept.metadata is not None:
        fields["metadata"] = concept.metadata
    fields["strength"] = plain_number(concept.record.strength)
    fields["confidence"] = plain_number(concept.record.confidence)
    return fields


def format_line(concept: "Concept", links: Iterable["Link"], row: int | None = None) -> bytes:
    """Return the line of a concept; `row` stands for its vector."""
    fields = concept_fields(concept)
    if row is not None:
        fields["row"] = row
    made = [
        {
            "to": link.target,
            "kind": link.kind,
            "weight": plain_number(link.weight),
            "confidence": plain_number(link.confidence),
        }
        for link in links
    ]
    if made:
        fields["links"] = made
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if row is None and concept.vector is not None:
        text = f'{text[:-1]},"vector":{vector_json(concept.vector)}}}'
    return text.encode() + b"\n"
