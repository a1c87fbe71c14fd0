// SPDX-License-Identifier: Apache-2.0
// request path

/// The open streams of a connection by their identifiers.
///
/// Open addressing with linear probing: identifiers follow one another, so that most are in their own place. What the
/// peer chooses changes nothing but who is whose neighbour; the table grows with the number of streams alone.
package struct StreamTable<Stream: AnyObject> {
    private var keys: [UInt32]
    private var values: [Stream?]
    /// How many there are.
    package private(set) var count = 0
    /// How many are not in their own place.
    private var displaced = 0

    /// An empty table.
    package init() {
        self.keys = Array(repeating: 0, count: 16)
        self.values = Array(repeating: nil, count: 16)
    }

    @inline(__always)
    private var mask: Int { self.keys.count &- 1 }

    @inline(__always)
    private func home(_ id: UInt32) -> Int { Int(id &>> 1) & self.mask }

    /// The stream with this identifier, which is not 0.
    @inline(__always)
    package subscript(id id: UInt32) -> Stream? {
        var place = self.home(id)
        while self.keys[place] != 0 {
            if self.keys[place] == id { return self.values[place] }
            place = (place &+ 1) & self.mask
        }
        return nil
    }

    /// All of them, in no order.
    package var all: [Stream] { self.values.compactMap { $0 } }

    /// Adds a stream that is not there.
    package mutating func insert(_ stream: Stream, _ id: UInt32) {
        if (self.count &+ 1) &* 2 > self.keys.count { self.grow() }
        self.place(stream, id)
        self.count &+= 1
    }

    /// Removes a stream; does nothing when it is not there.
    package mutating func remove(_ id: UInt32) {
        // 0 is how an empty place is marked.
        guard id != 0 else { return }
        var place = self.home(id)
        while self.keys[place] != id {
            if self.keys[place] == 0 { return }
            place = (place &+ 1) & self.mask
        }
        self.count &-= 1
        if place != self.home(id) { self.displaced &-= 1 }
        // Nearly always: nobody stands behind it who would rather be there.
        if self.displaced == 0 {
            self.keys[place] = 0
            self.values[place] = nil
            return
        }
        // Those behind it move up, unless they are in their own place or before it.
        var gap = place
        var next = place
        while true {
            next = (next &+ 1) & self.mask
            if self.keys[next] == 0 { break }
            let home = self.home(self.keys[next])
            if (next &- home) & self.mask >= (next &- gap) & self.mask {
                self.keys[gap] = self.keys[next]
                self.values[gap] = self.values[next]
                if gap == home { self.displaced &-= 1 }
                gap = next
            }
        }
        self.keys[gap] = 0
        self.values[gap] = nil
    }

    private mutating func place(_ stream: Stream, _ id: UInt32) {
        let home = self.home(id)
        var place = home
        while self.keys[place] != 0 { place = (place &+ 1) & self.mask }
        if place != home { self.displaced &+= 1 }
        self.keys[place] = id
        self.values[place] = stream
    }

    private mutating func grow() {
        let old = (self.keys, self.values)
        self.keys = Array(repeating: 0, count: old.0.count * 2)
        self.values = Array(repeating: nil, count: old.0.count * 2)
        self.displaced = 0
        for index in old.0.indices {
            if let stream = old.1[index] { self.place(stream, old.0[index]) }
        }
    }
}
