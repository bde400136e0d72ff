// SPDX-License-Identifier: Apache-2.0
// How many UDP packets of one size a path carries in a second, from one network namespace to another.
//
//     packet-meter SENDER-NAMESPACE RECEIVER-NAMESPACE ADDRESS PAYLOAD-BYTES
//
// Prints one "name value" a line:
//   best_pps             what arrived of the highest rate at which no more than 0.5 % were lost
//   overload_pps         what arrived while a sender without limit sent
//   overload_offered_pps what that one sent
//   reordered            packets that arrived after a later one, in all trials together
//
// What a path can do changes from second to second on a machine that others use too, so nothing hangs on a single trial. The
// rate is a staircase: a little more after a trial without loss, a little less after one with it. An unlucky burst costs one
// step, which the next trial takes back; a search by halves would never come back above it. The result is the median of
// those trials that kept within the loss, after the staircase has turned for the first time. Every fourth trial is one of
// overload, so that both results are of the same seconds.
// The sender never catches up more than two milliseconds, so that a pause of its own is no burst. The receiver looks each
// millisecond instead of waking for each packet: it is to disturb as little as may be.
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

static const double tolerated_loss = 0.005, coarse_step = 1.15, fine_step = 1.04;
static const double trial_seconds = 0.25, warm_up_seconds = 0.15; // the latter fills queues, of an overload, and counts not
static const double largest_catch_up_seconds = 0.002, pause_seconds = 100e-6;
enum { FEWEST_TRIALS = 24, MOST_TRIALS = 96, WANTED_GOOD = 8 };

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
    double offered, rate, loss;         // packets a second
    double offered_late, received_late; // the same after the warm-up
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

// Waits until nothing has arrived for a while.
static void drain(void) {
    double last, limit = now() + 2;
    do {
        pause_for(0.005);
        received_so_far(&last);
    } while (now() - last < 0.03 && now() < limit);
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
    trial.offered = (double)trial.sent / (time - start);
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

// ---- The two questions.

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    if (count == 0) return 0;
    qsort(values, (size_t)count, sizeof values[0], ascending);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

struct result {
    double best, overload, overload_offered;
};

static struct result measure(void) {
    static double good[MOST_TRIALS], overload[MOST_TRIALS], offered[MOST_TRIALS];
    int goods = 0, overloads = 0, turned = 0, rising = 0;
    double wish = 0;
    for (int number = 0; number < MOST_TRIALS && (number < FEWEST_TRIALS || goods < WANTED_GOOD); number++) {
        if (number % 4 == 0) {
            struct trial trial = try_rate(0, warm_up_seconds + trial_seconds);
            overload[overloads] = trial.received_late;
            offered[overloads++] = trial.offered_late;
            // A sender that cannot overload the path has found its best rate as well.
            if (trial.loss <= tolerated_loss) good[goods++] = trial.rate;
            if (number == 0) wish = fmax(trial.received_late, 100);
            continue;
        }
        struct trial trial = try_rate(wish, trial_seconds);
        int kept = trial.loss <= tolerated_loss;
        if (number > 1 && kept != rising && !turned) {
            turned = 1;
            goods = 0; // what the way to here had
        }
        rising = kept;
        if (kept) good[goods++] = trial.rate;
        double step = turned ? fine_step : coarse_step;
        // Not away from what the sender can reach.
        wish = kept ? fmin(wish * step, trial.offered * coarse_step) : wish / step;
        if (wish < 100) break;
    }
    return (struct result){median(good, goods), median(overload, overloads), median(offered, overloads)};
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

    struct result result = measure();
    printf("best_pps %.0f\noverload_pps %.0f\noverload_offered_pps %.0f\n", result.best, result.overload,
           result.overload_offered);
    printf("reordered %llu\n", (unsigned long long)reordered);
    return 0;
}
