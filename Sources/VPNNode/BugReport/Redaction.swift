// SPDX-License-Identifier: Apache-2.0
// Takes out of a text what is somebody's: addresses, names that it was told, and whatever looks like a key or a token, in the
// spellings in which they occur. The same thing becomes the same mark each time, so that a reader can still follow it. It knows
// no file and no format; what was never put into a text is safer than what is taken out of it.
internal import VPNCore

struct Redaction {
    enum Kind: String, CaseIterable {
        case ipv4, ipv6, name, hex, base64, link
    }

    /// How many different things of each kind were taken out.
    private(set) var counts: [Kind: Int] = [:]
    private var marks: [String: String] = [:]
    /// Names, by their first byte, the longest first.
    private var names: [UInt8: [[UInt8]]] = [:]

    /// A digit of a key has 4 or 6 bits: a token of 16 bytes has 32 or 22 of them, and a cut one is still no word.
    private static let shortestCode = 20
    private static let linkPrefix = Array("pqvpn://".utf8)
    /// Networks that everybody has: they tell nothing of anybody.
    private static let commonNetworks = Set(
        (HostNumbers.usualLAN + HostNumbers.localMulticast).map { $0.address.description })

    /// Long words of our own that have capitals.
    private static let ownWords = Set(
        ConfigurationTable.rows.keys.compactMap { $0.split(separator: ".").last.map(String.init) })

    /// From now on this name is taken out where it stands as a word of its own, as it is and as JSON has it.
    mutating func learn(_ name: String) {
        for form in Set([name, name.lowercased(), String(ConfigurationValue.quoted(name).dropFirst().dropLast())]) {
            let bytes = Array(form.utf8)
            guard let first = bytes.first, names[first]?.contains(bytes) != true else { continue }
            names[first, default: []].append(bytes)
            names[first]?.sort { $0.count > $1.count }
        }
    }

    mutating func redacted(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var place = 0
        while place < bytes.count {
            if let (end, kind) = find(in: bytes, at: place) {
                result += mark(String(decoding: bytes[place..<end], as: UTF8.self), kind).utf8
                place = end
            } else {
                result.append(bytes[place])
                place += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private mutating func mark(_ thing: String, _ kind: Kind) -> String {
        // A peer_id in capitals is the same one.
        let key = kind == .hex || kind == .ipv6 ? thing.lowercased() : thing
        if let mark = marks[key] { return mark }
        let number = counts[kind, default: 0] + 1
        counts[kind] = number
        let mark = "<\(kind.rawValue)-\(number)>"
        marks[key] = mark
        return mark
    }

    // MARK: Finding

    private func find(in bytes: [UInt8], at place: Int) -> (end: Int, Kind)? {
        let before = place > 0 ? bytes[place - 1] : UInt8(ascii: " ")
        let byte = bytes[place]
        if byte | 0x20 == UInt8(ascii: "p"), let end = Self.link(in: bytes, at: place) { return (end, .link) }
        if !Self.isWord(before), let end = name(in: bytes, at: place) { return (end, .name) }
        if let end = Self.address6(in: bytes, at: place, before) { return (end, .ipv6) }
        if let end = Self.address4(in: bytes, at: place, before) { return (end, .ipv4) }
        if !Self.isCode(before), let end = Self.code(in: bytes, at: place) { return (end, .base64) }
        if !Self.isHex(before), let end = Self.digits(in: bytes, at: place) { return (end, .hex) }
        return nil
    }

    /// The first place from `start` on where a byte is none of these.
    private static func end(of bytes: [UInt8], from start: Int, while isOne: (UInt8) -> Bool) -> Int {
        var end = start
        while end < bytes.count, isOne(bytes[end]) { end += 1 }
        return end
    }

    private static func link(in bytes: [UInt8], at place: Int) -> Int? {
        guard bytes.count - place >= linkPrefix.count,
            zip(bytes[place...], linkPrefix).allSatisfy({ $0 | 0x20 == $1 | 0x20 })
        else { return nil }
        return end(of: bytes, from: place) { $0 > 0x20 && !"\"'<>`\\".utf8.contains($0) }
    }

    private func name(in bytes: [UInt8], at place: Int) -> Int? {
        for name in names[bytes[place]] ?? [] where bytes.count - place >= name.count {
            let end = place + name.count
            guard bytes[place..<end].elementsEqual(name) else { continue }
            let isWhole = end == bytes.count || !Self.isWord(bytes[end])
            // One or two letters are a name only where they are quoted, else every "a" would be one.
            let isQuoted =
                place > 0 && end < bytes.count && bytes[place - 1] == bytes[end] && "\"'".utf8.contains(bytes[end])
            if isWhole, name.count > 2 || isQuoted { return end }
        }
        return nil
    }

    private static func address6(in bytes: [UInt8], at place: Int, _ before: UInt8) -> Int? {
        guard isHex(bytes[place]) || bytes[place] == UInt8(ascii: ":"), !isWord(before), !".:".utf8.contains(before)
        else { return nil }
        var end = end(of: bytes, from: place) { isHex($0) || ".:".utf8.contains($0) }
        guard bytes[place..<end].count(where: { $0 == UInt8(ascii: ":") }) >= 2 else { return nil }
        // The end of a sentence, or a colon behind it.
        while end > place {
            let text = String(decoding: bytes[place..<end], as: UTF8.self)
            if let address = IPAddress(text) {
                // Nobody's, this host's, or everybody's.
                return address.family == .v6 && address.value > 1 && !isCommon(address, bytes, end) ? end : nil
            }
            guard ".:".utf8.contains(bytes[end - 1]) else { return nil }
            end -= 1
        }
        return nil
    }

    private static func address4(in bytes: [UInt8], at place: Int, _ before: UInt8) -> Int? {
        guard isDigit(bytes[place]), !isDigit(before), before != UInt8(ascii: ".") else { return nil }
        var end = place
        for part in 0..<4 {
            if part > 0 {
                guard end < bytes.count, bytes[end] == UInt8(ascii: ".") else { return nil }
                end += 1
            }
            let start = end
            end = self.end(of: bytes, from: start, while: isDigit)
            guard (1...3).contains(end - start) else { return nil }
        }
        guard let address = IPAddress(String(decoding: bytes[place..<end], as: UTF8.self)) else { return nil }
        let isOwn = bytes[place..<end].starts(with: "127.".utf8) || address.value == 0
        return isOwn || isCommon(address, bytes, end) ? nil : end
    }

    /// Whether it is the beginning of a network that every host knows, written as such.
    private static func isCommon(_ address: IPAddress, _ bytes: [UInt8], _ end: Int) -> Bool {
        let isNetwork = end < bytes.count && "/-".utf8.contains(bytes[end])
        return (isNetwork || address.description == "255.255.255.255")
            && commonNetworks.contains(address.description)
    }

    /// Base64 in either alphabet: capitals and small letters in one long word.
    private static func code(in bytes: [UInt8], at place: Int) -> Int? {
        guard isCode(bytes[place]) else { return nil }
        let end = end(of: bytes, from: place, while: isCode)
        let word = bytes[place..<end]
        guard word.count >= shortestCode, !ownWords.contains(String(decoding: word, as: UTF8.self)),
            word.contains(where: { (0x41...0x5A).contains($0) }), word.contains(where: { (0x61...0x7A).contains($0) })
        else { return nil }
        return self.end(of: bytes, from: end) { $0 == UInt8(ascii: "=") }
    }

    /// Hexadecimal digits. Decimal numbers of a counter have 20 at most.
    private static func digits(in bytes: [UInt8], at place: Int) -> Int? {
        guard isHex(bytes[place]) else { return nil }
        let end = end(of: bytes, from: place, while: isHex)
        let isNumber = bytes[place..<end].allSatisfy(isDigit)
        return end - place >= shortestCode + (isNumber ? 1 : 0) ? end : nil
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func isHex(_ byte: UInt8) -> Bool { isDigit(byte) || (0x61...0x66).contains(byte | 0x20) }

    /// A byte of a word in any language.
    private static func isWord(_ byte: UInt8) -> Bool {
        isDigit(byte) || (0x61...0x7A).contains(byte | 0x20) || byte >= 0x80
    }

    private static func isCode(_ byte: UInt8) -> Bool {
        isDigit(byte) || (0x61...0x7A).contains(byte | 0x20) || "+/-_".utf8.contains(byte)
    }
}
