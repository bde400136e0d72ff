// SPDX-License-Identifier: Apache-2.0
// The real daemons on hosts that are network namespaces. Two scenarios at a time: most of a scenario's time is spent waiting, and
// each leaves nothing behind. What they need: root, /dev/net/tun, iproute2, ping, iperf3, tcpdump, the built program.
import Testing

/// Scenarios with traffic, one at a time: they want a processor.
@Suite("In network namespaces", .serialized, .threads(.stages))
enum NamespaceTests {}

/// Scenarios that mostly wait for timers, one at a time, beside the others.
@Suite("In network namespaces, waiting", .serialized, .threads(.stages))
enum WaitingNamespaceTests {}
