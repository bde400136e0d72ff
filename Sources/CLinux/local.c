// SPDX-License-Identifier: Apache-2.0
// Local stream sockets (AF_UNIX) with the credentials of who is at the other end.
#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/// A socket, and the address of a path; descriptor or −errno.
static int local_socket(const char *path, struct sockaddr_un *address, socklen_t *length) {
    size_t count = strlen(path);
    if (count == 0 || count >= sizeof address->sun_path) return -ENAMETOOLONG;
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, count + 1);
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + count + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

int clinux_local_listen(const char *path, uint32_t mode, int backlog) {
    struct sockaddr_un address;
    socklen_t length;
    int fd = local_socket(path, &address, &length);
    if (fd < 0) return fd;
    // The mode of a socket's file is that of the socket before it is bound: nobody gets in between.
    if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&address, length) < 0) goto fail;
    // A umask may have taken bits away at bind. Not through a link: somebody else may write to a directory that was there before.
    if (fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW) < 0 || listen(fd, backlog) < 0) goto fail;
    return fd;
fail:;
    int failed = -errno;
    close(fd);
    return failed;
}

static int local_timeouts(int fd, int seconds) {
    struct timeval patience = {.tv_sec = seconds, .tv_usec = 0};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0) return -errno;
    return 0;
}

int clinux_local_connect(const char *path, int seconds) {
    struct sockaddr_un address;
    socklen_t length;
    int fd = local_socket(path, &address, &length);
    if (fd < 0) return fd;
    int failed = local_timeouts(fd, seconds);
    if (!failed && connect(fd, (struct sockaddr *)&address, length) < 0) failed = -errno;
    if (!failed) return fd;
    close(fd);
    return failed;
}

int clinux_local_other(int fd, struct clinux_caller *other) {
    struct ucred who;
    socklen_t length = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0) return -errno;
    other->pid = who.pid;
    other->uid = who.uid;
    other->gid = who.gid;
    return 0;
}

int clinux_local_accept(int fd, int seconds, struct clinux_caller *caller) {
    int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (got < 0) return -errno;
    int failed = local_timeouts(got, seconds);
    if (!failed) failed = clinux_local_other(got, caller);
    if (!failed) return got;
    close(got);
    return failed;
}

void clinux_local_shutdown(int fd) { shutdown(fd, SHUT_RDWR); }

int clinux_local_send(int fd, const uint8_t *bytes, unsigned long count) {
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        bytes += sent;
        count -= (unsigned long)sent;
    }
    return 0;
}

int clinux_wait_readable(int fd, int milliseconds) {
    struct pollfd entry = {.fd = fd, .events = POLLIN, .revents = 0};
    int got = poll(&entry, 1, milliseconds);
    if (got < 0) return errno == EINTR ? 0 : -errno;
    return got;
}
