// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
package import Common
import Foundation
import NIOCore
import NIOHTTP1

/// Asks the admin API of a running sidecar.
package enum AdminClient {
    /// Why there is no answer.
    package struct Failure: Error, CustomStringConvertible {
        /// What to tell the user.
        package let description: String
    }

    /// What the sidecar says of a request.
    ///
    /// - Parameter address: `host:port` of its admin listener.
    package static func explain(_ question: ExplainQuestion, at address: String) async throws(Failure) -> Explanation {
        let response: HTTPClientResponse
        let body: ByteBuffer
        do {
            var request = HTTPClientRequest(url: "http://\(address)/v1/mesher/explain")
            request.method = .POST
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(Array(try JSONEncoder().encode(question)))
            response = try await HTTPClient.shared.execute(request, timeout: .seconds(5))
            body = try await response.body.collect(upTo: 16 * 1024 * 1024)
        } catch {
            throw Failure(
                description:
                    "no sidecar answers at \(address) (\(error)); start it with cse.protocols.rest-admin, name its "
                    + "admin listener with --admin host:port, or write --files to go by the configuration alone")
        }
        guard response.status == .ok else {
            throw Failure(description: String(buffer: body).trimmingCharacters(in: .whitespacesAndNewlines))
        }
        do {
            return try JSONDecoder().decode(Explanation.self, from: Data(body.readableBytesView))
        } catch {
            throw Failure(description: "\(address) is no sidecar of this version: \(error)")
        }
    }
}
