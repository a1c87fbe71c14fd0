// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import SwiftProtobuf

extension Google_Protobuf_Struct {
    /// The message that xDS v2 writes in its form in JSON.
    ///
    /// - Parameter what: What it is, for people.
    func read<Message: SwiftProtobuf.Message>(
        _ type: Message.Type, of what: String
    ) throws(ResourceMistake) -> Message {
        var options = JSONDecodingOptions()
        options.ignoreUnknownFields = true
        do {
            return try Message(jsonString: self.jsonString(), options: options)
        } catch {
            throw ResourceMistake("\(what) cannot be read")
        }
    }
}

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

    /// What it is called where it is refused.
    var refusedName: String { self.knownName ?? "?" }

    /// The name, as far as it can be told of bytes that may be broken: it is the first field of all kinds of resources.
    var knownName: String? {
        if let name = self.name { return name }
        var head = Array(self.bytes.prefix(3))[...]
        guard head.popFirst() == 0x0A, let low = head.popFirst() else { return nil }
        var (start, length) = (2, Int(low & 0x7F))
        if low >= 0x80 {
            // Names whose length takes three octets are none of Istio.
            guard let high = head.popFirst(), high < 0x80 else { return nil }
            (start, length) = (3, length | Int(high) << 7)
        }
        let bytes = self.bytes.dropFirst(start).prefix(length)
        guard length > 0, bytes.count == length else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}
