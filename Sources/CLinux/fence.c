// SPDX-License-Identifier: Apache-2.0
// Which files a process may still open (Landlock): all that no rule names is refused, whatever the files' own modes say. Older kernels
// know less of it, or nothing.
#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Headers older than the kernel that this runs on.
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define REMOVE (LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR)
#define WRITE                                                                                                              \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_MAKE_REG |                           \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | \
     REMOVE)
// What a rule about a file that is no directory may say.
#define OF_FILES                                                                                            \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |            \
     LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV)

int clinux_fence_version(void) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version < 0 ? -errno : (int)version;
}

// All that this kernel can refuse.
static uint64_t known(int version) {
    uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
    if (version >= 2) rights |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3) rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
    if (version >= 5) rights |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
    return rights;
}

int clinux_fence_open(void) {
    int version = clinux_fence_version();
    if (version < 0) return version;
    struct landlock_ruleset_attr attributes = {.handled_access_fs = known(version)};
    // The first member alone: what else the headers have is not for every kernel.
    long fence =
        syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0);
    return fence < 0 ? -errno : (int)fence;
}

int clinux_fence_allow(int fence, const char *path, unsigned access) {
    int version = clinux_fence_version();
    if (version < 0) return version;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return -errno;
    struct stat status;
    int result = fstat(fd, &status) < 0 ? -errno : 0;
    uint64_t rights = (access & CLINUX_FENCE_READ ? READ : 0) | (access & CLINUX_FENCE_RUN ? LANDLOCK_ACCESS_FS_EXECUTE : 0)
                      | (access & CLINUX_FENCE_WRITE ? WRITE : 0) | (access & CLINUX_FENCE_REMOVE ? REMOVE : 0)
                      | (access & CLINUX_FENCE_DEVICE ? LANDLOCK_ACCESS_FS_IOCTL_DEV : 0);
    if (result == 0) {
        struct landlock_path_beneath_attr rule = {
            .allowed_access = rights & known(version) & (S_ISDIR(status.st_mode) ? ~0ULL : OF_FILES), .parent_fd = fd};
        // A rule that allows nothing is an error of its own, and none to us.
        if (rule.allowed_access && syscall(SYS_landlock_add_rule, fence, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
            result = -errno;
    }
    close(fd);
    return result;
}

int clinux_fence_enter(int fence) {
    // Without it only who could mount may do this.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
    return syscall(SYS_landlock_restrict_self, fence, 0) < 0 ? -errno : 0;
}
