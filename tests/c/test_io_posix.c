/* What the system's file table alone has: links, pipes and sockets, limits, processes.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "table_cases.h"

static void only_regular_files(void)
{
    const struct sutra_io *io = &sutra_io_posix;
    char directory[256];
    REQUIRE(make_directory_here(directory, sizeof directory));
    make_file(io, IN("file"), "x");
    REQUIRE(symlink(IN("file"), IN("link")) == 0);
    REQUIRE(symlink(IN("nowhere"), IN("dangling")) == 0);
    REQUIRE(symlink(directory, IN("up")) == 0);
    REQUIRE(mkfifo(IN("pipe"), 0600) == 0);
    for (int how = SUTRA_OPEN_READ; how <= SUTRA_OPEN_CREATE; how++) {
        CHECK_EQ(open_status(io, IN("link"), how), ELOOP);
        CHECK_EQ(open_status(io, IN("dangling"), how), ELOOP);
        CHECK_EQ(open_status(io, IN("up"), how), ELOOP);
        CHECK_EQ(open_status(io, IN("pipe"), how), ENOTSUP);
        CHECK_EQ(open_status(io, "/dev/null", how), ENOTSUP);
    }
    CHECK_EQ(open_status(io, IN("link"), SUTRA_OPEN_CREATE_EXCLUSIVE), EEXIST);
    CHECK_EQ(open_status(io, IN("dangling"), SUTRA_OPEN_CREATE_EXCLUSIVE), EEXIST);
    CHECK_EQ(access(IN("nowhere"), F_OK), -1);
    /* Only the last name is looked at. */
    CHECK_EQ(open_status(io, IN("up/file"), SUTRA_OPEN_READ), 0);
    CHECK_EQ(CALL(io, sync_directory, IN("up")), 0);
    /* A second name for a link is one for the link, not for what it points to. */
    CHECK_EQ(CALL(io, link, IN("link"), IN("again")), 0);
    CHECK_EQ(open_status(io, IN("again"), SUTRA_OPEN_READ), ELOOP);

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int socket_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct path name = in(directory, "socket");
    if (socket_fd >= 0 && strlen(name.text) < sizeof address.sun_path) {
        memcpy(address.sun_path, name.text, strlen(name.text) + 1);
        if (bind(socket_fd, (const struct sockaddr *)&address, sizeof address) == 0)
            for (int how = SUTRA_OPEN_READ; how <= SUTRA_OPEN_CREATE; how++)
                CHECK_EQ(open_status(io, name.text, how), ENOTSUP);
    }
    if (socket_fd >= 0)
        (void)close(socket_fd);
    remove_directory_here(directory);
}

/* Run in a child process; its value is its exit status. */
static int in_child(int (*run)(const char *directory), const char *directory)
{
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(run(directory));
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int use_closed_standard(const char *directory)
{
    for (int fd = 0; fd < 3; fd++)
        (void)close(fd);
    int fd = -1;
    if (CALL(&sutra_io_posix, open, IN("file"), SUTRA_OPEN_CREATE, &fd) != 0)
        return 1;
    if (fd < 3)
        return 2;
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 ? 0 : 3;
}

static void descriptors_are_safe(void)
{
    char directory[256];
    REQUIRE(make_directory_here(directory, sizeof directory));
    int fd = open_file(&sutra_io_posix, IN("file"), SUTRA_OPEN_CREATE);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    sutra_io_posix.close(NULL, fd);
    CHECK_EQ(in_child(use_closed_standard, directory), 0);
    remove_directory_here(directory);
}

/* A limit on the size of files makes a write short, and the next one fail. */
static int write_to_limit(const char *directory)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {5000, 5000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 100;
    int fd;
    if (CALL(&sutra_io_posix, open, IN("limited"), SUTRA_OPEN_CREATE, &fd) != 0)
        return 1;
    static const char data[4000];
    struct sutra_span spans[2] = {{data, sizeof data}, {data, sizeof data}};
    size_t done;
    if (CALL(&sutra_io_posix, write, fd, 0, spans, 2, &done) != 0 || done != 5000)
        return 2;
    if (CALL(&sutra_io_posix, write, fd, 5000, spans, 2, &done) != EFBIG || done != 0)
        return 3;
    if (sutra_io_write_all(&sutra_io_posix, fd, 0, spans, 2) != EFBIG)
        return 4;
    return CALL(&sutra_io_posix, truncate, fd, 5001) == EFBIG ? 0 : 5;
}

static void short_writes(void)
{
    char directory[256];
    REQUIRE(make_directory_here(directory, sizeof directory));
    CHECK_EQ(in_child(write_to_limit, directory), 0);
    remove_directory_here(directory);
}

static int try_lock(const char *directory)
{
    int fd;
    bool locked = false;
    if (CALL(&sutra_io_posix, open, IN("lock"), SUTRA_OPEN_WRITE, &fd) != 0 ||
        CALL(&sutra_io_posix, is_locked, fd, &locked) != 0)
        return 1;
    int status = CALL(&sutra_io_posix, lock, fd);
    if (status == EAGAIN)
        return locked ? 10 : 2;
    if (status != 0 || locked)
        return 3;
    return 20; /* and dies with it */
}

/* The child has the parent's descriptors, and closes its copies of them. */
static int close_inherited(const char *directory)
{
    (void)directory;
    for (int fd = 3; fd < 64; fd++)
        (void)close(fd);
    return 0;
}

static void locks_between_processes(void)
{
    char directory[256];
    REQUIRE(make_directory_here(directory, sizeof directory));
    int fd = open_file(&sutra_io_posix, IN("lock"), SUTRA_OPEN_CREATE);
    CHECK_EQ(in_child(try_lock, directory), 20);
    CHECK(!is_locked(&sutra_io_posix, fd));
    CHECK_EQ(CALL(&sutra_io_posix, lock, fd), 0);
    CHECK_EQ(in_child(try_lock, directory), 10);
    CHECK_EQ(in_child(close_inherited, directory), 0);
    CHECK_EQ(in_child(try_lock, directory), 10);
    sutra_io_posix.close(NULL, fd);
    CHECK_EQ(in_child(try_lock, directory), 20);
    remove_directory_here(directory);
}

CHECK_MAIN(CASE(only_regular_files), CASE(descriptors_are_safe), CASE(short_writes),
           CASE(locks_between_processes))
