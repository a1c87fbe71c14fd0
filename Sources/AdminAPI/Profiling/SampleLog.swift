// SPDX-License-Identifier: Apache-2.0

/// Reads what the signal handler has written: see `cmesher_profile_samples`.
enum SampleLog {
    /// Clock periods by stack.
    ///
    /// A stack is cut where an address is not that of code, which a frame pointer that was none leads to. Return
    /// addresses become ones inside the call instruction, so that they belong to the caller and its line.
    ///
    /// - Parameter words: Samples up to a zero word, or to one that cannot be right.
    /// - Parameter isCode: Whether an address may be executed.
    static func stacks(in words: Span<UInt64>, isCode: (UInt) -> Bool) -> [[UInt]: Int] {
        var stacks: [[UInt]: Int] = [:]
        var place = 0
        while place < words.count, words[place] != 0 {
            let depth = Int(words[place] & 0xffff_ffff)
            let periods = Int(words[place] >> 32)
            guard depth > 0, depth < words.count - place else { break }
            var stack: [UInt] = []
            stack.reserveCapacity(depth)
            for index in (place + 1)...(place + depth) {
                let address = UInt(words[index])
                guard index > place + 1 else {
                    stack.append(address)
                    continue
                }
                guard address > 0, isCode(address - 1) else { break }
                stack.append(address - 1)
            }
            stacks[stack, default: 0] += periods
            place += depth + 1
        }
        return stacks
    }
}
