// SPDX-License-Identifier: Apache-2.0
// A cable with delay, jitter, loss, a rate and a queue, for kernels without netem: a TUN interface in each of two network
// namespaces, and this between them. Packets keep their offload headers, so that 64 KiB of a flow are one read and one write.
//
//     delay-box NAMESPACE INTERFACE NAMESPACE INTERFACE CONDITIONS
//
// CONDITIONS is a file of lines "KEY VALUE" for both directions, "forward KEY VALUE" or "back KEY VALUE" for one of them:
//   delay MS, jitter MS (uniform, order is kept), loss PERCENT, rate MBIT/S (0: none), queue MS (what does not go within that is
//   dropped; with a rate only), cut yes|no, longest BYTES (longer packets are dropped; 0: none), segment yes|no (packets one by one,
//   as loss and short queues want it; for both directions), seed NUMBER
// SIGHUP reads it again, SIGUSR1 prints counts of both directions, SIGTERM ends. It says "ready" when both interfaces exist.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

// Newer than the headers of Debian 12.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum {
    HEADER = 10,              // struct virtio_net_hdr, as it is without further options
    LARGEST = 65535 + HEADER, // one read
    BATCH = 32,               // reads of one interface in a turn
    RING = 64 << 20,          // bytes that are under way in one direction
};

struct conditions {
    double delay, jitter, loss, rate, queue;
    long longest;
    int cut;
};

// A packet under way: this, then its bytes. A length of 0 says that the ring goes on at its beginning.
struct record {
    uint64_t due;
    uint32_t length;
    uint32_t room; // of record and bytes, a multiple of 8
};

struct direction {
    int in, out;
    struct conditions conditions;
    uint8_t *ring;
    size_t head, tail, used;
    uint64_t last_due, free_at; // of the packet before; of the line, which sends one after the other
    uint64_t packets, bytes, lost, dropped;
};

static struct direction forward, back;
static uint64_t random_state = 1;
static int segment;
static const char *conditions_file;
static volatile sig_atomic_t reread = 1, report, ended;

static void fail(const char *what) {
    fprintf(stderr, "delay-box: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void on_signal(int number) {
    if (number == SIGHUP) reread = 1;
    else if (number == SIGUSR1) report = 1;
    else ended = 1;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

// Uniform over 0 … 1 (xorshift64*).
static double chance(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (double)(random_state * 2685821657736338717u >> 11) / 9007199254740992.0;
}

static int open_interface(const char *place, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", place);
    int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), other = open(path, O_RDONLY | O_CLOEXEC);
    if (own < 0 || other < 0 || setns(other, CLONE_NEWNET) < 0) fail(place);
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0) fail(name);
    if (setns(own, CLONE_NEWNET) < 0) fail("the own namespace");
    close(own);
    close(other);
    return tun;
}

// What the kernel may leave to whoever reads.
static void set_offloads(int tun) {
    unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    if (ioctl(tun, TUNSETOFFLOAD, segment ? 0 : tcp | TUN_F_USO4 | TUN_F_USO6) == 0) return;
    if (ioctl(tun, TUNSETOFFLOAD, tcp) < 0) fail("TUNSETOFFLOAD");
}

// ---- Conditions.

static void misread(const char *line) {
    fprintf(stderr, "delay-box: %s: cannot make sense of: %s", conditions_file, line);
    exit(2);
}

static int is_yes(const char *value, const char *line) {
    if (strcmp(value, "yes") == 0) return 1;
    if (strcmp(value, "no") == 0) return 0;
    misread(line);
    return 0;
}

static void apply(struct conditions *conditions, const char *key, const char *value, const char *line) {
    char *end;
    double number = strtod(value, &end);
    if (strcmp(key, "cut") == 0) {
        conditions->cut = is_yes(value, line);
        return;
    }
    if (*end != 0 || number < 0) misread(line);
    if (strcmp(key, "delay") == 0) conditions->delay = number;
    else if (strcmp(key, "jitter") == 0) conditions->jitter = number;
    else if (strcmp(key, "loss") == 0) conditions->loss = number;
    else if (strcmp(key, "rate") == 0) conditions->rate = number;
    else if (strcmp(key, "queue") == 0) conditions->queue = number;
    else if (strcmp(key, "longest") == 0) conditions->longest = (long)number;
    else misread(line);
}

static void read_conditions(void) {
    FILE *file = fopen(conditions_file, "re");
    if (file == NULL) fail(conditions_file);
    struct conditions both[2] = {{.queue = 100}, {.queue = 100}};
    int was = segment;
    segment = 0;
    char line[256], words[3][64];
    while (fgets(line, sizeof line, file) != NULL) {
        int count = sscanf(line, "%63s %63s %63s", words[0], words[1], words[2]);
        if (count <= 0 || words[0][0] == '#') continue;
        if (count == 2 && strcmp(words[0], "segment") == 0) {
            segment = is_yes(words[1], line);
        } else if (count == 2 && strcmp(words[0], "seed") == 0) {
            random_state = strtoull(words[1], NULL, 10) | 1;
        } else if (count == 2) {
            apply(&both[0], words[0], words[1], line);
            apply(&both[1], words[0], words[1], line);
        } else if (count == 3 && strcmp(words[0], "forward") == 0) {
            apply(&both[0], words[1], words[2], line);
        } else if (count == 3 && strcmp(words[0], "back") == 0) {
            apply(&both[1], words[1], words[2], line);
        } else {
            misread(line);
        }
    }
    fclose(file);
    forward.conditions = both[0];
    back.conditions = both[1];
    if (segment != was || forward.last_due == 0) {
        set_offloads(forward.in);
        set_offloads(back.in);
    }
}

// ---- Packets.

// Room for a record at the ring's end; NULL if there is none.
static struct record *room(struct direction *way, size_t bytes) {
    size_t need = (sizeof(struct record) + bytes + 7) & ~(size_t)7, left = RING - way->tail;
    if (need + sizeof(struct record) > left) {
        if (way->used + left + need > RING) return NULL;
        *(struct record *)(way->ring + way->tail) = (struct record){.length = 0, .room = (uint32_t)left};
        way->used += left;
        way->tail = 0;
    }
    if (way->used + need > RING) return NULL;
    struct record *record = (struct record *)(way->ring + way->tail);
    record->room = (uint32_t)need;
    return record;
}

static void take(struct direction *way, const uint8_t *packet, size_t bytes, uint64_t time) {
    const struct conditions *conditions = &way->conditions;
    size_t inner = bytes - HEADER;
    if (conditions->cut || (conditions->longest > 0 && inner > (size_t)conditions->longest) ||
        (conditions->loss > 0 && chance() * 100 < conditions->loss)) {
        way->lost++;
        return;
    }
    uint64_t sent = time;
    if (conditions->rate > 0) {
        uint64_t begin = way->free_at > time ? way->free_at : time;
        if ((double)(begin - time) > conditions->queue * 1e6) {
            way->dropped++;
            return;
        }
        sent = way->free_at = begin + (uint64_t)((double)inner * 8000 / conditions->rate);
    }
    struct record *record = room(way, bytes);
    if (record == NULL) {
        way->dropped++;
        return;
    }
    uint64_t due = sent + (uint64_t)((conditions->delay + conditions->jitter * chance()) * 1e6);
    // One path keeps its packets in order.
    record->due = way->last_due = due > way->last_due ? due : way->last_due;
    record->length = (uint32_t)bytes;
    memcpy(record + 1, packet, bytes);
    way->tail += record->room;
    way->used += record->room;
    way->packets++;
    way->bytes += inner;
}

static struct record *first(struct direction *way) {
    if (way->used == 0) return NULL;
    struct record *record = (struct record *)(way->ring + way->head);
    if (record->length > 0) return record;
    way->used -= record->room;
    way->head = 0;
    return way->used == 0 ? NULL : (struct record *)way->ring;
}

static void receive(struct direction *way) {
    static uint8_t packet[LARGEST];
    uint64_t time = now();
    for (int turn = 0; turn < BATCH; turn++) {
        ssize_t bytes = read(way->in, packet, sizeof packet);
        if (bytes <= HEADER) return;
        take(way, packet, (size_t)bytes, time);
    }
}

static void deliver(struct direction *way) {
    uint64_t time = now();
    struct record *record;
    while ((record = first(way)) != NULL && record->due <= time) {
        if (write(way->out, record + 1, record->length) < 0 && errno == EAGAIN) return;
        way->head += record->room;
        way->used -= record->room;
    }
}

static void print_counts(const char *name, const struct direction *way) {
    printf("%s packets %llu bytes %llu lost %llu dropped %llu\n", name, (unsigned long long)way->packets,
           (unsigned long long)way->bytes, (unsigned long long)way->lost, (unsigned long long)way->dropped);
    fflush(stdout);
}

int main(int count, char **words) {
    if (count != 6) {
        fprintf(stderr, "usage: delay-box NAMESPACE INTERFACE NAMESPACE INTERFACE CONDITIONS\n");
        return 2;
    }
    conditions_file = words[5];
    struct sigaction action = {.sa_handler = on_signal};
    for (const int *number = (const int[]){SIGHUP, SIGUSR1, SIGTERM, SIGINT, 0}; *number; number++)
        sigaction(*number, &action, NULL);
    // Signals come while it waits, and at no other time.
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);

    int left = open_interface(words[1], words[2]), right = open_interface(words[3], words[4]);
    forward.in = back.out = left;
    forward.out = back.in = right;
    forward.ring = malloc(RING);
    back.ring = malloc(RING);
    if (forward.ring == NULL || back.ring == NULL) fail("memory");
    struct pollfd descriptors[2] = {{.fd = left, .events = POLLIN}, {.fd = right, .events = POLLIN}};
    int is_ready = 0;
    while (!ended) {
        if (reread) {
            reread = 0;
            read_conditions();
        }
        if (report) {
            report = 0;
            print_counts("forward", &forward);
            print_counts("back", &back);
        }
        if (!is_ready) {
            is_ready = 1;
            printf("ready\n");
            fflush(stdout);
        }
        uint64_t time = now(), due = UINT64_MAX;
        struct record *record;
        if ((record = first(&forward)) != NULL && record->due < due) due = record->due;
        if ((record = first(&back)) != NULL && record->due < due) due = record->due;
        uint64_t pause = due > time ? due - time : 0;
        struct timespec wait = {.tv_sec = (time_t)(pause / 1000000000), .tv_nsec = (long)(pause % 1000000000)};
        if (ppoll(descriptors, 2, due == UINT64_MAX ? NULL : &wait, &none) < 0 && errno != EINTR) fail("ppoll");
        if (descriptors[0].revents & POLLIN) receive(&forward);
        if (descriptors[1].revents & POLLIN) receive(&back);
        deliver(&forward);
        deliver(&back);
    }
    print_counts("forward", &forward);
    print_counts("back", &back);
    return 0;
}
