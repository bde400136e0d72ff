// SPDX-License-Identifier: Apache-2.0
// Descriptors, threads, the clock, epoll and eventfd.
#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>
#include <sys/resource.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

void clinux_close(int fd) { close(fd); }

long clinux_read(int fd, void *buffer, unsigned long count) {
    long n = read(fd, buffer, count);
    return n < 0 ? -errno : n;
}

_Static_assert(sizeof(struct clinux_piece) == sizeof(struct iovec) &&
                   offsetof(struct clinux_piece, length) == offsetof(struct iovec, iov_len),
               "a piece is an iovec that Swift can see");

long clinux_write_pieces(int fd, const struct clinux_piece *pieces, int count) {
    long n = writev(fd, (const struct iovec *)pieces, count);
    return n < 0 ? -errno : n;
}

int clinux_lock(int fd) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &whole) < 0 ? -errno : 0;
}

int clinux_exchange(const char *path, const char *other) {
    return renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

void clinux_name_thread(const char *name) {
    char cut[16] = {0};
    strncpy(cut, name, sizeof cut - 1);
    pthread_setname_np(pthread_self(), cut);
}

void clinux_yield_to_others(int niceness) {
    // Linux keeps a niceness for each thread; 0 is the calling one.
    setpriority(PRIO_PROCESS, 0, niceness);
}

int clinux_enter_private_network(void) {
    if (unshare(CLONE_NEWNET) < 0) return -errno;
    int loopback = clinux_interface_index("lo");
    return loopback < 0 ? loopback : clinux_link_set(loopback, 0, 1);
}

int clinux_drop_thread_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

uint64_t clinux_boottime(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

long clinux_clock_error(void) {
    // Without a mode it only reads, and asks for no privilege.
    struct timex facts = {0};
    int state = adjtimex(&facts);
    if (state < 0) return -errno;
    return state == TIME_ERROR || (facts.status & STA_UNSYNC) ? -EAGAIN : facts.maxerror;
}

int clinux_epoll_open(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int control(int epoll, int operation, int fd, uint32_t interest, uint64_t tag) {
    struct epoll_event event = {.data.u64 = tag};
    if (interest & CLINUX_READABLE) event.events |= EPOLLIN;
    if (interest & CLINUX_WRITABLE) event.events |= EPOLLOUT;
    return epoll_ctl(epoll, operation, fd, &event) < 0 ? -errno : 0;
}

int clinux_epoll_add(int epoll, int fd, uint32_t interest, uint64_t tag) {
    return control(epoll, EPOLL_CTL_ADD, fd, interest, tag);
}

int clinux_epoll_change(int epoll, int fd, uint32_t interest, uint64_t tag) {
    return control(epoll, EPOLL_CTL_MOD, fd, interest, tag);
}

int clinux_epoll_remove(int epoll, int fd) { return control(epoll, EPOLL_CTL_DEL, fd, 0, 0); }

int clinux_epoll_wait(int epoll, struct clinux_event *events, int capacity, int milliseconds) {
    struct epoll_event raw[8];
    if (capacity > 8) capacity = 8;
    int n = epoll_wait(epoll, raw, capacity, milliseconds);
    if (n < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        events[i].tag = raw[i].data.u64;
        events[i].ready = 0;
        if (raw[i].events & EPOLLIN) events[i].ready |= CLINUX_READABLE;
        if (raw[i].events & EPOLLOUT) events[i].ready |= CLINUX_WRITABLE;
        if (raw[i].events & (EPOLLERR | EPOLLHUP)) events[i].ready |= CLINUX_BROKEN;
    }
    return n;
}

int clinux_eventfd_open(int semaphore) {
    int fd = eventfd(0, EFD_CLOEXEC | (semaphore ? EFD_SEMAPHORE : EFD_NONBLOCK));
    return fd < 0 ? -errno : fd;
}

void clinux_eventfd_signal(int fd, uint64_t count) {
    while (write(fd, &count, sizeof count) < 0 && errno == EINTR) {}
}

int clinux_eventfd_take(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0) {
        if (errno != EINTR) return -errno;
    }
    return 0;
}
