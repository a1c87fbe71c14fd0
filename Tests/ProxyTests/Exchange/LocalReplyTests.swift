// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Proxy

/// What a call of gRPC is told where a route has put a status among the fields.
@Suite struct LocalReplyTests {
    private static func reply(_ body: String, _ headers: [LocalReply.Header]) -> LocalReply {
        var reply = LocalReply(status: 403, body: body)
        reply.headers = headers + [.init("x-a", "1")]
        reply.settleGRPC()
        return reply
    }

    @Test(
        "the status of the route counts, and its text where the answer has none; each is told once",
        arguments: [
            ("no", ["grpc-status": "5", "Grpc-Message": "mine"], 5, "no"),
            ("", ["grpc-message": "mine%20"], 7, "mine%20"),
            ("", ["GRPC-STATUS": "9"], 9, ""), ("a b%", [:], 7, "a b%25"), ("", ["grpc-status": "-1"], 7, ""),
        ] as [(String, [String: String], Int, String)])
    func settled(body: String, fields: [String: String], code: Int, message: String) {
        let reply = Self.reply(body, fields.map { LocalReply.Header($0.key, $0.value) })
        #expect(reply.headers == [.init("x-a", "1")])
        #expect(reply.codeOfGRPC == code && reply.messageOfGRPC == message)
        let lines = reply.trailersOnly.headers
        #expect(lines.filter { $0.name.hasPrefix("grpc-") }.map(\.value) == ["\(code)", message])
    }

    @Test("of several statuses the first counts")
    func several() {
        let reply = Self.reply("", [.init("grpc-status", "5"), .init("grpc-status", "6")])
        #expect(reply.codeOfGRPC == 5)
    }
}
