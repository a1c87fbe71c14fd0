// SPDX-License-Identifier: Apache-2.0

import Common
import Support

/// Any bytes as a file of YAML.
///
/// What must hold: nothing traps; what is refused has a place inside of the file, and a remedy; what is read says the same
/// when it is written as JSON and read again, but for the `?` without which a key must be short.
@main enum FuzzYAML {
    static func main() {
        unsafe fuzz { start, count in unsafe check(Array(UnsafeBufferPointer(start: start, count: count))) }
    }
}

private func check(_ input: [UInt8]) -> CInt {
    let tree: ConfigTree
    do throws(ConfigProblem) {
        tree = try ConfigTree(yaml: input, source: "f")
    } catch {
        let lines = input.count { $0 == 0x0a || $0 == 0x0d || $0 == 0x85 || $0 == 0xa8 || $0 == 0xa9 } + 1
        precondition((1...lines + 1).contains(error.location.line) && error.location.column >= 1, "\(error)")
        precondition(!error.problem.isEmpty && !error.remedy.isEmpty, "\(error)")
        return 0
    }
    // References may make much of little.
    guard size(tree) < 100_000 else { return 0 }
    let written = json(tree)
    do throws(ConfigProblem) {
        let again = try ConfigTree(yaml: written, source: "f")
        precondition(again.plain == tree.plain, "\(again.plain) instead of \(tree.plain)")
    } catch {
        preconditionFailure("\(error): \(written)")
    }
    return 0
}

private func size(_ tree: ConfigTree) -> Int {
    switch tree {
    case .null: 1
    case .text(let text, _): 1 + text.utf8.count
    case .list(let list, _): list.reduce(1) { $0 + size($1) }
    case .map(let entries, _): entries.reduce(1) { $0 + $1.key.utf8.count + size($1.value) }
    }
}

private func json(_ tree: ConfigTree) -> String {
    switch tree {
    case .null: "null"
    case .text(let text, _): quoted(text)
    case .list(let list, _): "[\(list.map(json).joined(separator: ", "))]"
    case .map(let entries, _): "{\(entries.map { "? \(quoted($0.key)) : \(json($0.value))" }.joined(separator: ", "))}"
    }
}

/// Every scalar by its number, so that no character of it has a meaning.
private func quoted(_ text: String) -> String {
    let scalars = text.unicodeScalars.map { scalar in
        let digits = String(scalar.value, radix: 16)
        return "\\U" + String(repeating: "0", count: 8 - digits.count) + digits
    }
    return "\"\(scalars.joined())\""
}
