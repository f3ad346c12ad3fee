from libc.stdint cimport uint64_t


cdef extern from "io/file.h" nogil:
    struct sutra_file_writer:
        int fd
        char *path
        char *temporary_path
        uint64_t written_bytes

    int sutra_file_writer_begin(sutra_file_writer *writer, const char *path)
    int sutra_file_writer_append(sutra_file_writer *writer, const void *data, size_t bytes)
    int sutra_file_writer_rewrite(sutra_file_writer *writer, uint64_t offset, const void *data,
                                  size_t bytes)
    int sutra_file_writer_align(sutra_file_writer *writer, size_t alignment)
    int sutra_file_writer_commit(sutra_file_writer *writer)
    void sutra_file_writer_abort(sutra_file_writer *writer)

    int sutra_file_open_read(const char *path, int *fd_out, uint64_t *bytes_out)
    int sutra_file_read_at(int fd, uint64_t offset, void *data, size_t bytes)
    void sutra_file_close(int fd)
