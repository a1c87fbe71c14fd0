// SPDX-License-Identifier: Apache-2.0

import Serving
import Foundation
import HTTPTypes
import Hummingbird

/// One endpoint of the admin API: what answers, and what the OpenAPI document says of it.
struct AdminEndpoint: Sendable {
    /// A request for it.
    struct Call: Sendable {
        let request: Request
        /// The segments of the path that stand for a name in braces.
        let parameters: [String: String]
    }

    let method: HTTPRequest.Method
    /// `{name}` stands for one segment.
    let path: String
    let pattern: PathPattern
    let summary: String
    /// The content type of its answer.
    let content: String
    /// What answers; whatever it throws is an answer of 500.
    let handle: @Sendable (Call) async throws -> Response

    init(
        _ method: HTTPRequest.Method, _ path: String, _ summary: String, content: String = "application/json",
        _ handle: @escaping @Sendable (Call) async throws -> Response
    ) {
        self.method = method
        self.path = path
        self.pattern = PathPattern(path)
        self.summary = summary
        self.content = content
        self.handle = handle
    }
}

/// Endpoints, and what is common to all of them: HEAD, OPTIONS, names that are refused, answers to mistakes.
struct AdminTable: HTTPResponder {
    let endpoints: [AdminEndpoint]
    /// Names that the API may be asked by; `nil` for every name.
    let hosts: HostNames?
    /// Where it stands what there is.
    var index = "/openapi.json"

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        var response = await self.answer(request)
        response.headers[.cacheControl] = "no-store"
        response.headers[.xContentTypeOptions] = "nosniff"
        guard request.method == .head else { return response }
        // The length of the body stays, as RFC 9110 §9.3.2 has it.
        if let length = response.body.contentLength, response.headers[.contentLength] == nil {
            response.headers[.contentLength] = "\(length)"
        }
        return Response(status: response.status, headers: response.headers)
    }

    private func answer(_ request: Request) async -> Response {
        if let hosts = self.hosts, !hosts.allow(request.head.authority) {
            return AdminAnswer.error(
                .forbidden, "this name is not allowed; ask by address, or list it in mesher.admin.hosts")
        }
        let path = request.uri.path
        let segments = PathPattern.segments(of: path)
        var allowed: [HTTPRequest.Method] = []
        for endpoint in self.endpoints {
            guard let parameters = endpoint.pattern.parameters(of: segments) else { continue }
            for method in endpoint.method == .get ? [.get, .head] : [endpoint.method] where !allowed.contains(method) {
                allowed.append(method)
            }
            guard endpoint.method == request.method || (endpoint.method == .get && request.method == .head) else {
                continue
            }
            do {
                return try await endpoint.handle(.init(request: request, parameters: parameters))
            } catch let error as AdminMistake {
                return AdminAnswer.error(error.status, error.text)
            } catch {
                return AdminAnswer.error(.internalServerError, "\(error)")
            }
        }
        guard allowed.isEmpty else {
            let methods = (allowed + [.options]).map(\.rawValue).joined(separator: ", ")
            if request.method == .options {
                return Response(status: .noContent, headers: [.allow: methods])
            }
            var response = AdminAnswer.error(.methodNotAllowed, "\(request.method.rawValue) is not for \(path)")
            response.headers[.allow] = methods
            return response
        }
        // The text of the original, in which its clients may look for it.
        return AdminAnswer.error(.notFound, "404: Page Not Found", remedy: "\(self.index) lists what there is")
    }
}

/// Why a request is answered with another status than 200.
struct AdminMistake: Error {
    let status: HTTPResponse.Status
    let text: String

    init(_ status: HTTPResponse.Status, _ text: String) {
        self.status = status
        self.text = text
    }
}

/// The names that the admin API may be asked by, so that no web page reaches it through a name of its own.
///
/// - Source: promise T6 (DNS rebinding).
struct HostNames: Sendable {
    private let names: Set<String>

    /// - Parameter names: Beside `localhost` and every IP address.
    init(_ names: [String]) { self.names = Set(names.map { $0.lowercased() } + ["localhost"]) }

    /// - Parameter authority: What the request says; one without may be anybody's.
    func allow(_ authority: String?) -> Bool {
        guard let authority, !authority.isEmpty else { return true }
        if authority.hasPrefix("[") { return true }
        let host = authority.prefix { $0 != ":" }
        // A name cannot consist of digits and dots alone.
        if host.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }) { return true }
        return self.names.contains(host.lowercased())
    }
}

/// Answers of the admin API.
enum AdminAnswer {
    /// A text.
    static func text(
        _ text: String, type: String = "text/plain; charset=utf-8", status: HTTPResponse.Status = .ok
    ) -> Response {
        Self.bytes(Array(text.utf8), type: type, status: status)
    }

    /// Bytes of some type.
    static func bytes(_ bytes: [UInt8], type: String, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    /// A document; its members are in the order of their names.
    static func json(
        _ body: some Encodable, type: String = "application/json", status: HTTPResponse.Status = .ok
    ) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Self.bytes(Array(try encoder.encode(body)), type: type, status: status)
    }

    private struct Problem: Encodable {
        let error: String
        let remedy: String?
    }

    /// What is wrong with a request, as a document.
    static func error(_ status: HTTPResponse.Status, _ text: String, remedy: String? = nil) -> Response {
        (try? Self.json(Problem(error: text, remedy: remedy), status: status)) ?? Response(status: status)
    }
}
