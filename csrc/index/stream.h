/* The index as a store uses it: rows with lifetimes, searchable at once, linked later.
 *
 * A streamed index has two more planes: the birth and the death (LSN) of every row. Rows are
 * appended and can be searched when the append returns: what the graph does not hold yet is
 * scanned. _link moves rows from that pending tail into the graph, in steps, while searches go on.
 * A search sees the rows with birth <= view < death. Rows that died stay in the graph, as ways to
 * others, until the store is compacted. Ids are labels here: several rows may have the same one.
 *
 * Ownership: made by _new or _load, freed by sutra_index_free; of index.h only that and _stats go
 * with it. Threading: _reserve, _append and _end_row are one thread's at a time (the writer's);
 * _link is one thread's at a time, and may run beside the writer, whom it stops for moments only;
 * searches and reads run beside both, take no lock and wait for nobody (front.h says how). Errors:
 * as index.h; a failed _link leaves all rows as they were, pending or linked.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_INDEX_STREAM_H
#define SUTRA_INDEX_STREAM_H

#include "index.h"
#include "../vectors/choice.h"
#include "../vectors/part.h"

/* The death of a row that lives. A view is below it. */
#define SUTRA_ROW_ALIVE UINT64_MAX

int sutra_stream_new(const struct sutra_kernels *kernels, const struct sutra_index_options *options,
                     struct sutra_index **index_out, struct sutra_fault *fault_out);

/* Room for `count` more rows: after it, _append of that many cannot fail. */
int sutra_stream_reserve(struct sutra_index *index, size_t count);
/* Vectors must be sound (sutra_front_check_vectors via sutra_stream_check). All rows are born at
 * `birth`. A search whose view is lower does not see them. */
void sutra_stream_append(struct sutra_index *index, const float *vectors, size_t stride,
                         size_t count, const int64_t *labels, uint64_t birth,
                         uint32_t *first_row_out);
int sutra_stream_check(const struct sutra_index *index, const float *vectors, size_t stride,
                       size_t count, struct sutra_fault *fault_out);
/* A row ends once: what is said of it later, or of a row that is not there, changes nothing. */
void sutra_stream_end_row(struct sutra_index *index, uint32_t row, uint64_t death);

uint32_t sutra_stream_dim(const struct sutra_index *index);
size_t sutra_stream_rows(const struct sutra_index *index);    /* all there are */
size_t sutra_stream_pending(const struct sutra_index *index); /* of these, not in the graph */
size_t sutra_stream_dead(const struct sutra_index *index);    /* rows that have ended */

/* Link up to max_rows pending rows. Below SUTRA_FLAT_ROWS rows in all it does nothing. Steps are
 * small beside what is linked, so that searches lose little while one is on its way. All pending
 * rows get their codes first, by which a search scans them. Refits the quantizer when the index
 * has outgrown it. *linked_out (may be NULL): how many, also on failure.
 * stop (may be NULL): an atomic flag read between steps; once true no further step starts. Where
 * originals are not kept, the first call of use replaces them by codes. Also SUTRA_E_GRAPH_*: what
 * was loaded is damaged. */
int sutra_stream_link(struct sutra_index *index, size_t max_rows, unsigned threads,
                      const bool *stop, size_t *linked_out);

/* As sutra_index_search, among the rows visible at `view`; labels_out count x k. Sets are of
 * labels, as bitmaps; what a query is to do without is a row. While too many of what a walk finds
 * is dead or invisible it is widened, and in the end replaced by a scan, so k visible rows are
 * found wherever there are k. rows_out (may be NULL): row numbers, -1 padded. SUTRA_E_ARGUMENT: a
 * set that is a list. */
int sutra_stream_search(struct sutra_index *index, const struct sutra_search *search, uint64_t view,
                        int64_t *labels_out, int64_t *rows_out, float *distances_out,
                        struct sutra_fault *fault_out);

/* dim floats: as given while originals are kept, else decoded. SUTRA_E_NOT_FOUND beyond the end. */
int sutra_stream_get(struct sutra_index *index, uint32_t row, float *vector_out);
/* -1 beyond the end. */
int64_t sutra_stream_label(const struct sutra_index *index, uint32_t row);

/* Bytes that a row takes, in all planes and the graph. */
size_t sutra_stream_row_bytes(const struct sutra_index *index);

/* A new index with the rows chosen, under the choice's labels, all born at `birth` and alive:
 * linked where they were linked, else pending. The writer may go on; _link does not run. Also
 * SUTRA_E_GRAPH_*: what was loaded is damaged. */
int sutra_stream_copy(const struct sutra_index *from, const struct sutra_row_choice *choice,
                      uint64_t birth, unsigned threads, struct sutra_index **copy_out);

/* ---- saving */

#define SUTRA_STREAM_STATE_WORDS 16u
#define SUTRA_STREAM_PARTS 16u

/* Parts with their kinds as in format.h (MEAN, SIGNS, UPPER_*, LINKS, HIGH, LOW, CORRECTION, ID,
 * ORIGINAL) and ROW_BIRTH, ROW_DEATH. Those of the graph (SUTRA_PART_GRAPH: links, upper, codes,
 * mean, signs) hold what is linked, the rest all rows. Without originals codes, mean and signs are
 * not the graph's, but all rows'; until there are codes (the first _link) originals are listed in
 * their place. LINKS and UPPER_LINKS have marks of the lists that linking changed; new codes (the
 * first _link, a refit) give codes, mean and signs a new version. Versions count from 0 when the
 * index is made or loaded; what _load was given is version 0, and sealed. Parts point into the
 * index: neither _link nor the writer runs while they are listed, and as long as they are used
 * _link does not run. The writer may go on once what is SUTRA_PART_MUTABLE has been copied. */
void sutra_stream_parts(struct sutra_index *index, struct sutra_part *parts_out, size_t *count_out);
/* Options and counts, of the same moment as _parts. with_graph false: the graph's words are left as
 * they are in words_out (the state of an earlier save; 0 if there is none). */
void sutra_stream_state(const struct sutra_index *index, bool with_graph, uint64_t *words_out);
/* Change words so that they load without the graph, as when its parts are damaged: every row is
 * pending. */
void sutra_stream_forget_graph(uint64_t *words);
/* Hot (in memory): with SUTRA_RESIDENT_ARENA all that a walk reads, otherwise the tables of upper
 * nodes alone; after _AUTO, sutra_stream_make_resident does the rest. Rows beyond what the graph
 * holds are pending again. Nothing is trusted: counts are checked against each other, tables as at
 * sutra_index_open (SUTRA_E_CORRUPT with fault.what); labels may be any number. */
int sutra_stream_load(const struct sutra_kernels *kernels, const uint64_t *words, int resident,
                      const struct sutra_part_source *source, struct sutra_index **index_out,
                      struct sutra_fault *fault_out);
/* Copy what a walk reads of a loaded index into huge-page memory, if that fits in half of what is
 * free and originals are kept; else, and a second time, nothing happens. One thread's at a time
 * with _link; searches and the writer go on. SUTRA_E_NO_MEMORY: everything is as it was. */
int sutra_stream_make_resident(struct sutra_index *index);
/* Structure, lifetimes (no death before a birth, as many dead as were counted), finite floats when
 * deep. Beside searches only. SUTRA_E_GRAPH_*, SUTRA_E_CORRUPT with fault.what and row. */
int sutra_stream_verify(struct sutra_index *index, bool deep, struct sutra_fault *fault_out);

#endif
