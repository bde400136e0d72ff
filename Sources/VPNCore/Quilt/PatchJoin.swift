// SPDX-License-Identifier: Apache-2.0
// One patch on its way into a session (§9), at the end that wants it: announced by a way that carries, then shown on its own, with the
// longest packets that it is for. It sends nothing.

struct PatchJoin: Sendable {
    enum Phase: Equatable, Sendable {
        case adding
        case joining
        case joined
        /// Nobody answered: it is tried again later.
        case resting
    }

    /// What is to be said now.
    enum Step: Equatable, Sendable {
        /// By any way that carries.
        case announce(PatchMessage)
        /// By the patch.
        case prove(PatchMessage, remoteIndex: UInt32)
    }

    let number: Int
    let carrier: Carrier
    /// By which datagrams of it find this end.
    let localIndex: UInt32
    private(set) var phase = Phase.adding
    /// When `advance` has something to do.
    private(set) var deadline: Instant
    /// By which they find the other end; 0 until that has told.
    private(set) var remoteIndex: UInt32 = 0
    /// Of inner packets: what is being tried.
    private(set) var mtu: Int
    private var nonce: UInt64 = 0
    private var asked = 0
    private var rests = 0

    init(number: Int, carrier: Carrier, localIndex: UInt32, mtu: Int, deadline: Instant) {
        self.number = number
        self.carrier = carrier
        self.localIndex = localIndex
        self.mtu = mtu
        self.deadline = deadline
    }

    // MARK: - Inputs

    /// What is due; nil if that is nothing.
    ///
    /// - Parameters:
    ///   - isUp: whether the quilt has it, and it carries.
    ///   - wanted: the longest inner packet that the other ways carry.
    mutating func advance(isUp: Bool, wanted: Int, nonce fresh: UInt64, now: Instant) -> Step? {
        guard now >= deadline else { return nil }
        switch phase {
        case .joined:
            guard !isUp || mtu < wanted else {
                deadline = now + Limits.patchProbeDown
                return nil
            }
            begin(remoteIndex == 0 ? .adding : .joining, isUp ? wanted : mtu)
        case .resting: begin(remoteIndex == 0 ? .adding : .joining, wanted)
        case .adding, .joining: break
        }
        guard asked < Limits.patchQuestions else {
            // It may be a way for shorter packets.
            if phase == .joining, mtu > Limits.patchLeastMTU {
                begin(.joining, Limits.patchLeastMTU)
            } else {
                rest(now: now)
                return nil
            }
            return ask(fresh, now: now)
        }
        return ask(fresh, now: now)
    }

    private mutating func begin(_ phase: Phase, _ mtu: Int) {
        self.phase = phase
        self.mtu = mtu
        asked = 0
    }

    private mutating func ask(_ fresh: UInt64, now: Instant) -> Step {
        nonce = fresh
        deadline = now + Limits.patchQuestion * (1 << asked)
        asked += 1
        if phase == .adding { return .announce(PatchMessage(nonce: nonce, patch: number, .add(index: localIndex))) }
        return .prove(PatchMessage(nonce: nonce, patch: number, .join(echo: 0, size: mtu)), remoteIndex: remoteIndex)
    }

    private mutating func rest(now: Instant) {
        // An end that has forgotten the patch is asked anew.
        if rests & 1 == 1 { remoteIndex = 0 }
        phase = .resting
        rests += 1
        deadline = now + Limits.patchRest
    }

    /// The other end's answer to the announcement; false if it is none to that.
    mutating func added(_ message: PatchMessage, index: UInt32, now: Instant) -> Bool {
        guard phase == .adding, message.patch == number, message.nonce == nonce else { return false }
        guard index != 0 else {
            rest(now: now)
            return true
        }
        remoteIndex = index
        begin(.joining, mtu)
        deadline = now
        return true
    }

    /// The other end's answer on the patch itself; false if it is none to what was asked there.
    mutating func joined(_ message: PatchMessage, size: Int, on carrier: Carrier, now: Instant) -> Bool {
        guard phase == .joining, message.patch == number, message.nonce == nonce, size == mtu,
            self.carrier.isHeard(as: carrier)
        else { return false }
        phase = .joined
        rests = 0
        deadline = now + Limits.patchProbeDown
        return true
    }
}
