// SPDX-License-Identifier: Apache-2.0
// What another process has in its memory at one moment, as far as root may read it, and what of that is a secret's.
import Foundation
import Glibc
import Testing

@testable import VPNNode

struct ProcessMemoryImage {
    /// Bytes of a secret that are looked for; blocks of secrets begin at multiples of it.
    static let piece = 32
    private static let page = 4096

    private struct Part {
        let bytes: [UInt8]
        /// Left out of core dumps, as memory of secrets is and nothing else.
        let isSecret: Bool
        /// Of the mapping, for messages.
        let name: String
    }

    private var parts: [Part] = []
    let isWhole: Bool

    init(of process: Int32) throws {
        // Not String(contentsOfFile:), which stops after the first read of a file that the kernel makes up.
        let maps = try #require(FileHandle(forReadingAtPath: "/proc/\(process)/smaps"))
        let memory = try OpenFile("/proc/\(process)/mem", O_RDONLY)
        var missed = 0
        var range: Range<UInt64>?
        var name = ""
        for line in String(decoding: maps.readDataToEndOfFile(), as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            let ends = words[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
            if ends.count == 2 {
                // What is written: code and constants of files hold nothing of a run.
                name = words.count > 5 ? String(words[5]) : "memory"
                range = words[1].hasPrefix("rw") && words.last != "[vvar]" ? ends[0]..<ends[1] : nil
            } else if words[0] == "VmFlags:", let here = range {
                let isSecret = words.contains("dd")
                if let part = Self.read(memory, here) {
                    parts.append(Part(bytes: part, isSecret: isSecret, name: isSecret ? "secrets" : name))
                } else {
                    missed += 1
                }
            }
        }
        // Pages of a file that ends before them.
        isWhole = missed < 4
    }

    private static func read(_ memory: borrowing OpenFile, _ range: Range<UInt64>) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: range.count)
        var done = 0
        while done < bytes.count {
            // SAFETY: the array's own bytes from `done` on, as many as there are.
            let count = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe pread(
                    memory.descriptor, buffer.baseAddress! + done, buffer.count - done,
                    off_t(truncatingIfNeeded: range.lowerBound) + off_t(done))
            }
            guard count > 0 else { return done > 0 ? Array(bytes.prefix(done)) : nil }
            done += count
        }
        return bytes
    }

    var size: Int { parts.reduce(0) { $0 + $1.bytes.count } }

    /// The pieces of secrets that could be nothing else: not zeros, nor lengths and counters.
    var secrets: Set<[UInt8]> {
        var found: Set<[UInt8]> = []
        for part in parts where part.isSecret {
            for place in stride(from: 0, to: part.bytes.count - Self.piece + 1, by: Self.piece) {
                let piece = part.bytes[place..<place + Self.piece]
                if Set(piece).count > 20 { found.insert(Array(piece)) }
            }
        }
        return found
    }

    /// Those of some pieces that are anywhere, at any place, and where the last copy of each is.
    func holding(_ needles: Set<[UInt8]>) -> [[UInt8]: String] {
        var byStart: [UInt64: [[UInt8]]] = [:]
        for needle in needles {
            // SAFETY: a piece is longer than that.
            let start = unsafe needle.withUnsafeBytes { unsafe $0.loadUnaligned(as: UInt64.self) }
            byStart[start, default: []].append(needle)
        }
        // Most places are passed by their first two bytes.
        var starts = [Bool](repeating: false, count: 1 << 16)
        for start in byStart.keys { starts[Int(start & 0xFFFF)] = true }
        let zeros = [UInt8](repeating: 0, count: Self.page)
        var found: [[UInt8]: String] = [:]
        for part in parts {
            // SAFETY: here and below, no place beyond the last that a needle fits is looked at.
            unsafe part.bytes.withUnsafeBytes { bytes in
                var place = 0
                while place + Self.piece <= bytes.count {
                    if place % Self.page == 0, place + Self.page <= bytes.count,
                        unsafe memcmp(bytes.baseAddress! + place, zeros, Self.page) == 0
                    {
                        // The end of a page of zeros may be the beginning of a needle, but of none with many bytes.
                        place += Self.page
                        continue
                    }
                    if starts[Int(unsafe bytes.loadUnaligned(fromByteOffset: place, as: UInt16.self))],
                        let candidates = byStart[unsafe bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self)]
                    {
                        for needle in candidates
                        where unsafe memcmp(bytes.baseAddress! + place, needle, Self.piece) == 0 {
                            found[needle] = "\(part.name) of \(part.bytes.count) bytes at \(place)"
                        }
                    }
                    place += 1
                }
            }
        }
        return found
    }

    func contains(_ needle: [UInt8]) -> Bool { parts.contains { Self.holds($0.bytes, needle) } }

    private static func holds(_ part: [UInt8], _ needle: [UInt8]) -> Bool {
        // SAFETY: both buffers live for the call, and no place beyond the last that fits is looked at.
        unsafe part.withUnsafeBytes { part in
            unsafe needle.withUnsafeBytes { needle in
                var place = 0
                while place + needle.count <= part.count {
                    let rest = unsafe part.baseAddress! + place
                    guard let found = unsafe memchr(rest, Int32(needle[0]), part.count - needle.count - place + 1)
                    else {
                        return false
                    }
                    place += unsafe UnsafeRawPointer(found) - rest
                    if unsafe memcmp(part.baseAddress! + place, needle.baseAddress!, needle.count) == 0 { return true }
                    place += 1
                }
                return false
            }
        }
    }
}
