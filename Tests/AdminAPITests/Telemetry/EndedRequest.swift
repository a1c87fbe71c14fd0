// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import NIOCore

/// A request that is over, as an event loop hands it on.
func ended(
    _ side: CallSide = .consumer, method: String = "GET", target: [UInt8], host: String = "cart",
    _ change: (inout ExchangeRecord) throws -> Void
) rethrows -> ExchangeRecords {
    // Texts of other requests stand around it.
    let before = Array("GET/otherhost".utf8)
    let (method, host) = (Array(method.utf8), Array(host.utf8))
    var record = ExchangeRecord(
        uses: [], side: side, isGRPC: false, status: 200, grpcStatus: nil, reason: nil, attempts: 1, requestBytes: 0,
        responseBytes: 0, startedAt: .uptimeNanoseconds(0), duration: .microseconds(12_345), trace: nil, service: nil,
        endpoints: nil, endpoint: nil, caller: nil, peer: nil, text: before.count, methodLength: method.count,
        targetLength: target.count, hostLength: host.count)
    try change(&record)
    return ExchangeRecords([record], text: before + method + target + host + before, dropped: 0)
}

/// The same with a path of text.
func ended(
    _ side: CallSide = .consumer, method: String = "GET", target: String = "/items?x=1", host: String = "cart",
    _ change: (inout ExchangeRecord) throws -> Void
) rethrows -> ExchangeRecords {
    try ended(side, method: method, target: Array(target.utf8), host: host, change)
}

/// The same with nothing else known.
func ended(method: String = "GET", target: String = "/items?x=1", host: String = "cart") -> ExchangeRecords {
    ended(.consumer, method: method, target: Array(target.utf8), host: host) { _ in }
}

/// A service without instances.
func service(_ name: String) -> Service { Service(name: name, instances: [], ownApp: "default") }

/// JSON with its members in the order of their names, so that what is equal has equal texts.
func sorted(_ json: some Sequence<UInt8>) throws -> String {
    let value = try JSONSerialization.jsonObject(with: Data(json), options: .fragmentsAllowed)
    let data = try JSONSerialization.data(
        withJSONObject: value, options: [.sortedKeys, .withoutEscapingSlashes, .fragmentsAllowed, .prettyPrinted])
    return String(decoding: data, as: UTF8.self)
}

/// The members of a JSON object.
func object(_ json: some Sequence<UInt8>) throws -> [String: Any] {
    try JSONSerialization.jsonObject(with: Data(json)) as? [String: Any] ?? [:]
}
