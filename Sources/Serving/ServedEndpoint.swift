// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes
package import HummingbirdCore

/// One endpoint of a server of ours: what answers, and what a document of its API says of it.
package struct ServedEndpoint: Sendable {
    /// A request for it.
    package struct Call: Sendable {
        /// The request.
        package let request: Request
        /// The segments of the path that stand for a name in braces.
        package let parameters: [String: String]
    }

    /// A parameter behind the `?`, which may be left out.
    package struct Query: Sendable {
        /// Its name.
        package let name: String
        /// One sentence.
        package let summary: String

        /// A parameter.
        package init(_ name: String, _ summary: String) {
            self.name = name
            self.summary = summary
        }
    }

    /// What answers; whatever it throws is an answer of 500, but for a ``Refusal``.
    package typealias Handler = @Sendable (Call) async throws -> Response

    /// The one that it is for; GET is HEAD as well.
    package let method: HTTPRequest.Method
    /// `{name}` stands for one segment.
    package let path: String
    /// One sentence.
    package let summary: String
    /// The content type of its answer.
    package let content: String
    /// What may be asked for behind the `?`.
    package let queries: [Query]
    /// Whether it answers nobody without the token.
    package let isGuarded: Bool
    /// What answers.
    package let handle: Handler

    /// An endpoint.
    package init(
        _ method: HTTPRequest.Method, _ path: String, _ summary: String, content: String = "application/json",
        queries: [Query] = [], isGuarded: Bool = false, _ handle: @escaping Handler
    ) {
        self.method = method
        self.path = path
        self.summary = summary
        self.content = content
        self.queries = queries
        self.isGuarded = isGuarded
        self.handle = handle
    }
}

/// Why a request is answered with another status than 200.
package struct Refusal: Error {
    /// The status.
    package let status: HTTPResponse.Status
    /// What is wrong with the request, for whoever sent it.
    package let text: String

    /// A refusal.
    package init(_ status: HTTPResponse.Status, _ text: String) {
        self.status = status
        self.text = text
    }
}
