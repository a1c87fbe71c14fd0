// SPDX-License-Identifier: Apache-2.0

package import Common

/// A list of additions to a pod, each of which applies after those before it.
///
/// Nothing that exists is removed or written over as a whole.
///
/// - Source: RFC 6902, of which only `add` is used; RFC 6901 for paths.
package struct PodPatch: Sendable {
    /// One `add`.
    package struct Operation: Sendable {
        /// A JSON pointer.
        package let path: String
        /// What is added there.
        package let value: OrderedJSON
    }

    /// In the order in which they are applied.
    package private(set) var operations: [Operation] = []
    private var made: Set<String> = []

    /// Bytes of a document at most.
    ///
    /// Far more than a sidecar needs; and as many answers as there may be clients fit into the memory of the injector.
    package static let longest = 256 << 10
    private var length = 0
    /// Whether it would be longer than ``longest``: then it lacks what was added last.
    package var isTooLong: Bool { self.length > Self.longest }

    /// Nothing.
    package init() {}

    /// The document.
    package var json: OrderedJSON {
        .array(
            self.operations.map {
                .object([("op", .string("add")), ("path", .string($0.path)), ("value", $0.value)])
            })
    }

    /// A name as a part of a path.
    package static func escaped(_ name: String) -> String {
        name.replacing("~", with: "~0").replacing("/", with: "~1")
    }

    private mutating func add(_ path: String, _ value: OrderedJSON) {
        guard !self.isTooLong else { return }
        self.length += path.utf8.count + value.bytes.count
        self.operations.append(Operation(path: path, value: value))
    }

    /// Adds elements at the end of a list.
    ///
    /// - Parameter present: What the pod has there.
    mutating func append(_ elements: [OrderedJSON], to path: String, present: JSONValue?) {
        for element in elements {
            if self.isThere(path, present) {
                self.add("\(path)/-", element)
            } else {
                self.add(path, .array([element]))
            }
        }
    }

    /// Adds an element at the beginning of a list, likewise.
    mutating func prepend(_ element: OrderedJSON, to path: String, present: JSONValue?) {
        if self.isThere(path, present) {
            self.add("\(path)/0", element)
        } else {
            self.add(path, .array([element]))
        }
    }

    /// Adds members to a map; one of the same name is replaced.
    mutating func set(_ members: [(String, OrderedJSON)], in path: String, present: JSONValue?) {
        if members.isEmpty { return }
        if self.isThere(path, present) {
            for (name, value) in members { self.add("\(path)/\(Self.escaped(name))", value) }
        } else {
            self.add(path, .object(members))
        }
    }

    /// Makes a map that the pod does not have at all.
    mutating func require(_ path: String, present: JSONValue?) {
        if present == nil { self.add(path, .object([])) }
    }

    /// Whether there is something at a path already; from now on there is.
    private mutating func isThere(_ path: String, _ present: JSONValue?) -> Bool {
        let isNew = self.made.insert(path).inserted
        return !isNew || present.map { !$0.isEmpty } ?? false
    }
}
