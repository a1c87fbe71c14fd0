// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Testing

@testable import Mesher

/// What `mesher tap` writes.
@Suite struct TapTextTests {
    private func request(_ change: (inout TappedRequest) -> Void = { _ in }) throws -> TappedRequest {
        let json = """
            {"time": 1700000000.5, "direction": "outgoing", "method": "GET", "path": "/items", "service": "cart",
             "status": 200, "milliseconds": 12.345, "attempts": 1}
            """
        var request = try JSONDecoder().decode(TappedRequest.self, from: Data(json.utf8))
        change(&request)
        return request
    }

    /// The words of a line.
    private func words(_ request: TappedRequest) -> [String] {
        TapText.line(request).split(separator: " ").map { String($0) }
    }

    @Test("a call that goes out")
    func outgoing() throws {
        let request = try self.request { $0.endpoint = "rest://10.0.0.5:8080" }
        #expect(
            self.words(request) == [
                "22:13:20.500Z", "out", "200", "12.3", "1", "cart", "rest://10.0.0.5:8080", "GET", "/items",
            ])
    }

    @Test("a call that comes in, and ends badly")
    func incoming() throws {
        let request = try self.request { request in
            (request.direction, request.caller, request.status) = ("incoming", "shop", 502)
            (request.grpcStatus, request.attempts, request.reason) = (14, 3, "connect_failed")
            request.traceId = "00000000000000010000000000000002"
        }
        #expect(
            self.words(request) == [
                "22:13:20.500Z", "in", "502/14", "12.3", "3", "shop", "-", "GET", "/items", "connect_failed", "trace",
                "00000000000000010000000000000002",
            ])
    }

    @Test("columns stand below their names")
    func columns() throws {
        let line = TapText.line(try self.request())
        for (name, cell) in [("TIME", "22:13"), ("SERVICE", "cart"), ("REQUEST", "GET /items")] {
            let column = TapText.head.ranges(of: name).first?.lowerBound
            #expect(column != nil && column == line.ranges(of: cell).first?.lowerBound)
        }
    }

    @Test("what others say drives no terminal, and a clock that is none ends nothing")
    func hostile() throws {
        var request = try self.request()
        (request.path, request.service) = ("/\u{1b}[2J\n", "ca\u{202e}rt")
        for time in [-1, Double.infinity, 1e300] {
            request.time = time
            #expect(TapText.line(request).unicodeScalars.allSatisfy { $0.value >= 0x20 && $0 != "\u{202e}" })
        }
    }

    @Test(
        "the end says how many there were",
        arguments: [
            (0, 0, "0 requests"), (1, 0, "1 request"),
            (2, 7, "2 requests; 7 more were dropped, since they came faster than they could be shown"),
        ])
    func end(shown: Int, dropped: Int, text: String) {
        #expect(TapText.end(shown: shown, dropped: dropped) == text)
    }
}
