# SPDX-License-Identifier: Apache-2.0
"""Going along the associations that a view sees.

Concept numbers are turned into ids, and numbers of kinds into names, at once: results are copies
and outlive the view.
"""

cimport numpy as cnp
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport INFINITY
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memset

from sutra._c.associations cimport SUTRA_BOTH, SUTRA_IN, SUTRA_NO_KIND, SUTRA_OUT, sutra_link
from sutra._c.index cimport sutra_bool
from sutra._c.store cimport (
    sutra_store_kind,
    sutra_store_kind_name,
    sutra_store_links,
    sutra_store_traversal,
)
from sutra._c.traverse cimport (
    sutra_expand,
    sutra_path,
    sutra_paths,
    sutra_reached,
    sutra_spread,
    sutra_traversal,
)
from sutra._check cimport check
from sutra._view cimport ViewCore

import numpy as np

from sutra.results import Link, Path, Related

cnp.import_array()

cdef enum:
    WORK_MAX = 20_000_000  # edges that one call looks at: about a second
DIRECTIONS = {"out": SUTRA_OUT, "in": SUTRA_IN, "both": SUTRA_BOTH}


cdef str kind_of(ViewCore view, uint16_t kind):
    cdef uint32_t size = 0
    cdef const char *text = sutra_store_kind_name(view.view, kind, &size)
    return "" if text == NULL else PyUnicode_DecodeUTF8(text, <Py_ssize_t> size, NULL)


def links(ViewCore view, uint32_t concept, int direction, kind):
    """Return the links of a concept, heaviest first; kind None means every kind."""
    cdef bytes name = b"" if kind is None else kind.encode()
    cdef uint16_t number = SUTRA_NO_KIND
    cdef sutra_link *found = NULL
    cdef size_t row, count = 0
    cdef int status
    cdef list out = []
    view.enter()
    try:
        if kind is not None:
            number = sutra_store_kind(view.view, name, <uint32_t> len(name))
            if number == SUTRA_NO_KIND:
                return out
        with nogil:
            status = sutra_store_links(
                view.view, concept, direction, number, &found, &count)
        check(status)
        for row in range(count):
            out.append(Link(
                view.id_of(found[row].source), view.id_of(found[row].target),
                kind_of(view, found[row].kind), found[row].weight, found[row].confidence,
                found[row].created_ns))
    finally:
        free(found)
        view.leave()
    return out


cdef cnp.ndarray begin_traversal(ViewCore view, sutra_traversal *out, object kinds):
    """Fill it in, and return the array that its kinds are in; None if no kind is known."""
    cdef cnp.ndarray numbers
    memset(out, 0, sizeof(out[0]))
    sutra_store_traversal(view.view, out)
    out.min_weight = -INFINITY
    out.work_max = WORK_MAX
    if kinds is None:
        return np.empty(0, dtype=np.uint16)
    known = []
    for kind in kinds:
        name = kind.encode()
        number = sutra_store_kind(view.view, name, <uint32_t> len(name))
        if number != SUTRA_NO_KIND:
            known.append(number)
    if not known:
        return None
    numbers = np.array(known, dtype=np.uint16)
    out.kinds = <const uint16_t *> cnp.PyArray_DATA(numbers)
    out.kind_count = <size_t> len(known)
    return numbers


cdef object path_to(ViewCore view, const sutra_reached *reached, uint32_t at):
    ids = [view.id_of(reached[at].concept)]
    kinds = []
    score = reached[at].score
    while reached[at].parent != <uint32_t> 0xffffffff:
        kinds.append(kind_of(view, reached[at].kind))
        at = reached[at].parent
        ids.append(view.id_of(reached[at].concept))
    return Path(tuple(ids[::-1]), tuple(kinds[::-1]), score)


def expand(ViewCore view, cnp.ndarray starts, unsigned hops, kinds, float min_weight, size_t limit):
    """Return what is within some hops, and whether all of it was looked at."""
    cdef sutra_traversal traversal
    cdef sutra_reached *reached = NULL
    cdef size_t count = 0, start_count = 0, row
    cdef size_t given = <size_t> starts.shape[0]
    cdef const uint32_t *numbers = <const uint32_t *> cnp.PyArray_DATA(starts)
    cdef sutra_bool complete = True
    cdef int status
    cdef list out = []
    view.enter()
    try:
        held = begin_traversal(view, &traversal, kinds)
        if held is None:
            return out, True
        traversal.min_weight = min_weight
        with nogil:
            status = sutra_expand(&traversal, numbers, given, hops, limit, &reached, &count,
                                  &start_count, &complete)
        check(status)
        for row in range(start_count, count):
            out.append(Related(
                view.id_of(reached[row].concept), reached[row].hops, reached[row].score,
                path_to(view, reached, <uint32_t> row)))
    finally:
        free(reached)
        view.leave()
    return out, bool(complete)


def paths(ViewCore view, uint32_t source, uint32_t target, unsigned depth, size_t limit):
    """Return the best paths, and whether all were looked at."""
    cdef sutra_traversal traversal
    cdef sutra_path *paths = NULL
    cdef uint32_t *nodes = NULL
    cdef uint16_t *kinds = NULL
    cdef size_t count = 0, row, at, end
    cdef sutra_bool complete = True
    cdef int status
    cdef list out = []
    view.enter()
    try:
        begin_traversal(view, &traversal, None)
        with nogil:
            status = sutra_paths(&traversal, source, target, depth, limit, &paths, &count,
                                 &nodes, &kinds, &complete)
        check(status)
        for row in range(count):
            at = paths[row].first
            end = at + paths[row].length + 1
            out.append(Path(
                tuple([view.id_of(nodes[j]) for j in range(at, end)]),
                tuple([kind_of(view, kinds[j]) for j in range(at + 1, end)]),
                paths[row].confidence))
    finally:
        free(paths)
        free(nodes)
        free(kinds)
        view.leave()
    return out, bool(complete)


def spread(
    ViewCore view, cnp.ndarray seeds, cnp.ndarray scores, unsigned hops, float decay, size_t k,
    kinds, cnp.ndarray answers=None
):
    """Return the k most activated from scored seeds, the ways there, and whether all was seen.

    answers: a bitmap of the concepts that may be returned.
    """
    cdef sutra_traversal traversal
    cdef sutra_reached *reached = NULL
    cdef size_t count = 0, best = 0, row
    cdef size_t given = <size_t> seeds.shape[0]
    cdef const uint32_t *numbers = <const uint32_t *> cnp.PyArray_DATA(seeds)
    cdef const float *values = <const float *> cnp.PyArray_DATA(scores)
    cdef sutra_bool complete = True
    cdef int status
    cdef list out = []
    view.enter()
    try:
        held = begin_traversal(view, &traversal, kinds)
        if held is None:
            hops = 0
        if answers is not None:
            traversal.answers = <const uint8_t *> cnp.PyArray_DATA(answers)
            traversal.answer_bits = 8 * <size_t> answers.shape[0]
        with nogil:
            status = sutra_spread(&traversal, numbers, values, given, hops, decay, k,
                                  &reached, &count, &best, &complete)
        check(status)
        concepts = np.empty(best, dtype=np.uint32)
        for row in range(best):
            concepts[row] = reached[row].concept
            out.append(path_to(view, reached, <uint32_t> row))
    finally:
        free(reached)
        view.leave()
    return concepts, out, bool(complete)
