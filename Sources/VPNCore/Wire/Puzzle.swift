// SPDX-License-Identifier: Apache-2.0
// The puzzle of §4: work that an initiator does for a responder under load, and that the responder checks with one hash.
internal import VPNCrypto

enum Puzzle {
    /// Whether SHA-256(label ‖ cookie ‖ sender index ‖ x) starts with `difficulty` zero bits.
    static func verifies(_ solution: [UInt8], cookie: [UInt8], senderIndex: UInt32, difficulty: UInt8) -> Bool {
        if difficulty == 0 { return true }
        var input = Labels.Cookie.puzzle
        input += cookie
        input.append(bigEndian: senderIndex)
        let digest = Hash.sha256(input, solution)
        return digest.u64(at: 0).leadingZeroBitCount >= Int(difficulty)
    }

    /// The first 8-byte x from `start` on that solves it: 2^difficulty hashes on average, difficulty ≤ 20. Runs as a job. A random
    /// `start` leaves no byte that can be foretold, at difficulty 0 either.
    static func solve(cookie: [UInt8], senderIndex: UInt32, difficulty: UInt8, from start: UInt64) -> [UInt8] {
        var candidate = start
        while true {
            var solution = [UInt8]()
            solution.append(bigEndian: candidate)
            if verifies(solution, cookie: cookie, senderIndex: senderIndex, difficulty: difficulty) { return solution }
            candidate &+= 1
        }
    }
}
