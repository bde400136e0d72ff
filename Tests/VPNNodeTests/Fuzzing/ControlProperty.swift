// SPDX-License-Identifier: Apache-2.0
// One line of the control socket: what is understood as a request means the same when it is said again.
import Foundation
import VPNTesting

@testable import VPNNode

enum ControlProperty {
    private static let verbs = ControlRequest.Verb.allCases.map(\.rawValue)
    private static let fields = [
        "peer", "timeout", "since", "limit", "level", "dry_run", "ways", "together", "networks", "other",
    ]
    private static let values = [
        "\"bob\"", "5", "-1", "1e9", "true", "null", "[]", "[[\"a\",\"b\"],[]]", "[\"10.0.0.0/8\"]", "\"info\"",
        "18446744073709551615",
        "18446744073709551616", "\"\\u0000\"", "\"\\ud800\"", "1.5", "{}",
    ]

    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        let line = kind & 1 == 0 ? built(&input) : input.rest(upTo: 500)
        guard let request = try? JSONDecoder().decode(ControlRequest.self, from: Data(line)) else { return }
        let again = try? JSONDecoder().decode(ControlRequest.self, from: JSONEncoder().encode(request))
        try FuzzFinding.unless(again == request, "\(String(decoding: line, as: UTF8.self)), said again")
        _ = request.isOrder
        guard let question = try? LogRing.Question(request) else { return }
        try FuzzFinding.unless((0...LogRing.capacity).contains(question.limit), "\(question)")
    }

    private static func built(_ input: inout FuzzInput) -> [UInt8] {
        let kind = input.byte()
        let verb = verbs[Int(input.byte()) % verbs.count]
        var parts = ["\"version\":\(kind & 1 == 0 ? 1 : Int(input.byte()))", "\"verb\":\"\(verb)\""]
        for _ in 0..<Int(kind >> 1 & 7) {
            let field = fields[Int(input.byte()) % fields.count]
            parts.append("\"\(field)\":\(values[Int(input.byte()) % values.count])")
        }
        var bytes = Array("{\(parts.joined(separator: ","))}".utf8)
        if kind & 128 != 0 { input.damage(&bytes) }
        return bytes
    }
}
