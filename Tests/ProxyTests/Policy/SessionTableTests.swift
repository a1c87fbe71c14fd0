// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy
import Testing

@Suite struct SessionTableTests {
    /// A table as the tests talk to it.
    private struct Client {
        let table: SessionTable

        func endpoint(_ id: String, at second: Double) -> String? {
            let bytes = Array(id.utf8)
            return self.table.endpoint(of: bytes.rawSpan, at: .at(.seconds(second)))
        }

        func remember(_ id: String, _ endpoint: String, at second: Double) {
            let bytes = Array(id.utf8)
            self.table.remember(bytes.rawSpan, endpoint: endpoint, at: .at(.seconds(second)))
        }

        func refresh(_ id: String, at second: Double) -> Bool {
            let bytes = Array(id.utf8)
            return self.table.refresh(bytes.rawSpan, at: .at(.seconds(second)))
        }

        func failed(_ id: String, at second: Double) -> Bool {
            let bytes = Array(id.utf8)
            return self.table.failed(bytes.rawSpan, at: .at(.seconds(second)))
        }

        func succeeded(_ id: String, at second: Double) {
            let bytes = Array(id.utf8)
            self.table.succeeded(bytes.rawSpan, at: .at(.seconds(second)))
        }
    }

    @Test("keeps a session for the timeout after its last use")
    func expiry() {
        let client = Client(table: SessionTable())
        #expect(client.endpoint("a", at: 1) == nil)
        #expect(!client.refresh("a", at: 1))
        client.remember("a", "10.0.0.1:80", at: 1)
        #expect(client.endpoint("a", at: 30.9) == "10.0.0.1:80")
        #expect(client.refresh("a", at: 30.9))
        #expect(client.endpoint("a", at: 60.8) == "10.0.0.1:80")
        #expect(client.endpoint("a", at: 60.9) == nil)
        #expect(!client.refresh("a", at: 61))
        client.remember("a", "10.0.0.2:80", at: 62)
        client.remember("a", "10.0.0.3:80", at: 63)
        #expect(client.endpoint("a", at: 92.9) == "10.0.0.3:80")
        #expect(client.table.count == 1)
    }

    @Test("ends a session after so many failures in a row")
    func failures() {
        let client = Client(table: SessionTable(failureLimit: 3))
        client.remember("a", "x", at: 1)
        #expect(!client.failed("a", at: 1) && !client.failed("a", at: 1))
        client.succeeded("a", at: 1)
        #expect(!client.failed("a", at: 1) && !client.failed("a", at: 1))
        #expect(client.failed("a", at: 1))
        #expect(client.endpoint("a", at: 1) == nil)
        #expect(!client.failed("a", at: 1))
        client.remember("a", "y", at: 1)
        #expect(!client.failed("a", at: 1) && !client.failed("a", at: 1))
        client.remember("a", "z", at: 1)
        #expect(!client.failed("a", at: 1) && !client.failed("a", at: 1) && client.failed("a", at: 1))
    }

    @Test("sweeps what expired, and drops the session that was not used for longest when it is full")
    func bounded() {
        let client = Client(table: SessionTable(capacity: 3))
        for (index, id) in ["a", "b", "c"].enumerated() { client.remember(id, id, at: Double(index + 1)) }
        #expect(client.refresh("a", at: 4))
        client.remember("d", "d", at: 5)
        #expect(["a", "b", "c", "d"].map { client.endpoint($0, at: 5) } == ["a", nil, "c", "d"])
        client.remember("e", "e", at: 34)
        #expect(["a", "c", "d", "e"].map { client.endpoint($0, at: 34) } == [nil, nil, "d", "e"])
        #expect(client.table.count == 2)
    }

    @Test("a large table in parts holds as many, and keeps those that came last")
    func parts() {
        let client = Client(table: SessionTable(capacity: 1_600))
        for number in 0..<10_000 { client.remember("\(number)", "e", at: 1) }
        #expect(1_500...1_600 ~= client.table.count)
        #expect((9_000..<10_000).allSatisfy { client.endpoint("\($0)", at: 1) == "e" })
    }

    @Test("agrees with a plain dictionary over many random steps", arguments: [1_000, 100_000])
    func model(capacity: Int) {
        var random = FastRandom(seed: 6)
        let client = Client(table: SessionTable(timeout: .seconds(10), failureLimit: 1, capacity: capacity))
        var model: [String: (endpoint: String, until: Double)] = [:]
        for step in 0..<20_000 {
            let (id, second) = ("\(Int.random(in: 0..<200, using: &random))", Double(step) / 16)
            let known = model[id].flatMap { $0.until > second ? $0.endpoint : nil }
            #expect(client.endpoint(id, at: second) == known)
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                client.remember(id, "\(step)", at: second)
                model[id] = ("\(step)", second + 10)
            case 1:
                #expect(client.refresh(id, at: second) == (known != nil))
                if known != nil { model[id]?.until = second + 10 }
            case 2:
                #expect(client.failed(id, at: second) == (known != nil))
                model[id] = nil
            default: client.succeeded(id, at: second)
            }
        }
        #expect(client.table.count <= 200)
    }

    @Test("takes no ids that are empty or too long")
    func lengths() {
        let client = Client(table: SessionTable())
        let longest = String(repeating: "x", count: SessionTable.longestID)
        client.remember("", "e", at: 1)
        client.remember(longest + "x", "e", at: 1)
        #expect(client.table.count == 0)
        client.remember(longest, "e", at: 1)
        #expect(client.endpoint(longest, at: 1) == "e")
    }

    @Test(
        "writes base64url with padding",
        arguments: [
            ([], ""), ([0], "AA=="), ([0xff], "_w=="), ([0xfb, 0xef], "--8="), ([0x66, 0x6f, 0x6f], "Zm9v"),
            (Array("foobar".utf8), "Zm9vYmFy"), (Array("fooba".utf8), "Zm9vYmE="), (Array("foob".utf8), "Zm9vYg=="),
        ] as [([UInt8], String)])
    func base64URL(bytes: [UInt8], text: String) { #expect(SessionTable.base64URL(bytes) == text) }

    @Test("makes ids of 32 bytes, each one new")
    func newID() {
        let ids = (0..<1_000).map { _ in SessionTable.newID() }
        #expect(Set(ids).count == 1_000)
        #expect(ids.allSatisfy { $0.utf8.count == 44 && $0.hasSuffix("=") && !$0.hasSuffix("==") })
    }
}
