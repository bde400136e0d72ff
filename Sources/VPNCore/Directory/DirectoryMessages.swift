// SPDX-License-Identifier: Apache-2.0
// What nodes say to each other about relays (§7): the payloads of DIRECTORY frames to the byte. Who is asked, and what is believed:
// NodeStateMachine+Directory.

/// A descriptor as lists name it: the first 8 bytes of its peer_id, and its serial.
struct DirectoryName: Hashable {
    static var size: Int { 16 }

    var prefix: UInt64
    var serial: UInt64

    init(prefix: UInt64, serial: UInt64) {
        self.prefix = prefix
        self.serial = serial
    }

    fileprivate init(_ bytes: [UInt8], at offset: Int) {
        prefix = bytes.u64(at: offset)
        serial = bytes.u64(at: offset + 8)
    }
}

enum DirectoryMessage: Equatable {
    /// What there is above this prefix, in order; nil: from the beginning.
    case ask(after: UInt64?)
    /// The answer; `more` where there is more above the last.
    case list(after: UInt64?, names: [DirectoryName], more: Bool)
    /// One piece of a descriptor.
    case fetch(DirectoryName, index: Int)
    /// The answer; `total` 0 and no bytes where there is no such descriptor.
    case piece(DirectoryName, index: Int, total: Int, bytes: [UInt8])

    /// Names in one list: a datagram of less than 1280 bytes on any path that carries IPv6.
    static var mostNames: Int { 64 }
    /// Bytes of a descriptor in each piece but the last.
    static var pieceSize: Int { 1024 }
    /// Of the longest descriptor.
    static var mostPieces: Int { (DescriptorLayout.largest + pieceSize - 1) / pieceSize }

    private static var listHeader: Int { 12 }
    private static var pieceHeader: Int { 24 }

    /// How many bytes a piece of a whole has; nil where there is no such piece.
    static func chunk(_ index: Int, of total: Int) -> Int? {
        guard total <= DescriptorLayout.largest, index >= 0, index * pieceSize < total else { return nil }
        return min(pieceSize, total - index * pieceSize)
    }

    /// Nil for anything that is not exactly such a message.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= Self.listHeader else { return nil }
        switch bytes[0] {
        case 0, 1:
            // A list begins above a prefix; bit 0 says that there is one.
            guard bytes[3] & ~1 == 0, bytes[3] == 1 || bytes.isZero(4..<12) else { return nil }
            let after = bytes[3] == 1 ? bytes.u64(at: 4) : nil
            if bytes[0] == 0 {
                guard bytes.count == Self.listHeader, bytes.isZero(1..<3) else { return nil }
                self = .ask(after: after)
                return
            }
            let count = Int(bytes[1])
            guard count <= Self.mostNames, bytes.count == Self.listHeader + count * DirectoryName.size, bytes[2] <= 1,
                bytes[2] == 0 || count > 0
            else { return nil }
            let names = (0..<count).map { DirectoryName(bytes, at: Self.listHeader + $0 * DirectoryName.size) }
            // Above what was asked for and in order, so that a list cannot run in a circle.
            var last = after
            for name in names {
                if let last, name.prefix <= last { return nil }
                last = name.prefix
            }
            self = .list(after: after, names: names, more: bytes[2] == 1)
        case 2:
            guard bytes.count == 20, Int(bytes[1]) < Self.mostPieces, bytes.isZero(2..<4) else { return nil }
            self = .fetch(DirectoryName(bytes, at: 4), index: Int(bytes[1]))
        case 3:
            guard bytes.count >= Self.pieceHeader, Int(bytes[1]) < Self.mostPieces, bytes.isZero(2..<4),
                bytes.isZero(22..<24)
            else { return nil }
            let total = Int(bytes.u16(at: 20))
            let index = Int(bytes[1])
            guard bytes.count - Self.pieceHeader == (total == 0 ? 0 : Self.chunk(index, of: total)) else { return nil }
            self = .piece(
                DirectoryName(bytes, at: 4), index: index, total: total, bytes: Array(bytes[Self.pieceHeader...]))
        default: return nil
        }
    }

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        func begin(_ name: DirectoryName) {
            bytes.append(bigEndian: name.prefix)
            bytes.append(bigEndian: name.serial)
        }
        switch self {
        case .ask(let after):
            bytes = [0, 0, 0, after == nil ? 0 : 1]
            bytes.append(bigEndian: after ?? 0)
        case .list(let after, let names, let more):
            precondition(names.count <= Self.mostNames, "more names than a list has")
            bytes = [1, UInt8(names.count), more ? 1 : 0, after == nil ? 0 : 1]
            bytes.append(bigEndian: after ?? 0)
            for name in names { begin(name) }
        case .fetch(let name, let index):
            bytes = [2, UInt8(index), 0, 0]
            begin(name)
        case .piece(let name, let index, let total, let chunk):
            bytes = [3, UInt8(index), 0, 0]
            begin(name)
            bytes.append(bigEndian: UInt16(total))
            bytes += [0, 0]
            bytes += chunk
        }
        return bytes
    }
}
