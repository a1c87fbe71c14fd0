// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing
import TestSupport

@Suite struct CallerTests {
    private func caller(_ fields: [String], peer: String?) throws -> Caller {
        let directory = try TestExchange.directory([
            "web": ["rest://10.0.0.1:80"], "local": ["rest://127.0.0.1:80"], "a": ["rest://10.0.0.2:80"],
            "b": ["rest://10.0.0.2:81"],
        ])
        return try TestExchange.with(["GET / HTTP/1.1", "Host: x"] + fields, directory: directory, peer: peer) {
            exchange in
            let first = exchange.caller()
            // Found once: what a stage changes later does not change who asked.
            exchange.requestHeaders.remove(.xCseContext)
            #expect(exchange.caller() == first)
            return first
        }
    }

    @Test(
        "by context, by header, by address, in this order",
        arguments: [
            (["x-cse-context: {\"x-cse-src-microservice\":\"one\"}", "x-cse-src-microservice: two"], "one"),
            (["x-cse-src-microservice: two"], "two"),
            (["x-cse-context: not json", "x-cse-src-microservice: two"], "two"),
            (["x-cse-context: {\"x-cse-src-microservice\":\"\"}"], "web"), ([], "web"),
        ])
    func order(fields: [String], expected: String) throws {
        let caller = try self.caller(fields, peer: "10.0.0.1")
        #expect(caller.service == expected)
        #expect((caller.tags != nil) == (expected == "web"), "the registry knows more than a header")
    }

    @Test(
        "an address tells nothing when it is this machine's, shared or unknown",
        arguments: ["127.0.0.1", "10.0.0.2", "10.9.9.9", "::1"])
    func unknown(peer: String) throws { #expect(try self.caller([], peer: peer) == Caller()) }

    @Test("an address tells version and application too")
    func tags() throws {
        #expect(try self.caller([], peer: "10.0.0.1").tags == .init(version: "1.0.0", app: "shop"))
        #expect(try self.caller([], peer: nil) == Caller())
    }
}
