// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import SwiftProtobuf

extension ResourceUpdate.Resource {
    /// What it says.
    func read<Message: SwiftProtobuf.Message>(
        _ type: Message.Type, _ kind: ResourceKind
    ) throws(ResourceMistake) -> Message {
        guard self.typeURL == kind.typeURL else { throw ResourceMistake("it is of the type \"\(self.typeURL)\"") }
        do {
            return try Message(serializedBytes: self.bytes)
        } catch {
            throw ResourceMistake(
                "its bytes are no \(Message.protoMessageName.split(separator: ".").last ?? "message")")
        }
    }

    /// The name, as far as it can be told of bytes that may be broken: it is the first field of all kinds of resources.
    var knownName: String? {
        if let name = self.name { return name }
        // A name whose length takes three bytes is nobody's.
        let bytes = Array(self.bytes.prefix(3 + 0x3FFF))
        guard bytes.count > 2, bytes[0] == 0x0A else { return nil }
        let isLong = bytes[1] >= 0x80
        guard !isLong || bytes[2] < 0x80 else { return nil }
        let (start, length) = isLong ? (3, Int(bytes[1] & 0x7F) | Int(bytes[2]) << 7) : (2, Int(bytes[1]))
        guard length > 0, bytes.count >= start + length else { return nil }
        return String(validating: bytes[start..<start + length], as: UTF8.self)
    }
}
