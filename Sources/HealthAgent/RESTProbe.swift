// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Common
import FoundationEssentials
import NIOCore
import NIOHTTP1
import Serving

/// Well is what answers a `GET` as expected.
///
/// - Source: the original's `rest` check. Its first answer counts: a redirect is not followed.
struct RESTProbe: Probe {
    let port: UInt16
    let path: String
    let expectation: HealthCheckConfig.Expectation
    let timeout: Duration
    let client: HTTPClient

    /// How much of a body is looked at.
    private static let bodyLimit = 1 << 20

    func check() async -> String? {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(self.port)\(self.path)")
        request.headers.add(name: "User-Agent", value: "mesher")
        // Nothing is kept between two checks: what is asked is whether the application takes new connections too.
        request.headers.add(name: "Connection", value: "close")
        do {
            // The body is waited for whatever is expected of it: what hangs after its head is not well.
            let answer = try await self.client.whole(
                request, limit: Self.bodyLimit, timeout: self.timeout, cutsBody: self.expectation.body == nil)
            return self.judge(status: answer.status, body: answer.body)
        } catch is NIOTooManyBytesError {
            return "the body is longer than \(Self.bodyLimit) bytes"
        } catch {
            return "no answer from port \(self.port): \(ConnectionFailure.text(error, within: self.timeout))"
        }
    }

    private func judge(status: Int, body: Data) -> String? {
        if let wanted = self.expectation.status, status != wanted {
            return "status is not \(wanted) but \(status)"
        }
        if let pattern = self.expectation.body {
            let bytes = Array(body)
            return unsafe pattern.isFound(in: bytes.span.bytes) ? nil : "body does not match \(pattern.text)"
        }
        if self.expectation.status == nil, !(200..<400).contains(status) { return "status is \(status)" }
        return nil
    }
}
