// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOCore

/// Answers as service-center writes them.
enum RegistryAnswer {
    /// What every call that only does something answers with.
    static var done: Response { Response(status: .ok, headers: [.contentType: "text/plain; charset=utf-8"]) }

    static func json(_ body: some Encodable, headers: HTTPFields = [:]) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes]
        var headers = headers
        headers[.contentType] = "application/json; charset=utf-8"
        return Response(
            status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: try encoder.encode(body))))
    }

    static func text(_ status: HTTPResponse.Status, _ text: String, headers: HTTPFields = [:]) -> Response {
        var headers = headers
        headers[.contentType] = "text/plain; charset=utf-8"
        headers[.xContentTypeOptions] = "nosniff"
        return Response(
            status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: "\(text)\n")))
    }

    static func error(_ error: ServiceCenterError) throws -> Response {
        var response = try Self.json(error)
        response.status = .init(code: Int(error.errorCode?.prefix(3) ?? "") ?? 500)
        return response
    }

    /// Instances with their revision; nothing but that when it is the one that was asked with.
    static func found(_ found: RegistryState.Found, rev: String, _ body: some Encodable) throws -> Response {
        let headers: HTTPFields = [.resourceRevision: found.revision]
        if rev == found.revision { return Response(status: .notModified, headers: headers) }
        return try Self.json(body, headers: headers)
    }
}
