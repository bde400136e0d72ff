// SPDX-License-Identifier: Apache-2.0
// Tells when a host can be reached for the first time: sends an ICMP echo request each millisecond, whatever becomes of it,
// until one is answered.
//
//     first-answer ADDRESS SECONDS
//
// Prints "ready" and then the time of the answer in microseconds since 1970; status 1 if there is none in so many seconds.
// `ping` will not do: it ends when there is no route yet.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t microseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static struct icmphdr request(uint16_t id, uint16_t number) {
    struct icmphdr header = {.type = ICMP_ECHO, .un.echo = {.id = id, .sequence = htons(number)}};
    uint16_t words[sizeof header / 2];
    uint32_t sum = 0;
    memcpy(words, &header, sizeof header);
    for (size_t i = 0; i < sizeof header / 2; i++) sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    header.checksum = (uint16_t) ~(sum + (sum >> 16));
    return header;
}

// Takes what has arrived; true if it is the answer to one of ours.
static int answered(int sock, struct in_addr from, uint16_t id) {
    uint8_t packet[1500];
    struct iphdr ip;
    struct icmphdr icmp;
    ssize_t got = recv(sock, packet, sizeof packet, MSG_DONTWAIT);
    if (got < (ssize_t)(sizeof ip + sizeof icmp)) return 0;
    memcpy(&ip, packet, sizeof ip);
    if (got < (ssize_t)(ip.ihl * 4 + sizeof icmp)) return 0;
    memcpy(&icmp, packet + ip.ihl * 4, sizeof icmp);
    return ip.saddr == from.s_addr && icmp.type == ICMP_ECHOREPLY && icmp.un.echo.id == id;
}

int main(int count, char **arguments) {
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (count != 3 || inet_pton(AF_INET, arguments[1], &to.sin_addr) != 1) {
        fprintf(stderr, "usage: first-answer ADDRESS SECONDS\n");
        return 2;
    }
    int sock = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (sock < 0) {
        perror("first-answer");
        return 1;
    }
    uint16_t id = (uint16_t)getpid(), number = 0;
    int64_t end = microseconds() + (int64_t)(atof(arguments[2]) * 1e6);
    printf("ready\n");
    fflush(stdout);
    for (int64_t next = microseconds(); next < end; next += 1000) {
        struct icmphdr header = request(id, number++);
        sendto(sock, &header, sizeof header, 0, (struct sockaddr *)&to, sizeof to); // no route is no news
        for (int64_t left; (left = next + 1000 - microseconds()) > 0;) {
            struct pollfd readable = {.fd = sock, .events = POLLIN};
            struct timespec limit = {.tv_nsec = left * 1000};
            if (ppoll(&readable, 1, &limit, NULL) > 0 && answered(sock, to.sin_addr, id)) {
                printf("%lld\n", (long long)microseconds());
                return 0;
            }
        }
    }
    return 1;
}
