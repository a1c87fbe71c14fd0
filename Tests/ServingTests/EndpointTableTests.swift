// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Hummingbird
import Serving
import TestSupport
import Testing

/// What is common to all endpoints.
@Suite struct EndpointTableTests {
    private struct Odd: Error, CustomStringConvertible { let description = "something odd" }

    private func table(_ hosts: HostNames? = nil) -> EndpointTable {
        EndpointTable(
            endpoints: [
                ServedEndpoint(.get, "/", "") { _ in ServedAnswer.text("root") },
                ServedEndpoint(.get, "/a", "") { _ in ServedAnswer.text("read") },
                ServedEndpoint(.put, "/a", "") { _ in ServedAnswer.text("changed") },
                ServedEndpoint(.post, "/b", "") { call in
                    ServedAnswer.text(String(buffer: try await call.request.body.collect(upTo: 100)))
                },
                ServedEndpoint(.get, "/of/{service}", "") { ServedAnswer.text($0.parameters["service"] ?? "none") },
                ServedEndpoint(.get, "/mistake", "") { _ in throw Refusal(.unauthorized, "who \"are\" you") },
                ServedEndpoint(.get, "/odd", "") { _ in throw Odd() },
            ], hosts: hosts)
    }

    // MARK: Paths

    @Test("the endpoint of method and path answers")
    func answers() async throws {
        let table = self.table()
        #expect(try await table.ask(.get, "/").text == "root")
        #expect(try await table.ask(.get, "/a?x=y").text == "read")
        #expect(try await table.ask(.put, "/a").text == "changed")
        #expect(try await table.ask(.post, "/b", body: "echo").text == "echo")
        #expect(try await table.ask(.get, "/of/a%2Fb").text == "a/b")
    }

    @Test("no answer is kept, or taken for another type than it says")
    func headers() async throws {
        for path in ["/a", "/mistake", "/nowhere"] {
            let headers = try await self.table().ask(.get, path).headers
            #expect(headers[.cacheControl] == "no-store" && headers[.xContentTypeOptions] == "nosniff")
        }
    }

    private func members(_ answer: Answer) throws -> [String: String] {
        try JSONDecoder().decode([String: String].self, from: Data(answer.body))
    }

    // MARK: Methods

    @Test("HEAD is GET without its body, and with its length")
    func head() async throws {
        let answer = try await self.table().ask(.head, "/a")
        #expect(answer.status == 200 && answer.body.isEmpty && answer.headers[.contentLength] == "4")
        #expect(answer.type == "text/plain; charset=utf-8")
        let missing = try await self.table().ask(.head, "/nowhere")
        #expect(missing.status == 404 && missing.body.isEmpty && missing.type == "application/json")
        #expect(missing.headers[.contentLength] == "\(try await self.table().ask(.get, "/nowhere").body.count)")
        #expect(try await self.table().ask(.head, "/b").status == 405)
    }

    @Test("OPTIONS tells the methods")
    func options() async throws {
        for (path, allow) in [
            ("/a", "GET, HEAD, PUT, OPTIONS"), ("/b", "POST, OPTIONS"), ("/of/cart", "GET, HEAD, OPTIONS"),
        ] {
            let answer = try await self.table().ask(.options, path)
            #expect(answer.status == 204 && answer.headers[.allow] == allow && answer.body.isEmpty)
        }
        #expect(try await self.table().ask(.options, "/nowhere").status == 404)
    }

    @Test(
        "another method is refused, with those that are not",
        arguments: [
            (HTTPRequest.Method.delete, "/a", "GET, HEAD, PUT, OPTIONS"), (.post, "/", "GET, HEAD, OPTIONS"),
            (.get, "/b", "POST, OPTIONS"), (.trace, "/of/cart", "GET, HEAD, OPTIONS"),
        ])
    func refused(method: HTTPRequest.Method, path: String, allow: String) async throws {
        let answer = try await self.table().ask(method, path)
        #expect(answer.status == 405 && answer.headers[.allow] == allow && answer.type == "application/json")
        #expect(try self.members(answer)["error"] == "\(method.rawValue) is not for \(path)")
    }

    // MARK: Mistakes

    @Test(
        "what is not there is answered with the original's text, as JSON", arguments: ["/nowhere", "/a/", "/%zz"])
    func notFound(path: String) async throws {
        let answer = try await self.table().ask(.get, path)
        #expect(answer.status == 404 && answer.type == "application/json")
        #expect(answer.text.contains("404: Page Not Found"))
        let members = try self.members(answer)
        #expect(members["error"] == "404: Page Not Found")
        #expect(members["remedy"] == "/openapi.json lists what there is" && members.count == 2)
    }

    @Test("mistakes are told as JSON, and whatever else fails is one of ours")
    func mistakes() async throws {
        let mistake = try await self.table().ask(.get, "/mistake")
        #expect(mistake.status == 401 && mistake.text == #"{"error":"who \"are\" you"}"#)
        let odd = try await self.table().ask(.get, "/odd")
        #expect(odd.status == 500 && odd.text == #"{"error":"something odd"}"#)
    }

    // MARK: Hosts

    @Test(
        "no page reaches the API by a name of its own",
        arguments: [
            ("localhost", true), ("localhost:30102", true), ("LOCALHOST:1", true), ("127.0.0.1", true),
            ("127.0.0.1:30102", true), ("10.1.2.3", true), ("[::1]", true), ("[::1]:30102", true), ("", true),
            (nil, true),
            ("mesh.example", true), ("Mesh.Example:80", true), ("evil.example", false), ("evil.example:30102", false),
            ("localhost.evil.example", false), ("127.0.0.1.evil.example", false), ("mesh.example.evil", false),
            ("notlocalhost", false), ("1e1", false), ("10.1.2.3x", false), ("x[::1]", false),
        ] as [(String?, Bool)])
    func hosts(authority: String?, isAllowed: Bool) async throws {
        let names = HostNames(["Mesh.example"], key: "mesher.admin.hosts")
        #expect(names.allow(authority) == isAllowed)
        let answer = try await self.table(names).ask(.get, "/a", host: authority)
        #expect(answer.status == (isAllowed ? 200 : 403))
        if !isAllowed { #expect(answer.text.contains("mesher.admin.hosts")) }
        // Without a list everybody may ask.
        #expect(try await self.table().ask(.get, "/a", host: authority).status == 200)
    }
}
