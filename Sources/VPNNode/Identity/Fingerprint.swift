// SPDX-License-Identifier: Apache-2.0
// A peer_id as a small picture, for two people who compare. A help for the eye, never a check: the digits are the check.
public import VPNCrypto

extension PeerID {
    /// Eight groups of eight digits.
    public var grouped: String {
        stride(from: 0, to: 64, by: 8).map { start in
            String(hex.dropFirst(start).prefix(8))
        }.joined(separator: " ")
    }

    /// A walk over a board of 17×9 fields that the bits of the id steer, two a step; darker signs for fields walked more
    /// often, S and E for its start and end.
    public var picture: String {
        let (width, height) = (17, 9)
        var visits = [Int](repeating: 0, count: width * height)
        var (x, y) = (width / 2, height / 2)
        for byte in bytes {
            for shift in stride(from: 0, to: 8, by: 2) {
                let step = byte >> UInt8(shift) & 3
                x = min(max(x + (step & 1 == 0 ? -1 : 1), 0), width - 1)
                y = min(max(y + (step & 2 == 0 ? -1 : 1), 0), height - 1)
                visits[y * width + x] += 1
            }
        }
        let shades = Array(" .:-=+ox*%&#@")
        let start = height / 2 * width + width / 2
        let rows = (0..<height).map { row in
            let cells = (0..<width).map { column -> Character in
                let place = row * width + column
                if place == y * width + x { return "E" }
                return place == start ? "S" : shades[min(visits[place], shades.count - 1)]
            }
            return "|" + String(cells) + "|"
        }
        let border = "+" + String(repeating: "-", count: width) + "+"
        return ([border] + rows + [border]).joined(separator: "\n")
    }
}
