// SPDX-License-Identifier: Apache-2.0

import Common
import HTTPTypes
import HummingbirdCore
import NIOCore
import Serving

/// Takes the bodies of reviews, no more of them at a time than memory is meant for.
struct ReviewBody: Sendable {
    /// The longest body: a pod has three megabytes at most, with all that the API server notes of it.
    static let longest = 8 << 20
    /// What all long bodies may have together.
    static let together = 16 << 20
    /// What is shorter is taken at once, so that nobody who sends a long one slowly holds up the others.
    static let short = 64 << 10
    /// How long a long body may take, once there is room for it.
    static let pace = Duration.seconds(5)

    let budget: BodyBudget
    /// Keeps the time.
    ///
    /// A task that sleeps would stay until its time is over, although nobody needs it any more.
    let timers: any EventLoopGroup

    /// Gives the whole body to `use`, and keeps room for it until that returns.
    ///
    /// - Parameter deadline: When the client does not wait any more.
    func with<Value: Sendable>(
        of request: Request, until deadline: ContinuousClock.Instant, _ use: ([UInt8]) throws -> Value
    ) async throws -> Value {
        // A number that does not fit is too long as well.
        let declared = request.headers[.contentLength].map { Int($0) ?? .max }
        if let declared, declared > Self.longest { throw Self.tooLong }
        let room = declared.map { $0 <= Self.short ? 0 : $0 } ?? Self.longest
        if room == 0 { return try use(try await self.take(request.body, declared ?? 0, until: deadline)) }
        guard await self.budget.take(room, until: deadline) else {
            throw Refusal(.serviceUnavailable, "too many long bodies at a time")
        }
        defer {
            self.budget.give(room)
            // The allocator keeps what is as long as this, and the limit of a pod is low.
            ProcessMemory.trim()
        }
        return try use(try await self.take(request.body, room, until: min(deadline, .now + Self.pace)))
    }

    private static let tooLong = Refusal(.contentTooLarge, "the body is longer than \(Self.longest) bytes")

    private func take(
        _ body: RequestBody, _ capacity: Int, until deadline: ContinuousClock.Instant
    ) async throws -> [UInt8] {
        let loop = self.timers.any()
        return try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
            group.addTask {
                var bytes: [UInt8] = []
                for try await piece in body {
                    // There is room for it; what does not come is not resident.
                    if bytes.isEmpty { bytes.reserveCapacity(capacity) }
                    guard bytes.count + piece.readableBytes <= Self.longest else { throw Self.tooLong }
                    bytes.append(contentsOf: piece.readableBytesView)
                }
                return bytes
            }
            group.addTask {
                let timer = loop.scheduleTask(in: TimeAmount(deadline - .now)) {}
                await withTaskCancellationHandler {
                    try? await timer.futureResult.get()
                } onCancel: {
                    timer.cancel()
                }
                return nil
            }
            defer { group.cancelAll() }
            guard let bytes = try await group.next().flatMap(\.self) else {
                throw Refusal(.requestTimeout, "the body has not come in time")
            }
            return bytes
        }
    }
}
