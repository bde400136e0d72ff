// SPDX-License-Identifier: Apache-2.0
// What a process may do, taken from all of its threads. Linux keeps capabilities and no_new_privs for each thread by itself, and has
// no call for all of them: each thread is sent a signal, and takes them from itself in the handler.
#define _GNU_SOURCE
#include "clinux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Everybody leaves this one unblocked, libdispatch among them, and nobody sends it.
#define SIGNAL SIGSYS
#define LAST_CAPABILITY 63

static _Atomic uint64_t wanted;
static _Atomic int fenced;
static _Atomic int failure;
static _Atomic int answers;

static int read_capabilities(struct __user_cap_data_struct data[2]) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

static int write_capabilities(struct __user_cap_data_struct data[2]) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

// Of the calling thread. Calls the kernel alone: it runs in a handler.
static int confine_thread(uint64_t keep, int fence) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
    // Without CAP_SETPCAP this is refused, and there is little to take then.
    for (int capability = 0; capability <= LAST_CAPABILITY; capability++) {
        if (!(keep >> capability & 1) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) break;
    }
    struct __user_cap_data_struct data[2], former[2];
    int result = read_capabilities(data);
    if (result < 0) return result;
    memcpy(former, data, sizeof former);
    for (int half = 0; half < 2; half++) {
        uint32_t kept = data[half].permitted & (uint32_t)(keep >> (32 * half));
        data[half].permitted = data[half].effective = data[half].inheritable = kept;
    }
    // A sandbox may refuse the call, and have left nothing to take.
    result = memcmp(former, data, sizeof data) ? write_capabilities(data) : 0;
    if (result < 0) return result;
    // What it starts has the same, and no more: nft, for one.
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int capability = 0; capability <= LAST_CAPABILITY; capability++) {
        if (data[capability / 32].permitted >> (capability % 32) & 1)
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
    }
    return fence < 0 ? 0 : clinux_fence_enter(fence);
}

static void confine_here(int number) {
    (void)number;
    int saved = errno;
    int result = confine_thread(atomic_load(&wanted), atomic_load(&fenced));
    if (result < 0) atomic_store(&failure, result);
    atomic_fetch_add(&answers, 1);
    errno = saved;
}

// Waits until so many have answered; 0, or −ETIMEDOUT after a second.
static int wait_for(int count) {
    for (int i = 0; i < 1000 && atomic_load(&answers) < count; i++) {
        struct timespec moment = {.tv_nsec = 1000000};
        nanosleep(&moment, NULL);
    }
    return atomic_load(&answers) < count ? -ETIMEDOUT : 0;
}

#define MOST_THREADS 4096

static int confine_all(pid_t *done) {
    int count = 0;
    pid_t own = (pid_t)syscall(SYS_gettid);
    int result = confine_thread(atomic_load(&wanted), atomic_load(&fenced));
    if (result < 0) return result;
    done[count++] = own;
    // Until a look finds nobody new: a thread that was not told yet may have started another one.
    for (int isNew = 1; isNew;) {
        isNew = 0;
        DIR *tasks = opendir("/proc/self/task");
        if (!tasks) return -errno;
        struct dirent *entry;
        while ((entry = readdir(tasks))) {
            pid_t thread = (pid_t)atoi(entry->d_name);
            int known = thread <= 0;
            for (int i = 0; i < count && !known; i++) known = done[i] == thread;
            if (known) continue;
            if (count == MOST_THREADS) {
                closedir(tasks);
                return -E2BIG;
            }
            int before = atomic_load(&answers);
            if (syscall(SYS_tgkill, getpid(), thread, SIGNAL) < 0) continue;
            result = wait_for(before + 1);
            // One that ended meanwhile needs to be told nothing.
            char path[64];
            snprintf(path, sizeof path, "/proc/self/task/%d", thread);
            if (result < 0 && access(path, F_OK) == 0) {
                closedir(tasks);
                return result;
            }
            done[count++] = thread;
            isNew = 1;
        }
        closedir(tasks);
    }
    return atomic_load(&failure);
}

int clinux_confine(uint64_t keep, int fence) {
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    // Secrets are locked as before, without the capability that lets root do so.
    (void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
    pid_t *done = calloc(MOST_THREADS, sizeof *done);
    if (!done) return -ENOMEM;
    struct sigaction action = {.sa_handler = confine_here, .sa_flags = SA_RESTART}, former;
    sigfillset(&action.sa_mask);
    if (sigaction(SIGNAL, &action, &former) < 0) {
        free(done);
        return -errno;
    }
    atomic_store(&wanted, keep);
    atomic_store(&fenced, fence);
    atomic_store(&failure, 0);
    atomic_store(&answers, 0);
    int result = confine_all(done);
    // After a thread that did not answer in time the handler stays: the signal would end the process.
    if (result == 0) sigaction(SIGNAL, &former, NULL);
    free(done);
    return result;
}

int clinux_may_without_override(const char *path, int writing) {
    struct __user_cap_data_struct data[2], less[2];
    int result = read_capabilities(data);
    if (result < 0) return result;
    memcpy(less, data, sizeof less);
    less[0].effective &= ~(1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
    result = write_capabilities(less);
    if (result < 0) return result;
    int allowed = faccessat(AT_FDCWD, path, writing ? W_OK | X_OK : R_OK, AT_EACCESS) == 0 ? 1 : errno == EACCES ? 0 : -errno;
    result = write_capabilities(data);
    return result < 0 ? result : allowed;
}
