// SPDX-License-Identifier: Apache-2.0
// The real daemons on hosts that are network namespaces. One at a time: they share the machine's processors, and each
// scenario leaves nothing behind. What they need: root, /dev/net/tun, iproute2, ping, iperf3, tcpdump, the built program.
import Testing

@Suite("In network namespaces", .serialized)
enum NamespaceTests {}
