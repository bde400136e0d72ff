// SPDX-License-Identifier: Apache-2.0
// The outer socket on loopback: batches of both families, buffers, and errors that a person must understand.

import CLinux
import Glibc
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite struct UDPSocketTests {
        /// Sends all payloads in one go; how many went, or −1.
        private func send(
            _ socket: borrowing UDPSocket, _ payloads: [[UInt8]], to: Endpoint, trains: Bool = false
        ) -> Int {
            var outbox = Outbox(packet: 2048, sendsTrains: trains)
            for payload in payloads {
                let memory = unsafe outbox.memory
                for (offset, byte) in payload.enumerated() { unsafe memory[offset] = byte }
                outbox.append(0..<payload.count, to: to)
            }
            let drops = DropCounters()
            guard outbox.transmit(socket, drops: drops) == .sent, drops.total == 0 else { return -1 }
            return outbox.takeCounts().datagrams
        }

        private func receive(
            _ socket: borrowing UDPSocket
        ) -> (payloads: [[UInt8]], sources: [Endpoint], messages: Int) {
            let pool = BufferPool(packet: Limits.largestTrain, capacity: 64)
            pool.prepareToReceive(64)
            var waiting = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&waiting, 1, Int32(patienceSeconds * 1000))
            let count = max(0, unsafe socket.receive(pool.datagrams, 64))
            var (payloads, sources): ([[UInt8]], [Endpoint]) = ([], [])
            for place in 0..<count {
                let datagram = unsafe pool.datagrams[place]
                let bytes = unsafe Array(UnsafeBufferPointer(start: datagram.base, count: Int(datagram.length)))
                let segment = unsafe datagram.segment == 0 ? bytes.count : Int(unsafe datagram.segment)
                var offset = 0
                repeat {
                    payloads.append(Array(bytes[offset..<min(offset + segment, bytes.count)]))
                    sources.append(Endpoint(unsafe datagram.address))
                    offset += segment
                } while offset < bytes.count
            }
            return (payloads, sources, count)
        }

        private func receiveAll(_ socket: borrowing UDPSocket, _ count: Int) -> (payloads: [[UInt8]], messages: Int) {
            var (payloads, messages): ([[UInt8]], Int) = ([], 0)
            while payloads.count < count {
                let batch = receive(socket)
                if batch.payloads.isEmpty { break }
                payloads += batch.payloads
                messages += batch.messages
            }
            return (payloads, messages)
        }

        private func target(_ local: Endpoint, _ port: UInt16) -> Endpoint {
            var endpoint = local
            endpoint.port = port
            return endpoint
        }

        @Test(arguments: [Fixture.loopback, Fixture.loopbackV6]) func batchesPass(local: Endpoint) throws {
            let a = try UDPSocket.open(local, receiveBuffer: 1 << 20, sendBuffer: 1 << 20)
            let b = try UDPSocket.open(local, receiveBuffer: 1 << 20, sendBuffer: 1 << 20)
            #expect(a.facts.local.port != 0 && a.facts.local.port != b.facts.local.port)
            #expect(a.facts.hasV4 == local.isV4 && a.facts.hasV6 != local.isV4)
            #expect(a.facts.receiveBuffer > 0 && a.facts.sendBuffer > 0)
            let payloads = (0..<64).map { [UInt8](repeating: UInt8($0), count: $0 * 20) }
            #expect(send(a, payloads, to: b.facts.local) == 64)
            var got: [[UInt8]] = []
            while got.count < 64 {
                let batch = receive(b)
                if batch.payloads.isEmpty { break }
                got += batch.payloads
                #expect(batch.sources.allSatisfy { $0 == a.facts.local })
            }
            #expect(got == payloads)
            #expect(send(a, [[1]], to: target(local, 0)) < 0)
        }

        /// Runs of one size, shorter ends, single ones, empty ones, and more than one train may hold.
        @Test(
            arguments: [Fixture.loopback, Fixture.loopbackV6],
            [(true, true), (true, false), (false, true), (false, false)])
        func trainsArriveAsTheirDatagrams(local: Endpoint, capable: (sends: Bool, receives: Bool)) throws {
            let (sends, receives) = capable
            let a = try UDPSocket.open(local, receiveBuffer: 1 << 20, sendBuffer: 1 << 20)
            let b = try UDPSocket.open(
                local, receiveBuffer: 1 << 20, sendBuffer: 1 << 20, offloads: receives ? .receiveTrains : [])
            #expect(b.facts.offloads.isSubset(of: .receiveTrains))
            let sizes: [[Int]] = [
                Array(repeating: 1400, count: 64), Array(repeating: 100, count: 63) + [3],
                [10, 10, 10, 5, 10, 10, 20, 20, 20, 20, 1, 1, 1], [0, 0, 0, 7, 7, 0, 7], Array(1...64).reversed(),
                Array(repeating: 2000, count: 40),
            ]
            for sizes in sizes {
                let payloads = sizes.enumerated().map { [UInt8](repeating: UInt8($0.offset), count: $0.element) }
                #expect(send(a, payloads, to: b.facts.local, trains: sends) == payloads.count)
                let got = receiveAll(b, payloads.count)
                #expect(got.payloads == payloads)
                if sends, receives, sizes[0] == 1400, a.facts.offloads.contains(.sendTrains),
                    b.facts.offloads.contains(.receiveTrains)
                {
                    #expect(got.messages == 2)
                }
            }
        }

        /// Endpoints that alternate, one that is unreachable among them: every datagram goes its own way.
        @Test func aTrainHasOneEndpoint() throws {
            let a = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            let b = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            let c = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            var outbox = Outbox(packet: 2048, sendsTrains: true)
            let nowhere = Endpoint(v4: 0xF000_0001, port: 9)
            for (mark, to) in [b.facts.local, b.facts.local, nowhere, nowhere, c.facts.local, b.facts.local]
                .enumerated()
            {
                unsafe outbox.memory[0] = UInt8(mark)
                outbox.append(0..<1, to: to)
            }
            let drops = DropCounters()
            #expect(outbox.transmit(a, drops: drops) == .sent)
            #expect(drops[.sendUnreachable] == 2 && drops.total == 2)
            #expect(outbox.takeCounts().datagrams == 4)
            #expect(receiveAll(b, 3).payloads == [[0], [1], [5]])
            #expect(receive(c).payloads == [[4]])
        }

        private func wildcard() throws -> UDPSocket {
            try UDPSocket.open(Endpoint(v4: 0, port: 0), receiveBuffer: 0, sendBuffer: 0)
        }

        /// Where a datagram that waits came from, as the socket tells it.
        private func caller(of socket: borrowing UDPSocket) throws -> Endpoint {
            let pool = BufferPool(packet: 2048, capacity: 1)
            pool.prepareToReceive(1)
            var waiting = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&waiting, 1, Int32(patienceSeconds * 1000))
            try #require(unsafe socket.receive(pool.datagrams, 1) == 1)
            var addresses = LocalAddressCache(socket.addresses)
            return addresses.endpoint(
                unsafe pool.datagrams[0].address, at: unsafe pool.datagrams[0].local, now: MonotonicClock.now)
        }

        /// All of 127.0.0.0/8 is this host's; routes would choose 127.0.0.1.
        @Test func theAddressThatWasCalledIsSpokenFrom() throws {
            let server = try wildcard()
            let client = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            for called in [0x7F00_0001, 0x7F00_0002, 0x7F01_0203, 0x7F00_0002] as [UInt32] {
                #expect(send(client, [[1]], to: Endpoint(v4: called, port: server.facts.local.port)) == 1)
                let caller = try caller(of: server)
                #expect(caller.source > 0 && Carrier.udp(caller).fromAnyAddress == .udp(client.facts.local))
                var outbox = Outbox(packet: 2048, sendsTrains: true, addresses: server.addresses)
                for mark in 0..<3 as Range<UInt8> {
                    unsafe outbox.memory[0] = mark
                    outbox.append(0..<1, to: caller)
                }
                let drops = DropCounters()
                #expect(outbox.transmit(server, drops: drops) == .sent && drops.total == 0)
                let (payloads, sources, _) = receive(client)
                #expect(payloads == [[0], [1], [2]])
                #expect(Set(sources) == [Endpoint(v4: called, port: server.facts.local.port)])
            }
        }

        /// An address that this host has no more: what was to leave from it leaves from another, each datagram of it, and nobody
        /// asks for it for a while.
        @Test(arguments: [true, false]) func anAddressThatIsGoneIsLeftAlone(trains: Bool) throws {
            let server = try wildcard()
            let client = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            let foreign = IPAddress(v4: 0xCB00_7107)
            var to = client.facts.local
            to.source = server.addresses.number(of: foreign, now: MonotonicClock.now)
            #expect(to.source == 1 && server.addresses.address(1, now: MonotonicClock.now) == foreign)
            var outbox = Outbox(packet: 2048, sendsTrains: trains, addresses: server.addresses)
            let drops = DropCounters()
            for round in 0..<2 as Range<UInt8> {
                for mark in 0..<4 as Range<UInt8> {
                    unsafe outbox.memory[0] = round << 4 | mark
                    outbox.append(0..<1, to: to)
                }
                #expect(outbox.transmit(server, drops: drops) == .sent && drops.total == 0)
                #expect(receiveAll(client, 4).payloads == (0..<4).map { [round << 4 | $0] })
            }
            let now = MonotonicClock.now
            #expect(server.addresses.address(1, now: now) == nil && server.addresses.number(of: foreign, now: now) == 0)
            let later = now + LocalAddresses.rest
            #expect(server.addresses.number(of: foreign, now: later) == 1)
        }

        /// Who sends to all addresses of a prefix fills no memory.
        @Test func addressesWithNumbersAreBounded() {
            let addresses = LocalAddresses()
            let now = MonotonicClock.now
            let numbers = (0..<2 * LocalAddresses.limit).map {
                addresses.number(of: IPAddress(v6: 1 << 125 | UInt128($0)), now: now)
            }
            #expect(numbers == (0..<2 * LocalAddresses.limit).map { $0 < LocalAddresses.limit ? UInt8($0 + 1) : 0 })
            #expect(addresses.address(0, now: now) == nil)
            #expect(LocalAddresses().address(1, now: now) == nil)
        }

        /// A user of this host, to whom all of 127.0.0.0/8 answers, leaves numbers for the addresses that others call.
        @Test func loopbackTakesFewNumbers() {
            let (addresses, now) = (LocalAddresses(), MonotonicClock.now)
            let few = LocalAddresses.loopbackLimit
            for host in 1...255 as ClosedRange<UInt32> {
                let number = addresses.number(of: IPAddress(v4: 0x7F00_0000 | host), now: now)
                #expect(number == (host <= few ? UInt8(host) : 0))
            }
            #expect(addresses.number(of: IPAddress("::1")!, now: now) == 0)
            #expect(addresses.number(of: IPAddress("192.0.2.1")!, now: now) == UInt8(few + 1))
            #expect(addresses.number(of: IPAddress("127.0.0.1")!, now: now) == 1)
        }

        /// Nothing can be sent from what is no address of one host.
        @Test func addressesOfManyHostsTakeNoNumbers() {
            let (addresses, now) = (LocalAddresses(), MonotonicClock.now)
            for text in ["0.0.0.0", "224.0.0.1", "239.255.255.250", "255.255.255.255", "::", "ff02::1", "ff0e::5"] {
                #expect(addresses.number(of: IPAddress(text)!, now: now) == 0, "\(text)")
            }
            #expect(addresses.number(of: IPAddress("2001:db8::1")!, now: now) == 1)
        }

        /// Sends 20 batches of 6 datagrams of 1,400 bytes and tells what was lost.
        private func sendTrains(_ a: borrowing UDPSocket, _ b: borrowing UDPSocket, arrive: Bool) -> (
            losses: [Int32], drops: DropCounters
        ) {
            var outbox = Outbox(packet: 2048, sendsTrains: true)
            let drops = DropCounters()
            var losses: [Int32] = []
            for _ in 0..<20 {
                for mark in 0..<6 as Range<UInt8> {
                    unsafe outbox.memory.update(repeating: mark, count: 1400)
                    outbox.append(0..<1400, to: b.facts.local)
                }
                #expect(outbox.transmit(a, drops: drops) == .sent)
                let counts = outbox.takeCounts()
                #expect(counts.datagrams == (arrive ? 6 : 0) && counts.bytes == counts.datagrams * 1400)
                if counts.trainsLost != 0 { losses.append(counts.trainsLost) }
                guard arrive else { continue }
                let arrived = receiveAll(b, 6).payloads == (0..<6).map { [UInt8](repeating: $0, count: 1400) }
                #expect(arrived)
            }
            return (losses, drops)
        }

        /// A kernel or a device that takes no trains: the same datagrams go one by one, in order, and that is said once.
        @Test func refusedTrainsGoAsDatagrams() throws {
            let a = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            let b = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            // The kernel refuses to cut trains for a socket without checksums.
            var on: Int32 = 1
            let done = unsafe setsockopt(a.raw, SOL_SOCKET, SO_NO_CHECK, &on, socklen_t(MemoryLayout<Int32>.size))
            #expect(done == 0)
            let (losses, drops) = sendTrains(a, b, arrive: true)
            #expect(losses == [EINVAL] && drops.total == 0)
        }

        /// Datagrams that are too long for the device are refused in trains as well as alone, and never cut up: each is counted,
        /// and trains go on for what fits.
        @Test func datagramsThatAreTooLongEndNoTrains() throws {
            guard let host = PrivateHost.make("datagramsThatAreTooLongEndNoTrains") else { return }
            let shrunk = try host.run { unsafe system("ip link set lo mtu 1300 2>/dev/null") == 0 }
            guard shrunk else { return print("SKIPPED: datagramsThatAreTooLongEndNoTrains: it needs ip") }
            let (losses, dropped) = try host.run { () -> ([Int32], UInt64) in
                let a = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
                let b = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
                let (losses, drops) = sendTrains(a, b, arrive: false)
                return (losses, drops[.sendTooLarge])
            }
            #expect(losses.isEmpty && dropped == 20 * 6)
        }

        @Test func theWildcardSpeaksBothFamilies() throws {
            let any = try UDPSocket.open(Endpoint(high: 0, low: 0, port: 0), receiveBuffer: 0, sendBuffer: 0)
            #expect(any.facts.hasV4)
            let v4 = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            #expect(send(v4, [[4]], to: target(Fixture.loopback, any.facts.local.port)) == 1)
            let got = receive(any)
            #expect(got.payloads == [[4]] && got.sources == [v4.facts.local])
            #expect(send(any, [[5]], to: v4.facts.local) == 1)
            #expect(receive(v4).payloads == [[5]])
            guard any.facts.hasV6 else { return print("SKIPPED: the IPv6 half: this host has none") }
            let v6 = try UDPSocket.open(Fixture.loopbackV6, receiveBuffer: 0, sendBuffer: 0)
            #expect(send(v6, [[6]], to: target(Fixture.loopbackV6, any.facts.local.port)) == 1)
            #expect(receive(any).sources == [v6.facts.local])
        }

        @Test func errorsSayWhatToDo() throws {
            let first = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            func failure(_ local: Endpoint) -> EngineError? {
                do throws(EngineError) {
                    _ = try UDPSocket.open(local, receiveBuffer: 0, sendBuffer: 0)
                    return nil
                } catch {
                    return error
                }
            }
            let inUse = try #require(failure(first.facts.local))
            #expect(inUse.kind == .addressInUse && inUse.errno == EADDRINUSE)
            #expect(inUse.description.contains("127.0.0.1:\(first.facts.local.port) is in use"))
            // TEST-NET-1 and the documentation prefix: no host has them.
            #expect(failure(Endpoint(v4: 0xC000_0201, port: 0))?.kind == .addressNotAvailable)
            let foreign = failure(Endpoint(IPAddress("2001:db8::1")!, port: 0))?.kind
            #expect(foreign == .addressNotAvailable || foreign == .ipv6Missing)
            for kind in EngineError.Kind.allCases { #expect(!EngineError(kind, "x").description.isEmpty) }
        }

        @Test func addressesConvertBothWays() {
            for endpoint in [
                Endpoint(v4: 0x0102_0304, port: 5), Endpoint(IPAddress("2001:db8::5")!, port: 65535),
                Endpoint(IPAddress("fe80::1")!, port: 1, scope: 7),
            ] {
                #expect(Endpoint(clinux_address(endpoint)) == endpoint)
            }
        }
    }
}
