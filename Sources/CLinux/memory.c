// SPDX-License-Identifier: Apache-2.0
// What a process holds in memory and need not.
#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int clinux_forbid_dumps(void) {
    struct rlimit none = {0, 0};
    int limited = setrlimit(RLIMIT_CORE, &none) == 0 ? 0 : -errno;
    // A pipe in core_pattern does not ask for the limit.
    int marked = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : -errno;
    // The runtime's own report of a crash has registers and the stack in it, and waits for ever where its program may not be run.
    int crashes[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
    for (unsigned i = 0; i < sizeof crashes / sizeof *crashes; i++) signal(crashes[i], SIG_DFL);
    return limited ? limited : marked;
}

long clinux_release_code(void) {
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps) return -errno;
    char line[512];
    long released = 0;
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        char rights[5], path[256] = "";
        if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %255s", &start, &end, rights, path) < 3) continue;
        // Code of files alone: it is never written, so that the file has all of it.
        if (strcmp(rights, "r-xp") != 0 || path[0] != '/') continue;
        if (madvise((void *)start, end - start, MADV_DONTNEED) == 0) released += (long)(end - start);
    }
    fclose(maps);
    return released;
}

int clinux_release_free(void) { return malloc_trim(0); }
