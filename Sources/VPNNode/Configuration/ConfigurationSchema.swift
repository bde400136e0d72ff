// SPDX-License-Identifier: Apache-2.0
// What a key of the configuration is: the row type of the one table in ConfigurationTable.swift. Reading, checking,
// `config default`, `config show` and the documentation all follow that table.
internal import VPNCore
internal import VPNCrypto

/// Whether a running node can take a new value.
public enum ReloadClass: String, Sendable { case live, restart }

/// The form of a text value.
enum TextForm: Sendable {
    /// 1…maximum bytes of printable UTF-8.
    case printable(maximum: Int)
    /// A file or directory; relative ones start at the directory of the configuration file.
    case path
    /// An IP address to bind to.
    case address
    case interfaceName
    case interfaceAddress
    case prefix
    case peerID
    case endpoint
    /// A host without its port.
    case host
    /// Letters, digits, '-' and '_', so that it can start a directory's name.
    case namePrefix
    case choice([String])

    /// Nil where `text` has the form, else what is wrong with it.
    func complaint(about text: String) -> (message: String, suggestion: String?)? {
        switch self {
        case .printable(let maximum):
            if text.utf8.count > maximum { return ("is longer than \(maximum) bytes", nil) }
            if text.isEmpty { return ("is empty", nil) }
            return text.unicodeScalars.contains(where: \.isInvisible) ? ("has control characters", nil) : nil
        case .path:
            return text.isEmpty || text.unicodeScalars.contains("\0") ? ("is not a path", nil) : nil
        case .address:
            return IPAddress(text) == nil ? ("'\(text)' is not an IPv4 or IPv6 address", nil) : nil
        case .interfaceName:
            let isName = (1...15).contains(text.utf8.count) && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
            let isClean = isName && !text.contains(where: { "/:%".contains($0) }) && text != "." && text != ".."
            return isClean
                ? nil : ("'\(text)' is not an interface name: 1 to 15 bytes without '/', ':', '%' or blanks", nil)
        case .interfaceAddress: return Self.complaint { _ = try InterfaceAddress(text) }
        case .prefix: return Self.complaint { _ = try IPPrefix(text) }
        case .peerID:
            return PeerID(hex: text) == nil ? ("is not a peer_id of 64 hexadecimal digits", nil) : nil
        case .endpoint: return Self.complaint { _ = try EndpointName(text) }
        case .host: return Self.complaint { _ = try EndpointName.host(text) }
        case .namePrefix:
            let isName =
                (1...32).contains(text.utf8.count)
                && text.utf8.allSatisfy { byte in
                    let character = Character(Unicode.Scalar(byte))
                    return byte < 0x80 && (character.isLetter || character.isNumber || "-_".contains(character))
                }
            return isName ? nil : ("'\(text)' is not 1 to 32 letters, digits, '-' or '_'", nil)
        case .choice(let words):
            if words.contains(where: { $0.lowercased() == text.lowercased() }) { return nil }
            return ("'\(text)' is none of \(words.joined(separator: ", "))", Spelling.nearest(to: text, among: words))
        }
    }

    private static func complaint(_ parse: () throws -> Void) -> (message: String, suggestion: String?)? {
        do {
            try parse()
            return nil
        } catch let error as IPPrefixError {
            if case .hostBits(let text, let prefix) = error {
                return ("'\(text)' has bits set behind its length", prefix.description)
            }
            return (error.description, nil)
        } catch {
            return (String(describing: error), nil)
        }
    }
}

extension Unicode.Scalar {
    /// Control and format characters, which could rewrite a terminal's screen, and what is no character, which no YAML holds.
    var isInvisible: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: properties.isNoncharacterCodePoint
        }
    }
}

/// The type of a value.
indirect enum ValueKind: Sendable {
    case boolean
    case integer(ClosedRange<Int>)
    case text(TextForm)
    /// One of the words, or a number in the range.
    case wordOrInteger([String], ClosedRange<Int>)
    case list(of: ValueKind, maximum: Int)
    /// Either of two, by the YAML form: true or false, or a list.
    case booleanOrList(of: ValueKind, maximum: Int)
    /// Either of two, by the YAML form: text or a list.
    case textOrList(TextForm, of: ValueKind, maximum: Int)
    /// A map whose keys have rows of their own, "<path>.<key>" or "<path>[].<key>".
    case map
    /// Either of two, by the YAML form: text or map.
    case textOrMap(TextForm)
    /// Either of two, by the YAML form: true or false, or a map.
    case booleanOrMap

    /// For error messages: "must be …".
    var name: String {
        switch self {
        case .boolean: "true or false"
        case .integer(let range): "a whole number in \(range.lowerBound)…\(range.upperBound)"
        case .text(.choice(let words)): "one of \(words.joined(separator: ", "))"
        case .text(.peerID): "64 hexadecimal digits"
        case .text: "a text"
        case .wordOrInteger(let words, let range):
            "\(words.joined(separator: ", ")) or a whole number in \(range.lowerBound)…\(range.upperBound)"
        case .list(.map, _): "a list of maps"
        case .list: "a list"
        case .booleanOrList: "true, false or a list"
        case .textOrList: "a text or a list"
        case .map: "a map"
        case .textOrMap: "a text or a map"
        case .booleanOrMap: "true, false or a map"
        }
    }
}

/// Which values of a key this version offers.
enum FeatureState: Sendable {
    case available
    /// The feature is not there yet: only these values are accepted.
    case later(accepted: [ConfigurationValue], reason: String)
    /// The value is part of the protocol's security and never another one.
    case mandatory(ConfigurationValue, reason: String)
}

/// One row of the table.
struct ConfigurationKey: Sendable {
    /// "network.listen_port"; "[]" stands for the entries of a list.
    let path: String
    let kind: ValueKind
    /// What counts where the key is absent; nil for keys that must be there, and for those inside lists.
    let fallback: ConfigurationValue?
    let isNullable: Bool
    let isRequired: Bool
    let reload: ReloadClass
    let state: FeatureState
    /// For the comment in `config default`: sentences without a line break.
    let documentation: String

    init(
        _ path: String, _ kind: ValueKind, default fallback: ConfigurationValue? = nil, nullable: Bool = false,
        required: Bool = false, reload: ReloadClass = .restart, state: FeatureState = .available,
        _ documentation: String
    ) {
        self.path = path
        self.kind = kind
        self.fallback = fallback
        isNullable = nullable || fallback == .null
        isRequired = required
        self.reload = reload
        self.state = state
        self.documentation = documentation
    }
}

/// A top-level section that is a map, with the comment above it.
struct ConfigurationSection: Sendable {
    let name: String
    let documentation: String
    let keys: [ConfigurationKey]
    /// The key that `section: <scalar>` stands for ("relay: true").
    let shorthand: String?

    init(_ name: String, _ documentation: String, shorthand: String? = nil, _ keys: [ConfigurationKey]) {
        self.name = name
        self.documentation = documentation
        self.keys = keys
        self.shorthand = shorthand
    }
}
