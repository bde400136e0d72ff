// SPDX-License-Identifier: Apache-2.0
// How many UDP packets of one size a path carries in a second, from one network namespace to another.
//
//     packet-meter SENDER-NAMESPACE RECEIVER-NAMESPACE ADDRESS PAYLOAD-BYTES
//
// Prints one "name value" a line:
//   overload_offered_pps, overload_pps   a sender without limit, and what arrived while it sent: median of three trials
//   best_pps, best_loss                  the highest rate at which no more than 0.5 % were lost
//   reordered                            packets that arrived after a later one, in all trials together
//
// The search does not believe a single trial. Chance (somebody else's work, a burst that meets a full queue) only ever makes
// loss larger, so a rate is refused when two trials of it have failed; and the rate that is left at the end must hold for a
// longer trial, or gives way to a lower one. The sender never catches up more than two milliseconds, so that a pause of its
// own is no burst. The receiver looks each millisecond instead of waking for each packet: it is to disturb as little as may
// be.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 7001, BATCH = 64, LARGEST = 9000 };

static const double tolerated_loss = 0.005, resolution = 1.03;
static const double trial_seconds = 0.4, last_trial_seconds = 1.0;
static const double warm_up_seconds = 0.2, overload_seconds = 0.5; // the former fills queues, and does not count
static const double largest_catch_up_seconds = 0.002, pause_seconds = 100e-6;

// What each payload begins with; the trial's number, so that stragglers of an earlier one are none of this one's.
struct mark {
    uint64_t trial, number;
};

static struct {
    pthread_mutex_t lock;
    uint64_t trial, packets, highest, reordered;
    double last; // arrival
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct trial {
    uint64_t sent, received;
    double rate, loss;                      // received per second
    double offered_late, received_late;     // per second after the warm-up
};

static int sending_socket, receiving_socket;
static size_t payload;
static uint64_t trials, reordered;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void pause_for(double seconds) {
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};
    nanosleep(&time, NULL);
}

// ---- The receiver, a thread.

static void note(const struct mark *mark) {
    if (mark->trial != seen.trial) return;
    seen.packets++;
    if (mark->number < seen.highest) seen.reordered++;
    else seen.highest = mark->number;
}

__attribute__((noreturn)) static void *receive(void *unused) {
    (void)unused;
    static struct mark marks[BATCH];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){&marks[i], sizeof marks[i]}; // the rest of a packet is of no interest
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (;;) {
        int got = recvmmsg(receiving_socket, messages, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
        if (got > 0) {
            pthread_mutex_lock(&seen.lock);
            for (int i = 0; i < got; i++)
                if (messages[i].msg_len == payload) note(&marks[i]);
            seen.last = now();
            pthread_mutex_unlock(&seen.lock);
        }
        if (got < BATCH) pause_for(1e-3);
    }
}

static uint64_t received_so_far(double *last) {
    pthread_mutex_lock(&seen.lock);
    uint64_t packets = seen.packets;
    if (last != NULL) *last = seen.last;
    pthread_mutex_unlock(&seen.lock);
    return packets;
}

// ---- The sender.

// Sends `count` packets at most, numbered from `number`; how many left.
static uint64_t send_batch(uint64_t number, unsigned count) {
    static uint8_t packets[BATCH][LARGEST];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    memset(messages, 0, sizeof messages[0] * count);
    for (unsigned i = 0; i < count; i++) {
        struct mark mark = {.trial = trials, .number = number + i};
        memcpy(packets[i], &mark, sizeof mark);
        parts[i] = (struct iovec){packets[i], payload};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    int sent = sendmmsg(sending_socket, messages, count, 0);
    return sent > 0 ? (uint64_t)sent : 0; // no room, no peer yet: nothing left, and the time goes on
}

// Waits until nothing has arrived for a twentieth of a second.
static void drain(void) {
    double last, limit = now() + 2;
    do {
        pause_for(0.01);
        received_so_far(&last);
    } while (now() - last < 0.05 && now() < limit);
}

// Sends `rate` packets a second, or without limit if that is 0.
static struct trial try_rate(double rate, double seconds) {
    pthread_mutex_lock(&seen.lock);
    seen.trial = ++trials;
    seen.packets = seen.highest = seen.reordered = 0;
    seen.last = now();
    pthread_mutex_unlock(&seen.lock);

    struct trial trial = {0};
    double start = now(), time = start, forgiven = 0, late_start = 0;
    uint64_t late_sent = 0, late_received = 0;
    for (; time - start < seconds; time = now()) {
        if (late_start == 0 && time - start >= warm_up_seconds) {
            late_start = time;
            late_sent = trial.sent;
            late_received = received_so_far(NULL);
        }
        double due = BATCH;
        if (rate > 0) {
            double most = fmax(BATCH, rate * largest_catch_up_seconds);
            due = rate * (time - start) - forgiven - (double)trial.sent;
            if (due > most) {
                forgiven += due - most;
                due = most;
            }
            if (due < 1) {
                pause_for(fmax(pause_seconds, (1 - due) / rate));
                continue;
            }
        }
        trial.sent += send_batch(trial.sent, due > BATCH ? BATCH : (unsigned)due);
    }
    if (late_start > 0) {
        trial.offered_late = (double)(trial.sent - late_sent) / (time - late_start);
        trial.received_late = (double)(received_so_far(NULL) - late_received) / (time - late_start);
    }
    drain();
    double last;
    trial.received = received_so_far(&last);
    trial.rate = (double)trial.received / (fmax(time, last) - start);
    trial.loss = trial.sent > 0 ? 1 - (double)trial.received / (double)trial.sent : 1;
    pthread_mutex_lock(&seen.lock);
    reordered += seen.reordered;
    pthread_mutex_unlock(&seen.lock);
    if (getenv("PACKET_METER_TRACE") != NULL)
        fprintf(stderr, "wished %.0f, offered %.0f, got %.0f, lost %.2f %%\n", rate, (double)trial.sent / (time - start),
                trial.rate, 100 * trial.loss);
    return trial;
}

static int holds(double rate, double seconds, struct trial *last) {
    for (int attempt = 0; attempt < 2; attempt++) {
        *last = try_rate(rate, seconds);
        if (last->loss <= tolerated_loss) return 1;
    }
    return 0;
}

// ---- The two questions.

static int by_received(const void *a, const void *b) {
    double x = ((const struct trial *)a)->received_late, y = ((const struct trial *)b)->received_late;
    return (x > y) - (x < y);
}

static struct trial overload(void) {
    struct trial trial[3];
    for (int i = 0; i < 3; i++) trial[i] = try_rate(0, warm_up_seconds + overload_seconds);
    qsort(trial, 3, sizeof trial[0], by_received);
    return trial[1];
}

static struct trial best(struct trial overloaded) {
    // Nobody has to search if the sender cannot overload the path; and nobody can send more than without limit.
    double ceiling = overloaded.offered_late, low = 0, high = ceiling, wish = overloaded.received_late;
    int refused = 0;
    struct trial trial = {.loss = 1};
    if (wish < 100) return trial;
    while (low < ceiling && (low == 0 || high / low > resolution)) {
        if (holds(wish, trial_seconds, &trial)) {
            low = wish;
        } else {
            high = wish;
            refused = 1;
        }
        if (low == 0) wish = high * 0.8;
        else wish = refused ? sqrt(low * high) : fmin(low * 1.2, ceiling);
        if (wish < 100) break;
    }
    for (; low > 100; low /= resolution)
        if (holds(low, last_trial_seconds, &trial)) return trial;
    return (struct trial){.loss = 1};
}

// ---- Setting up.

static int socket_inside(const char *namespace) {
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", namespace);
    int place = open(path, O_RDONLY | O_CLOEXEC), bytes = 16 << 20;
    if (place < 0 || setns(place, CLONE_NEWNET) < 0) fail(path);
    close(place);
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0) fail("socket");
    setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    return sock;
}

int main(int count, char **arguments) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    if (count != 5 || inet_pton(AF_INET, arguments[3], &to.sin_addr) != 1 ||
        (payload = strtoul(arguments[4], NULL, 10)) < sizeof(struct mark) || payload > LARGEST) {
        fprintf(stderr, "usage: packet-meter SENDER-NAMESPACE RECEIVER-NAMESPACE ADDRESS PAYLOAD-BYTES (%zu to %d)\n",
                sizeof(struct mark), LARGEST);
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1UL);
    receiving_socket = socket_inside(arguments[2]);
    if (bind(receiving_socket, (struct sockaddr *)&any, sizeof any) < 0) fail("bind");
    sending_socket = socket_inside(arguments[1]);
    if (connect(sending_socket, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
    pthread_t receiver;
    if (pthread_create(&receiver, NULL, receive, NULL) != 0) fail("a thread");

    struct trial overloaded = overload(), found = best(overloaded);
    printf("overload_offered_pps %.0f\noverload_pps %.0f\n", overloaded.offered_late, overloaded.received_late);
    printf("best_pps %.0f\nbest_loss %.5f\nreordered %llu\n", found.rate, found.loss, (unsigned long long)reordered);
    return 0;
}
