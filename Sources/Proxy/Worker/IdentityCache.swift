// SPDX-License-Identifier: Apache-2.0
// request path

/// Finds again what belongs to an object, for what every request looks up: hashing for a dictionary takes longer than all
/// the rest of the look-up.
///
/// Each object has one of 64 places, which it may share with others: whoever asks has to check whether what is there is
/// what belongs to the object.
struct IdentityCache<Value: AnyObject> {
    private static var size: Int { 64 }

    private var places = [Value?](repeating: nil, count: Self.size)

    /// What stands in the place of `owner`.
    @inline(__always)
    subscript(owner: some AnyObject) -> Value? {
        get { self.places[Self.place(of: owner)] }
        set { self.places[Self.place(of: owner)] = newValue }
    }

    /// Addresses are multiples of 16, and often of more.
    @inline(__always)
    private static func place(of owner: some AnyObject) -> Int {
        let address = UInt(bitPattern: ObjectIdentifier(owner))
        return Int(truncatingIfNeeded: (address &>> 4) ^ (address &>> 10)) & (Self.size &- 1)
    }
}
