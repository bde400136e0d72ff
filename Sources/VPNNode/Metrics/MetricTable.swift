// SPDX-License-Identifier: Apache-2.0
// The table of all metrics: name, kind, labels, buckets and help (docs/operations.md). Base units, `_total` on what only grows.
// What happens now and then is counted by instruments; what the packet threads count is read when somebody asks.

enum MetricTable {
    // MARK: Counted as it happens

    static let counted = [
        handshakes, handshakeDuration, identitiesRefused, rekeys, rekeyDuration, sessionsEnded, keepaliveRoundTrip,
        peerSilences, pathMoves, circuitBuilds, circuitBuildDuration,
    ]

    static let handshakes = MetricDescription(
        name: "pqvpn_handshakes_total", kind: .counter,
        help: "Handshakes that came to an end here: ok, timeout, or why a message was refused.",
        labels: ["role", "result"])
    static let handshakeDuration = MetricDescription(
        name: "pqvpn_handshake_duration_seconds", kind: .histogram,
        help: "From the first datagram of a handshake to its session, at this node.", labels: ["role"],
        buckets: durations)
    static let identitiesRefused = MetricDescription(
        name: "pqvpn_identities_refused_total", kind: .counter,
        help: "Handshakes whose cryptography held, with an identity that is not believed.", labels: ["reason"])
    static let rekeys = MetricDescription(
        name: "pqvpn_session_rekeys_total", kind: .counter,
        help: "Sessions made with a peer that had one already.")
    static let rekeyDuration = MetricDescription(
        name: "pqvpn_rekey_duration_seconds", kind: .histogram,
        help: "Duration of the handshakes that made a session with a peer that had one already.", buckets: durations)
    static let sessionsEnded = MetricDescription(
        name: "pqvpn_sessions_ended_total", kind: .counter, help: "Sessions that ended, by reason.", labels: ["reason"])
    static let keepaliveRoundTrip = MetricDescription(
        name: "pqvpn_keepalive_round_trip_seconds", kind: .histogram,
        help: "From a keepalive to its answer.", buckets: durations)
    static let peerSilences = MetricDescription(
        name: "pqvpn_peer_silences_total", kind: .counter,
        help: "Peers that left three keepalives unanswered, so that a new handshake began.")
    static let pathMoves = MetricDescription(
        name: "pqvpn_path_moves_total", kind: .counter, help: "Peers that were met at another endpoint.")

    static let circuitBuilds = MetricDescription(
        name: "pqvpn_circuit_builds_total", kind: .counter,
        help: "Attempts to build a circuit of this node's own: ok, replaced, or why one failed.", labels: ["result"])
    static let circuitBuildDuration = MetricDescription(
        name: "pqvpn_circuit_build_seconds", kind: .histogram,
        help: "From the beginning of an attempt to the circuit that came of it.", buckets: durations)

    /// 1 ms to 90 s, where a handshake is given up. One takes about 5 ms of work at each end, and lost datagrams cost seconds.
    private static let durations = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90,
    ]

    // MARK: Read when asked

    static let buildInfo = MetricDescription(
        name: "pqvpn_build_info", kind: .gauge, help: "Always 1; what this program is.",
        labels: ["version", "protocol"])
    static let ready = gauge("pqvpn_ready", "1 while packets can flow.")
    static let sessions = MetricDescription(
        name: "pqvpn_sessions", kind: .gauge,
        help: "Sessions: current is sent on, next waits for its first data, previous only receives.", labels: ["state"])
    static let degraded = gauge(
        "pqvpn_degraded_sessions", "Current sessions for which one signature of two had to do.")
    static let peers = gauge("pqvpn_peers", "Peers, configured and passing.")
    static let handshakesInProgress = gauge(
        "pqvpn_handshakes_in_progress", "Handshakes under way that either end began, kept answers included.")
    static let jobs = gauge("pqvpn_crypto_jobs", "Public-key work that is under way.")
    static let receivedBytes = counter("pqvpn_received_bytes_total", "UDP payload received.")
    static let sentBytes = counter("pqvpn_sent_bytes_total", "UDP payload sent.")
    static let receivedPackets = counter("pqvpn_received_packets_total", "Datagrams received.")
    static let sentPackets = counter("pqvpn_sent_packets_total", "Datagrams sent.")
    static let tunnelReceivedBytes = counter(
        "pqvpn_tunnel_received_bytes_total", "Bytes of inner packets from peers, written to the tunnel interface.")
    static let tunnelSentBytes = counter(
        "pqvpn_tunnel_sent_bytes_total", "Bytes of inner packets for peers, read from the tunnel interface.")
    static let tunnelReceivedPackets = counter(
        "pqvpn_tunnel_received_packets_total", "Inner packets from peers, written to the tunnel interface.")
    static let tunnelSentPackets = counter(
        "pqvpn_tunnel_sent_packets_total", "Inner packets for peers, read from the tunnel interface.")
    static let dropped = MetricDescription(
        name: "pqvpn_dropped_packets_total", kind: .counter,
        help: "Datagrams and inner packets that were dropped, by reason.", labels: ["reason"], maximumSeries: 128)
    static let replayRejects = counter(
        "pqvpn_replay_window_rejects_total", "Datagrams whose counter was seen before or is too old to tell.")
    static let wakeUps = counter("pqvpn_worker_wakeups_total", "How often a packet thread was woken.")
    static let coverPackets = counter(
        "pqvpn_cover_packets_total", "Datagrams of cover traffic sent, those of pqvpn_sent_packets_total included.")
    static let coverBytes = counter("pqvpn_cover_bytes_total", "UDP payload of cover traffic sent.")
    static let circuits = MetricDescription(
        name: "pqvpn_circuits", kind: .gauge,
        help: "Circuits: own carries packets, building is wanted and does not, relayed passes, guest ends here.",
        labels: ["role"])
    static let relayedPackets = counter("pqvpn_relayed_packets_total", "Datagrams carried on for others, both ways.")
    static let relayedBytes = counter("pqvpn_relayed_bytes_total", "Their bytes with the circuit id.")
    static let relayDrops = counter(
        "pqvpn_relay_drops_total",
        "Datagrams of circuits and questions about them that were refused, for whatever reason.")
    static let insecure = gauge(
        "pqvpn_insecure_settings", "Settings of this node's configuration that are weaker than their default.")
    static let refusedSeries = counter(
        "pqvpn_metric_series_refused_total",
        "Series beyond a limit, added up under \"other\"; peers beyond it, left out.")

    static let linesLost = counter("pqvpn_log_lines_lost_total", "Log lines that could not be written.")

    /// Only with metrics.per_peer.
    static let peerReceived = peer(
        "pqvpn_peer_sessions_received_bytes", "UDP payload received over the sessions that a peer has now.")
    static let peerSent = peer(
        "pqvpn_peer_sessions_sent_bytes", "UDP payload sent over the sessions that a peer has now.")
    static let peerHandshake = peer(
        "pqvpn_peer_latest_handshake_timestamp_seconds", "When a peer's current session was made; 0 without one.")

    // The names and the meaning are the ones that every Prometheus client library gives.
    static let cpu = counter("process_cpu_seconds_total", "User and system CPU time spent in seconds.")
    static let residentMemory = gauge("process_resident_memory_bytes", "Resident memory size in bytes.")
    static let openFiles = gauge("process_open_fds", "Number of open file descriptors.")
    static let startTime = gauge(
        "process_start_time_seconds", "Start time of the process since unix epoch in seconds.")

    private static func counter(_ name: String, _ help: String) -> MetricDescription {
        MetricDescription(name: name, kind: .counter, help: help)
    }

    private static func gauge(_ name: String, _ help: String) -> MetricDescription {
        MetricDescription(name: name, kind: .gauge, help: help)
    }

    private static func peer(_ name: String, _ help: String) -> MetricDescription {
        MetricDescription(name: name, kind: .gauge, help: help, labels: ["peer"], maximumSeries: mostPeers)
    }

    /// A page of half a megabyte. The first ones of the configuration have a series each, those beyond have none.
    static let mostPeers = 1024
}
