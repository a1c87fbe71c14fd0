// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

@testable import RegistryBridge

@Suite(.timeLimit(.minutes(1))) struct ServiceCenterClientTests {
    private func client(
        _ addresses: [String], account: RegistryConfig.Account? = nil, pace: Reconnect.Pace = .usual,
        resolver: NameResolver = .shared
    ) -> ServiceCenterClient {
        ServiceCenterClient(
            addresses: addresses, project: "default", tenant: "default", account: account, pace: pace,
            resolver: resolver,
            loops: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Answers once, and from then on so.
    private func center(_ answer: ScriptedCenter.Answer) async throws -> ScriptedCenter {
        let isFirst = Mutex(true)
        return try await ScriptedCenter.start { _ in
            let first = isFirst.withLock { value in
                defer { value = false }
                return value
            }
            return first ? (200, "{}") : answer
        }
    }

    @Test(
        "a registry that says that it is in trouble is not asked again at once",
        arguments: [(503, ""), (429, ""), (400, #"{"errorCode":"400002"}"#)])
    func trouble(status: Int, body: String) async throws {
        let center = try await self.center((status, body))
        let client = self.client([center.address])
        _ = try await client.services()
        await #expect(throws: ServiceCenterClient.Failure.self) { _ = try await client.services() }
        #expect(center.questions.count == 2)
        await client.close()
        await center.stop()
    }

    @Test("one that has closed the connection instead of answering is")
    func cutOff() async throws {
        let count = Mutex(0)
        let center = try await ScriptedCenter.start { _ in
            let number = count.withLock { value in
                value += 1
                return value
            }
            if number == 2 { return nil }
            return (200, "{}")
        }
        let client = self.client([center.address])
        for _ in 0..<2 { _ = try await client.services() }
        #expect(center.questions.count == 3)
        await client.close()
        await center.stop()
    }

    @Test("a configuration server that says that it is in trouble is not asked again at once either")
    func configServer() async throws {
        let center = try await self.center((503, ""))
        let client = ConfigServerClient(
            [center.address], headers: [:], login: nil, tls: nil, loops: MultiThreadedEventLoopGroup.singleton)
        _ = try await client.get("/")
        await #expect(throws: ConfigServerFailure.self) { _ = try await client.get("/") }
        #expect(center.questions.count == 2)
        await client.close()
        await center.stop()
    }

    @Test(
        "a server that is no service-center gives way to the next address",
        arguments: [
            (404, "404 page not found"), (404, #"{"message":"no route matched"}"#), (302, ""), (401, "<html></html>"),
        ])
    func strangers(status: Int, body: String) async throws {
        let stranger = try await ScriptedCenter.start { _ in (status, body) }
        let center = try await ScriptedCenter.start { _ in (200, "{}") }
        let client = self.client([stranger.address, center.address])
        await #expect(throws: ServiceCenterClient.Failure.self) { _ = try await client.services() }
        _ = try await client.services()
        #expect(stranger.questions.count == 1 && center.questions.count == 1)
        await client.close()
        for each in [stranger, center] { await each.stop() }
    }

    /// Nobody listens at the first address.
    private static let names = NameResolver { $0 == "sc.invalid" ? ["127.0.0.1", "127.0.0.0"] : nil }

    @Test("a server by name is asked at the addresses of our resolver, one after the other, and told its name")
    func named() async throws {
        let center = try await ScriptedCenter.start { _ in (200, "{}") }
        let port = center.address.split(separator: ":").last ?? ""
        let client = self.client(["http://sc.invalid:\(port)"], resolver: Self.names)
        for _ in 0..<2 { _ = try await client.services() }
        #expect(center.questions.count == 2)
        #expect(center.questions.allSatisfy { $0.head.lowercased().contains("host: sc.invalid:\(port)") })
        let target = try #require(await client.watchTarget("s"))
        #expect(target.host == "127.0.0.1" && target.name == "sc.invalid" && target.port == Int(port))
        #expect(target.headers["Host"] == ["sc.invalid:\(port)"])
        await client.close()
        let configuration = ConfigServerClient(
            ["http://sc.invalid:\(port)/kie"], headers: [:], login: nil, tls: nil, resolver: Self.names,
            loops: MultiThreadedEventLoopGroup.singleton)
        #expect(try await configuration.get("/").place.address == "127.0.0.1")
        #expect(center.questions.last?.path == "/kie/")
        await configuration.close()
        await center.stop()
    }

    @Test("one whose name nobody knows gives way to the next, and is not asked at once again")
    func unknownName() async throws {
        let center = try await ScriptedCenter.start { _ in (200, "{}") }
        let client = self.client(["http://nosuch.invalid:1", center.address], resolver: Self.names)
        _ = try await client.services()
        #expect(center.questions.count == 1)
        await client.close()
        await center.stop()
        let lost = self.client(["http://nosuch.invalid:1"], resolver: Self.names)
        await #expect {
            try await lost.services()
        } throws: {
            "\($0)" == "http://nosuch.invalid:1: no address is known of this host"
        }
        #expect(await lost.pause > .zero)
        await lost.close()
    }

    @Test("a registry that knows no tokens is asked without one")
    func noTokens() async throws {
        let center = try await ScriptedCenter.start { question in
            question.path == "/v4/token" ? (404, "404 page not found") : (200, "{}")
        }
        let client = self.client([center.address], account: .init(name: "dev", password: "p"))
        _ = try await client.services()
        #expect(center.questions.map(\.method) == ["POST", "GET"])
        await client.close()
        await center.stop()
    }
}
