// SPDX-License-Identifier: Apache-2.0
// The allocator's functions are defined here again: a program's own definitions come before those of its libraries, for
// everybody in the process. They count and call glibc's under its second names. Swift's runtime has hooks for reference
// counting, of which the same is made.
#define _GNU_SOURCE
#include "CCounters.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define HAS_VALGRIND 1
#endif

static struct ccounters_counts counts;

struct ccounters_counts ccounters_read(void) {
    struct ccounters_counts now;
    now.allocations = __atomic_load_n(&counts.allocations, __ATOMIC_RELAXED);
    now.frees = __atomic_load_n(&counts.frees, __ATOMIC_RELAXED);
    now.retains = __atomic_load_n(&counts.retains, __ATOMIC_RELAXED);
    now.releases = __atomic_load_n(&counts.releases, __ATOMIC_RELAXED);
    return now;
}

static void count(uint64_t *counter) { __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); }

// Allocator.

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void *__libc_valloc(size_t);
void *__libc_pvalloc(size_t);
void __libc_free(void *);

void *malloc(size_t size) {
    count(&counts.allocations);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(&counts.allocations);
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size) {
    count(&counts.allocations);
    return __libc_realloc(memory, size);
}

void *reallocarray(void *memory, size_t number, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(number, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(memory, total);
}

void *memalign(size_t alignment, size_t size) {
    count(&counts.allocations);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
    void *result = memalign(alignment, size);
    if (result == NULL) return ENOMEM;
    *memory = result;
    return 0;
}

void *valloc(size_t size) {
    count(&counts.allocations);
    return __libc_valloc(size);
}

void *pvalloc(size_t size) {
    count(&counts.allocations);
    return __libc_pvalloc(size);
}

void free(void *memory) {
    if (memory != NULL) count(&counts.frees);
    __libc_free(memory);
}

// Swift's reference counting.

typedef void *(*retain_function)(void *);
typedef void (*release_function)(void *);
typedef void *(*retain_n_function)(void *, uint32_t);
typedef void (*release_n_function)(void *, uint32_t);

static retain_function retain;
static release_function release;
static retain_n_function retain_n;
static release_n_function release_n;

static void *counted_retain(void *object) {
    count(&counts.retains);
    return retain(object);
}

static void counted_release(void *object) {
    count(&counts.releases);
    release(object);
}

static void *counted_retain_n(void *object, uint32_t n) {
    count(&counts.retains);
    return retain_n(object, n);
}

static void counted_release_n(void *object, uint32_t n) {
    count(&counts.releases);
    release_n(object, n);
}

bool ccounters_install(void) {
    retain_function *retain_hook = dlsym(RTLD_DEFAULT, "_swift_retain");
    release_function *release_hook = dlsym(RTLD_DEFAULT, "_swift_release");
    retain_n_function *retain_n_hook = dlsym(RTLD_DEFAULT, "_swift_retain_n");
    release_n_function *release_n_hook = dlsym(RTLD_DEFAULT, "_swift_release_n");
    // Hooks are asked only where this is set.
    bool *asks = dlsym(RTLD_DEFAULT, "_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly");
    if (!retain_hook || !release_hook || !retain_n_hook || !release_n_hook || !asks) return false;
    if (retain != NULL) return true;
    retain = *retain_hook, release = *release_hook, retain_n = *retain_n_hook, release_n = *release_n_hook;
    *retain_hook = counted_retain, *release_hook = counted_release;
    *retain_n_hook = counted_retain_n, *release_n_hook = counted_release_n;
    __atomic_store_n(asks, true, __ATOMIC_SEQ_CST);
    return true;
}

// Callgrind.

#ifdef HAS_VALGRIND
bool ccounters_in_valgrind(void) { return RUNNING_ON_VALGRIND != 0; }
void ccounters_observe(void) { CALLGRIND_START_INSTRUMENTATION; }
void ccounters_ignore(void) { CALLGRIND_STOP_INSTRUMENTATION; }
void ccounters_toggle(void) { CALLGRIND_TOGGLE_COLLECT; }
void ccounters_dump(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
#else
bool ccounters_in_valgrind(void) { return false; }
void ccounters_observe(void) {}
void ccounters_ignore(void) {}
void ccounters_toggle(void) {}
void ccounters_dump(const char *name) { (void)name; }
#endif

#if defined(__x86_64__)
void ccounters_spin(uint64_t times) { __asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(times) : : "cc"); }

struct ccounters_processor ccounters_read_processor(void) {
    struct ccounters_processor processor = {0};
    unsigned a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        processor.aes = c & bit_AES, processor.clmul = c & bit_PCLMUL;
        processor.avx = c & bit_AVX, processor.movbe = c & bit_MOVBE;
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        processor.avx2 = b & bit_AVX2, processor.avx512 = b & bit_AVX512F;
        processor.vaes = c & bit_VAES, processor.vpclmul = c & bit_VPCLMULQDQ;
    }
    return processor;
}
#else
void ccounters_spin(uint64_t times) {
    __asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(times) : : "cc");
}

struct ccounters_processor ccounters_read_processor(void) { return (struct ccounters_processor){0}; }
#endif
