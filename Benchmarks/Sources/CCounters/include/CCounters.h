// SPDX-License-Identifier: Apache-2.0
// Counts what this process asks of the allocator and of Swift's reference counting, and tells callgrind, where the process
// runs in it, which part of the program to count instructions of.
#ifndef CCOUNTERS_H
#define CCOUNTERS_H

#include <stdbool.h>
#include <stdint.h>

struct ccounters_counts {
    // malloc, calloc, realloc, reallocarray, posix_memalign, aligned_alloc, memalign, valloc, pvalloc
    uint64_t allocations;
    uint64_t frees;
    // Of Swift objects, whoever asks for it.
    uint64_t retains;
    uint64_t releases;
};

// Begins to count retains and releases; allocations are counted from the start. False if the Swift runtime has no such hooks.
bool ccounters_install(void);
struct ccounters_counts ccounters_read(void);

// False where the process does not run in valgrind, or was built without its headers.
bool ccounters_in_valgrind(void);
// Between these, the program is observed by callgrind (--instr-atstart=no), and slow.
void ccounters_observe(void);
void ccounters_ignore(void);
// Turns the counting of instructions on or off (--collect-atstart=no).
void ccounters_toggle(void);
// Writes what was counted into a file that says `name`, and begins anew.
void ccounters_dump(const char *name);

// Runs 2 instructions so many times (at least 1): what a counter of instructions is held against.
void ccounters_spin(uint64_t times);

// What BoringSSL chooses its AES-GCM by, as this processor, or the one that valgrind plays, tells.
struct ccounters_processor {
    bool aes, clmul, avx, movbe, avx2, vaes, vpclmul, avx512;
};
struct ccounters_processor ccounters_read_processor(void);

#endif
