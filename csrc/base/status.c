/* The sentence behind every status code.
 *
 * The sentences name what is wrong in general; a struct sutra_fault and the caller's argument
 * names make it particular. They are static, so nothing here can fail.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "status.h"

const char *sutra_strerror(int status)
{
    if (status > 0)
        return "the operating system reported an error";
    switch (status) {
    case SUTRA_OK:
        return "success";
    case SUTRA_E_ARGUMENT:
        return "an argument is outside its documented range";
    case SUTRA_E_DIMENSION:
        return "the vector length differs from the dimension of the index";
    case SUTRA_E_VECTOR:
        return "a vector holds NaN or infinity, or is too long for its square to be a float32";
    case SUTRA_E_DUPLICATE_ID:
        return "an id is given twice or is already in use";
    case SUTRA_E_NEGATIVE_ID:
        return "an id is negative";
    case SUTRA_E_NOT_FOUND:
        return "there is no such id";
    case SUTRA_E_CONFIG:
        return "a configuration value is not allowed";
    case SUTRA_E_NO_MEMORY:
        return "the system has no memory left for this";
    case SUTRA_E_CAPACITY:
        return "more rows than the format or the reserved address space can hold";
    case SUTRA_E_CLOSED:
        return "the object is closed";
    case SUTRA_E_BUSY:
        return "views of the memory are still in use";
    case SUTRA_E_CANCELLED:
        return "cancelled by the progress callback";
    case SUTRA_E_FORKED:
        return "the object belongs to the parent process and cannot be used after a fork";
    case SUTRA_E_LOCKED:
        return "another writer has the store open";
    case SUTRA_E_READ_ONLY:
        return "the store was opened for reading";
    case SUTRA_E_DURABILITY:
        return "a write to disk has failed: this handle only reads until the store is opened anew";
    case SUTRA_E_CORRUPT:
        return "the file is damaged";
    case SUTRA_E_VERSION:
        return "the file was written by a newer version";
    case SUTRA_E_TRUNCATED:
        return "the file is shorter than it should be";
    case SUTRA_E_NOT_INDEX:
        return "the file is not a sutra file";
    case SUTRA_E_NOT_STORE:
        return "the directory holds files but is not a sutra store";
    case SUTRA_E_GRAPH_ID:
        return "a neighbour id is out of range";
    case SUTRA_E_GRAPH_SELF:
        return "a node links to itself";
    case SUTRA_E_GRAPH_SUFFIX:
        return "an empty slot comes before a neighbour, or a neighbour is listed twice";
    case SUTRA_E_GRAPH_LEVEL:
        return "the levels of the graph are inconsistent";
    case SUTRA_E_GRAPH_REACH:
        return "a node cannot be reached from the entry point";
    default:
        return "unknown status code";
    }
}
