// SPDX-License-Identifier: Apache-2.0
// Somebody who sits on a way: reads what passes, keeps some of it, alters it, and says it again in other places and at other times.
internal import VPNCore

public struct OnPathAttacker {
    /// Chances for each datagram that passes.
    public struct Mischief: Sendable {
        /// One bit is another.
        public var flip = 0.0
        /// The end is missing.
        public var truncate = 0.0
        public var drop = 0.0
        /// Something that was recorded goes again, the same way or from elsewhere.
        public var replay = 0.0
        /// It goes back to where it came from, as if the other end had said it.
        public var reflect = 0.0
        /// A header that is right before bytes that are not, or a copy with one bit altered.
        public var forge = 0.0

        public init() {}

        /// Spoils what passes, and adds to it.
        public static func all(_ chance: Double) -> Mischief {
            var mischief = adding(chance)
            (mischief.flip, mischief.truncate, mischief.drop) = (chance, chance, chance)
            return mischief
        }

        /// Lets everything pass, and adds to it.
        public static func adding(_ chance: Double) -> Mischief {
            var mischief = Mischief()
            (mischief.replay, mischief.reflect, mischief.forge) = (chance, chance, chance)
            return mischief
        }
    }

    public var mischief: Mischief
    private var random: SeededRandom
    private var recorded: [VirtualDatagram] = []
    private static let memory = 128
    /// What it did.
    public private(set) var acts = 0

    public init(_ mischief: Mischief, seed: UInt64) {
        self.mischief = mischief
        random = SeededRandom(seed: seed)
    }

    /// What becomes of a datagram, and what is put on the wire with it.
    public mutating func meet(_ datagram: VirtualDatagram) -> (VirtualNetwork.Intervention, [VirtualDatagram]) {
        var more: [VirtualDatagram] = []
        if random.chance(mischief.replay), var old = pick() {
            if random.chance(0.3) { old.source.low ^= 0x0100_0000 }
            if random.chance(0.1) { old.destination = datagram.destination }
            more.append(old)
        }
        if random.chance(mischief.reflect) {
            more.append(
                VirtualDatagram(
                    bytes: datagram.bytes, source: datagram.destination, destination: datagram.source))
        }
        if random.chance(mischief.forge) { more.append(forgery(datagram)) }
        record(datagram)
        acts += more.count
        var altered = datagram.bytes
        if random.chance(mischief.drop) {
            acts += 1
            return (.drop, more)
        } else if random.chance(mischief.flip) {
            Self.flip(&altered, &random)
        } else if random.chance(mischief.truncate) {
            altered.removeLast(min(altered.count - 1, 1 + Int(random.fraction(of: UInt64(altered.count - 1)))))
        } else {
            return (.pass, more)
        }
        acts += 1
        return (.replace(altered), more)
    }

    /// One of those that it has kept.
    public mutating func pick() -> VirtualDatagram? {
        recorded.isEmpty ? nil : recorded[Int(random.fraction(of: UInt64(recorded.count - 1)))]
    }

    private mutating func forgery(_ datagram: VirtualDatagram) -> VirtualDatagram {
        var forged = datagram
        if random.chance(0.5) {
            Self.flip(&forged.bytes, &random)
        } else {
            // Version, type, length and receiver index stay.
            let kept = min(8, forged.bytes.count)
            forged.bytes = Array(forged.bytes[..<kept]) + random.bytes(forged.bytes.count - kept)
        }
        return forged
    }

    private static func flip(_ bytes: inout [UInt8], _ random: inout SeededRandom) {
        bytes[Int(random.fraction(of: UInt64(bytes.count - 1)))] ^= 1 << UInt8(random.fraction(of: 7))
    }

    private mutating func record(_ datagram: VirtualDatagram) {
        if recorded.count < Self.memory {
            recorded.append(datagram)
        } else if random.chance(0.1) {
            recorded[Int(random.fraction(of: UInt64(Self.memory - 1)))] = datagram
        }
    }
}
