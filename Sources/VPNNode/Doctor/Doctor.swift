// SPDX-License-Identifier: Apache-2.0
// `pqvpn doctor`: looks at everything that a node needs before it needs it. It changes nothing; ports that it opens to see
// whether they are free are closed again. In this file: the order, and what concerns the machine alone.
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

struct Doctor {
    let surroundings: Surroundings
    let passphraseFile: String?
    private(set) var findings: [Finding] = []

    init(_ surroundings: Surroundings = .current(), passphraseFile: String? = nil) {
        self.surroundings = surroundings
        self.passphraseFile = passphraseFile
    }

    mutating func add(_ finding: Finding) { findings.append(finding) }

    /// Looks at the machine and, where there is one, at a configuration file and all that it names.
    static func examine(
        file: String?, passphraseFile: String? = nil, surroundings: Surroundings = .current(), measures: Bool = true
    ) -> [Finding] {
        var doctor = Doctor(surroundings, passphraseFile: passphraseFile)
        doctor.checkPrimitives(measures: measures)
        doctor.checkLimits()
        guard let file else {
            doctor.checkTunnel(nil)
            return doctor.findings
        }
        guard let loaded = doctor.load(file) else {
            doctor.checkTunnel(nil)
            return doctor.findings
        }
        doctor.checkTunnel(loaded.configuration.tunnel)
        doctor.checkSettings(loaded.configuration)
        doctor.checkNeighbours(loaded.configuration.tunnel)
        doctor.checkExit(loaded.configuration)
        doctor.checkSocket(loaded.configuration.network)
        doctor.checkPlaces(loaded.configuration)
        doctor.checkFiles(loaded.configuration)
        return doctor.findings
    }

    // MARK: The machine

    private mutating func checkPrimitives(measures: Bool) {
        for result in SelfTest.run(measure: measures) {
            let times = result.nanosecondsPerOperation.sorted { $0.key < $1.key }
                .map { "\($0.key) \(Int($0.value / 1000)) µs" }.joined(separator: ", ")
            if result.passed {
                add(.ok("crypto.selftest", times.isEmpty ? result.name : "\(result.name): \(times)"))
            } else {
                add(
                    .fail(
                        "crypto.selftest", "\(result.name) does not give the known answer: this build is unfit",
                        fix: "make install"))
            }
        }
        add(
            surroundings.hasAESHardware
                ? .ok("crypto.aes", "the processor has AES instructions")
                : .warn(
                    "crypto.aes", "the processor has no AES instructions: ChaCha20-Poly1305 is used, which is right",
                    fix: "lscpu | grep -o -w aes"))
    }

    private mutating func checkLimits() {
        // Sockets, queues, files and a few for the runtime; half of it is used with two workers.
        let wantedFiles = 256
        if let files = surroundings.openFiles, files < wantedFiles {
            let text = "\(files) open files are allowed, fewer than \(wantedFiles)"
            add(
                files < 64
                    ? .fail("limits.files", text, fix: "ulimit -n 1024")
                    : .warn("limits.files", text, fix: "ulimit -n 1024"))
        } else {
            add(.ok("limits.files", "\(surroundings.openFiles.map(String.init) ?? "any number of") open files"))
        }
        let wantedMemory = 1 << 20
        if let memory = surroundings.lockedMemory, memory < wantedMemory {
            add(
                .warn(
                    "limits.memlock", "\(memory) bytes may be locked: secrets could reach the swap",
                    fix: "ulimit -l 8192"))
        } else {
            add(
                .ok(
                    "limits.memlock", "\(surroundings.lockedMemory.map { "\($0) bytes" } ?? "all memory") may be locked"
                ))
        }
        // 2026-01-01 and 2100-01-01: before this program was written, and beyond its life.
        if (1_767_225_600..<4_102_444_800).contains(surroundings.unixSeconds) {
            add(.ok("clock", "the clock is plausible"))
        } else {
            add(
                .warn(
                    "clock",
                    "the clock says \(surroundings.unixSeconds) s since 1970: descriptors and logs would be wrong",
                    fix: "timedatectl set-ntp true"))
        }
    }

    /// - Parameter tunnel: nil = as by default.
    private mutating func checkTunnel(_ tunnel: NodeConfiguration.Tunnel?) {
        guard tunnel?.isEnabled ?? true else { return add(.ok("tun.device", "no tunnel is wanted")) }
        switch surroundings.tunDevice {
        case .usable: add(.ok("tun.device", "/dev/net/tun can be opened"))
        case .missing: add(.fail("tun.device", "/dev/net/tun is missing", fix: "modprobe tun"))
        case .forbidden: add(.fail("tun.device", "/dev/net/tun may not be opened", fix: "chmod 666 /dev/net/tun"))
        }
        add(
            surroundings.hasNetAdmin
                ? .ok("tun.privilege", "this process has CAP_NET_ADMIN")
                : .fail(
                    "tun.privilege", "CAP_NET_ADMIN is missing",
                    fix: "sudo setcap cap_net_admin+ep \"$(command -v pqvpn)\""))
        if let name = tunnel?.interface, surroundings.interfaces.contains(name) {
            add(
                .fail(
                    "tun.name", "an interface '\(name)' exists: a running node, or somebody else's",
                    fix: "ip link show \(name)"))
        }
    }

    // MARK: The socket

    private mutating func checkSocket(_ network: NodeConfiguration.Network) {
        let listen = Endpoint(network.bindHost, port: network.listenPort)
        let engine: Engine
        do throws(EngineError) {
            engine = try Engine(
                EngineConfiguration(
                    tunnel: nil, listen: listen, receiveBuffer: network.socketBufferSize,
                    sendBuffer: network.socketBufferSize)
            ) {}
        } catch {
            let command =
                switch error.kind {
                case .addressInUse: "ss -ulpn 'sport = :\(network.listenPort)'"
                case .portPermission: "set network.listen_port to 1024 or more"
                default: "ip address show"
                }
            return add(.fail("udp.port", error.description, fix: command))
        }
        defer { engine.stop() }
        add(.ok("udp.port", "UDP \(engine.socket.local.text) can be bound"))
        let missing = Offloads([.sendTrains, .receiveTrains]).subtracting(engine.offloads)
        add(
            missing.isEmpty
                ? .ok("udp.offload", "the kernel takes and gives trains of datagrams")
                : .warn(
                    "udp.offload", "the kernel lacks \(missing): slower, and otherwise the same",
                    fix: "uname -r  # 5.0 or later has both"))
        checkBuffers(network.socketBufferSize, granted: engine.socket)
    }

    private mutating func checkBuffers(_ wanted: Int, granted: UDPSocketFacts) {
        let limits = [surroundings.largestReceiveBuffer, surroundings.largestSendBuffer].compactMap { $0 }
        // A privileged process passes the limit, and the kernel reports twice what can be used.
        let isGranted = min(granted.receiveBuffer, granted.sendBuffer) / 2 >= wanted
        if isGranted, surroundings.hasNetAdmin || (limits.min() ?? wanted) >= wanted {
            add(.ok("udp.buffers", "socket buffers of \(wanted) bytes are granted"))
        } else {
            add(
                .warn(
                    "udp.buffers",
                    "socket buffers of \(wanted) bytes are not granted: bursts are lost",
                    fix: "sysctl -w net.core.rmem_max=\(wanted) net.core.wmem_max=\(wanted)"))
        }
    }
}
