// SPDX-License-Identifier: Apache-2.0

/// Takes a message apart again, strictly: fields in their order, by number.
struct ProtobufReader {
    /// What a field holds.
    enum Value: Equatable {
        case number(UInt64)
        case bytes([UInt8])
    }

    /// The bytes are no message.
    struct Malformed: Error {}

    /// All fields, in the order in which they stand.
    let fields: [(number: Int, value: Value)]

    init(_ bytes: [UInt8]) throws(Malformed) {
        var place = 0
        var fields: [(number: Int, value: Value)] = []
        while place < bytes.count {
            let key = try Self.varint(bytes, &place)
            switch key & 7 {
            case 0: fields.append((Int(key >> 3), .number(try Self.varint(bytes, &place))))
            case 2:
                let length = Int(try Self.varint(bytes, &place))
                guard length <= bytes.count - place else { throw Malformed() }
                fields.append((Int(key >> 3), .bytes(Array(bytes[place..<place + length]))))
                place += length
            default: throw Malformed()
            }
        }
        self.fields = fields
    }

    /// The numbers of fields of this number; packed ones in their order.
    func numbers(_ field: Int) throws(Malformed) -> [UInt64] {
        var numbers: [UInt64] = []
        for found in self.fields where found.number == field {
            switch found.value {
            case .number(let number): numbers.append(number)
            case .bytes(let packed):
                var place = 0
                while place < packed.count { numbers.append(try Self.varint(packed, &place)) }
            }
        }
        return numbers
    }

    /// The one number of this field, 0 when it is absent.
    func number(_ field: Int) throws(Malformed) -> UInt64 {
        let numbers = try self.numbers(field)
        guard numbers.count < 2 else { throw Malformed() }
        return numbers.first ?? 0
    }

    /// The texts of a repeated field.
    func texts(_ field: Int) -> [String] { self.payloads(field).map { String(decoding: $0, as: UTF8.self) } }

    /// The messages of a repeated field.
    func messages(_ field: Int) throws(Malformed) -> [ProtobufReader] {
        var messages: [ProtobufReader] = []
        for payload in self.payloads(field) { messages.append(try ProtobufReader(payload)) }
        return messages
    }

    private func payloads(_ field: Int) -> [[UInt8]] {
        self.fields.compactMap { found in
            guard found.number == field, case .bytes(let bytes) = found.value else { return nil }
            return bytes
        }
    }

    private static func varint(_ bytes: [UInt8], _ place: inout Int) throws(Malformed) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            guard place < bytes.count else { throw Malformed() }
            let byte = bytes[place]
            place += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        throw Malformed()
    }
}
