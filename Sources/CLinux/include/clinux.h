// SPDX-License-Identifier: Apache-2.0
// Linux calls that Swift cannot see or would have to build from unions, as plain functions over plain structs. No
// policy: nothing here decides, retries or logs. A function that can fail returns a negative errno.
#ifndef CLINUX_H
#define CLINUX_H

#include <stdint.h>

// ---- Files and threads

/// Closes a descriptor.
void clinux_close(int fd);
/// Reads into a buffer; bytes or −errno.
long clinux_read(int fd, void *_Nonnull buffer, unsigned long count);
/// A piece of memory.
struct clinux_piece {
    const uint8_t *_Nonnull base;
    unsigned long length;
};

/// Writes pieces (≤ 1024) as one; bytes or −errno.
long clinux_write_pieces(int fd, const struct clinux_piece *_Nonnull pieces, int count);
/// Swaps two names (renameat2 with RENAME_EXCHANGE); 0 or −errno.
int clinux_exchange(const char *_Nonnull path, const char *_Nonnull other);

/// Takes the write lock of a whole file, which is its open file description's; 0, or −errno: −EAGAIN where somebody else has it.
int clinux_lock(int fd);
/// Names the calling thread; at most 15 bytes count.
void clinux_name_thread(const char *_Nonnull name);
/// Gives the calling thread less of a busy processor than others get: 1 … 19.
void clinux_yield_to_others(int niceness);
/// Moves the calling thread into a network namespace of its own, with its loopback interface up; 0 or −errno.
int clinux_enter_private_network(void);
/// Takes all capabilities from the calling thread (not from the process), for good; 0 or −errno.
int clinux_drop_thread_capabilities(void);
/// CLOCK_BOOTTIME in nanoseconds.
uint64_t clinux_boottime(void);
/// The largest error, in microseconds, of a clock that somebody keeps right (adjtimex(2)); −EAGAIN where nobody does, or −errno.
long clinux_clock_error(void);

/// Lets go of the pages of this process's code, which come back as they are used; bytes of code or −errno.
long clinux_release_code(void);

/// Gives memory that malloc keeps and nobody uses back to the system, of all its arenas; 1 if there was any.
int clinux_release_free(void);

/// From here on no core of this process is written, nobody reports its crash, and no process of the same user may look into it; 0 or −errno.
int clinux_forbid_dumps(void);

// ---- Privileges

/// Takes from all threads of the process, for good, the capabilities that are not in the set (bit n is capability n), and the right to get
/// others by starting programs (no_new_privs); what it starts has the set, too. Puts them all behind a fence, unless it is negative. Raises
/// RLIMIT_MEMLOCK before, where it may. 0 or −errno: some threads may have lost theirs then.
int clinux_confine(uint64_t keep, int fence);
/// Leaves all threads, and what they start, the system calls of an ordinary service (seccomp), without namespaces of their own; 0 or
/// −errno, −ENOSYS on machines that the list is not for.
int clinux_filter_calls(void);
/// Whether this thread may read a file, or write in a directory, without CAP_DAC_OVERRIDE; 1, 0 or −errno.
int clinux_may_without_override(const char *_Nonnull path, int writing);

#define CLINUX_FENCE_READ 1u
/// Programs, and what they are made of.
#define CLINUX_FENCE_RUN 2u
/// Files, directories, sockets and links: new, other, or no longer there.
#define CLINUX_FENCE_WRITE 4u
#define CLINUX_FENCE_REMOVE 8u
/// Calls of a device's own (ioctl).
#define CLINUX_FENCE_DEVICE 16u

/// The version of Landlock that the kernel has, from 1; −ENOSYS or −EOPNOTSUPP where it has none, or has it switched off.
int clinux_fence_version(void);
/// A fence without a gate; descriptor or −errno.
int clinux_fence_open(void);
/// Allows access to a file, or to all beneath a directory, as it is now: of a name that leads to another one later it says nothing. 0 or
/// −errno.
int clinux_fence_allow(int fence, const char *_Nonnull path, unsigned access);
/// Puts the calling thread, and all that it starts, behind the fence, for good, without new privileges. Safe in a handler; 0 or −errno.
int clinux_fence_enter(int fence);

// ---- Local sockets

/// Who is at the other end of a local socket, as the kernel knows it (SO_PEERCRED).
struct clinux_caller {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};

/// Binds a new name and listens there, with a mode that holds from the first moment; descriptor or −errno.
int clinux_local_listen(const char *_Nonnull path, uint32_t mode, int backlog);
/// Connects, with a limit in seconds for that and for each later read and write; descriptor or −errno, −EAGAIN where a
/// listener takes no more callers.
int clinux_local_connect(const char *_Nonnull path, int seconds);
/// Who listens, or called, at the other end; 0 or −errno.
int clinux_local_other(int fd, struct clinux_caller *_Nonnull other);
/// Waits for a caller; its descriptor, with a limit for each later read and write, or −errno.
int clinux_local_accept(int fd, int seconds, struct clinux_caller *_Nonnull caller);
/// Ends both directions, so that whoever waits there wakes.
void clinux_local_shutdown(int fd);
/// Sends all bytes, without a signal where nobody reads any more; 0 or −errno.
int clinux_local_send(int fd, const uint8_t *_Nonnull bytes, unsigned long count);
/// Waits until something can be read: 1, or 0 after so many milliseconds, or −errno.
int clinux_wait_readable(int fd, int milliseconds);

// ---- Waiting

#define CLINUX_READABLE 1u
#define CLINUX_WRITABLE 2u
/// The descriptor is broken (EPOLLERR, EPOLLHUP); always reported.
#define CLINUX_BROKEN 4u

struct clinux_event {
    uint64_t tag;
    uint32_t ready;
};

int clinux_epoll_open(void);
/// Adds a descriptor, level-triggered; 0 or −errno.
int clinux_epoll_add(int epoll, int fd, uint32_t interest, uint64_t tag);
int clinux_epoll_change(int epoll, int fd, uint32_t interest, uint64_t tag);
int clinux_epoll_remove(int epoll, int fd);
/// Waits for at most `capacity` (≤ 8) events; −1 ms waits for ever; their number or −errno (EINTR reads as 0).
int clinux_epoll_wait(int epoll, struct clinux_event *_Nonnull events, int capacity, int milliseconds);

/// An eventfd, non-blocking unless `semaphore`, in which case each read takes one and blocks for it.
int clinux_eventfd_open(int semaphore);
/// Adds to an eventfd's counter.
void clinux_eventfd_signal(int fd, uint64_t count);
/// Takes the counter (or one, of a semaphore); 0 or −errno.
int clinux_eventfd_take(int fd);

// ---- TUN and its interface

/// Opens /dev/net/tun alone, to tell why it cannot be; descriptor or −errno.
int clinux_tun_device(void);
/// Every packet read or written has 10 bytes of struct virtio_net_hdr before it.
#define CLINUX_TUN_HEADERS 1u
/// The interface has several descriptors; one more attach with the same flags adds one.
#define CLINUX_TUN_QUEUES 2u
/// The interface must be new: −EBUSY if there is one of that name.
#define CLINUX_TUN_NEW 4u

/// Turns a descriptor of /dev/net/tun into the TUN interface `name` (≤ 15 bytes); 0 or −errno.
int clinux_tun_attach(int fd, const char *_Nonnull name, unsigned flags);
/// Takes packets with unfinished checksums and TCP in pieces of up to 64 KiB, and with `udp` UDP as well; 0 or −errno.
int clinux_tun_offload(int fd, int udp);
/// The index of an interface in this network namespace; or −errno.
int clinux_interface_index(const char *_Nonnull name);

/// Sets the MTU, or leaves it where `mtu` is 0, and brings the link up where `up`; 0 or −errno.
int clinux_link_set(int index, uint32_t mtu, int up);
/// Deletes the interface; 0 or −errno.
int clinux_link_delete(int index);
/// 1 where it is up, 0 where somebody has set it down, or −errno.
int clinux_link_is_up(int index);
/// Asks for no automatic link-local IPv6 address; 0 or −errno.
int clinux_link_without_autoconf(int index);
/// Adds an address; `family` is 4 or 6, `address` 4 or 16 bytes; 0 or −errno. No duplicate address detection.
int clinux_address_add(int index, int family, const uint8_t *_Nonnull address, int prefix_length);
/// Takes an address away; 0 or −errno, −EADDRNOTAVAIL if it is not there.
int clinux_address_remove(int index, int family, const uint8_t *_Nonnull address, int prefix_length);
/// Whether packets to this address are this host's own already: IPv6 addresses take a moment; 1, 0 or −errno.
int clinux_address_is_local(int family, const uint8_t *_Nonnull address);
/// Adds a route to a network by way of the interface to a routing table, 0 = main; −EEXIST if there is one already.
int clinux_route_add(int index, uint32_t table, int family, const uint8_t *_Nonnull network, int prefix_length);
int clinux_route_remove(int index, uint32_t table, int family, const uint8_t *_Nonnull network, int prefix_length);
/// The same route with a preferred source, which must be this host's, or with none; in one step in the place of the one that is there.
int clinux_route_prefer(int index, uint32_t table, int family, const uint8_t *_Nonnull network, int prefix_length,
                        const uint8_t *_Nullable source);
/// Adds, or removes, one more route to the network behind the first; 0 or −errno.
int clinux_route_behind(int index, uint32_t table, int family, const uint8_t *_Nonnull network, int prefix_length,
                        uint32_t metric, int add);

// ---- Netfilter

/// A socket to the kernel's nfnetlink, with a limit in seconds for each read; descriptor or −errno.
int clinux_netfilter_open(int seconds);

// ---- UDP

/// An address as both families see it: IPv4 is ::ffff:a.b.c.d.
struct clinux_address {
    uint8_t bytes[16];
    /// The interface of a link-local address; where one of another kind is sent to, the one to leave by, or 0.
    uint32_t scope;
    /// In host order.
    uint16_t port;
};

/// A non-blocking UDP socket; `family` is 4, 6, or 46 for one that speaks both; descriptor or −errno.
int clinux_udp_open(int family);
int clinux_udp_bind(int fd, int family, const struct clinux_address *_Nonnull address);
/// Lets sockets of the same user bind the same address and share what arrives, by sender (SO_REUSEPORT); 0 or −errno. The first
/// may be bound already: then it was alone.
int clinux_udp_share(int fd);
/// What `clinux_udp_steer` looks at: the byte of the type, what types of data begin with, and where the 32-bit receiver index is.
#define CLINUX_STEER_TYPE 1
#define CLINUX_STEER_DATA 0x10
#define CLINUX_STEER_INDEX 4
/// Gives the sockets of a shared port, in the order in which they were bound, what is for each: data of the receiver index i to
/// socket i mod `workers`, all else to the one behind those; 0 or −errno.
int clinux_udp_steer(int fd, int workers);
/// Never fragments, and goes by the device's MTU alone, not by what ICMP says of the path; 0 or −errno.
int clinux_udp_probe_path(int fd, int family);
/// Reports DSCP and ECN of what arrives; 0 or −errno.
int clinux_udp_report_class(int fd, int family);
/// Asks for the address that each datagram came to; 0 or −errno.
int clinux_udp_report_local(int fd, int family);
/// Marks all that the socket sends, for rules of routing and of filters (SO_MARK); 0 or −errno.
int clinux_udp_mark(int fd, uint32_t mark);
/// The MTU of the route to an address for packets with this mark (0 = none), as the kernel knows it without sending
/// anything; or −errno.
int clinux_udp_route_mtu(const struct clinux_address *_Nonnull address, uint32_t mark);
/// The address that it would send from, with any port. Sends nothing.
int clinux_udp_route_source(const struct clinux_address *_Nonnull address, uint32_t mark,
                            struct clinux_address *_Nonnull source);
/// The address that a socket is bound to; 0 or −errno.
int clinux_udp_local_address(int fd, struct clinux_address *_Nonnull address);
/// Asks for buffers of so many bytes (0 leaves one as it is), by force where permitted; gives what the kernel really
/// set, as SO_RCVBUF and SO_SNDBUF report it (twice the usable size).
void clinux_udp_buffers(int fd, int receive, int send, int *_Nonnull receive_given, int *_Nonnull send_given);

/// An address of this host.
struct clinux_local {
    /// As the bytes of clinux_address.
    uint8_t bytes[16];
    /// Which one the caller knows it as; not looked at here.
    uint8_t number;
    /// 0: none is told; routes say.
    uint8_t is_told;
};

/// One datagram of a batch.
struct clinux_datagram {
    uint8_t *_Nullable base;
    /// Sending: bytes to send. Receiving: in, room at `base`; out, bytes received.
    uint32_t length;
    /// Receiving: the datagram was longer than its room.
    uint32_t truncated;
    /// Receiving: not 0 if these bytes are a train of datagrams from one sender, each of this size but the last, which
    /// may be shorter (UDP_GRO).
    uint32_t segment;
    /// DSCP and ECN: IPv4's TOS byte, IPv6's traffic class. Of a train, the first datagram's.
    uint8_t traffic_class;
    struct clinux_address address;
    /// Where it came to, or leaves from.
    struct clinux_local local;
};

#define CLINUX_BATCH 128
/// Datagrams in one train: UDP_MAX_SEGMENTS of the kernels before 6.9.
#define CLINUX_TRAIN 64

/// Consecutive datagrams of a batch that go to one address in one call (UDP_SEGMENT): all as long as the first but the
/// last, which may be shorter.
struct clinux_train {
    uint32_t first;
    uint32_t count;
};

/// Whether the kernel knows UDP_SEGMENT; 0 or −errno.
int clinux_udp_can_send_trains(int fd);
/// Asks for trains of datagrams in one piece (UDP_GRO); 0 or −errno.
int clinux_udp_receive_trains(int fd);

/// Receives up to `count` (≤ CLINUX_BATCH) datagrams without waiting; their number or −errno.
int clinux_udp_receive(int fd, struct clinux_datagram *_Nonnull batch, int count);
/// Sends up to `count` (≤ CLINUX_BATCH) trains without waiting; how many went, or −errno of the first. The trains lie in
/// `batch` one after the other and have no more than CLINUX_BATCH datagrams together.
int clinux_udp_send(int fd, int family, const struct clinux_datagram *_Nonnull batch,
                    const struct clinux_train *_Nonnull trains, int count);

#endif
