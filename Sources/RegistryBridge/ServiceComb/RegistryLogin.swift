// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials

/// When to log in at the registry, and with what to call it: pure, with the time passed in.
///
/// A token is renewed when four fifths of its life are over, ten minutes before its end at the latest. After a wrong
/// password nobody tries again for minutes: three of them block the account.
///
/// - Source: service-center 2.1: codes 401201 to 401206 and 403201, `POST /v4/token`.
struct RegistryLogin {
    /// Body of the question.
    struct Request: Encodable {
        let name: String
        let password: String
    }

    /// Body of the answer.
    struct Answer: Decodable {
        let token: String?
    }

    private struct Claims: Decodable {
        let exp: Double?
    }

    /// What the registry's error means for the login.
    enum Meaning {
        /// The token is no good any more, or was never asked for.
        case renew
        case other
    }

    private static let assumedLife = Duration.seconds(12 * 3600)

    let account: RegistryConfig.Account
    /// To call with; `nil` when there is none, or none is needed.
    private(set) var token: String?
    private var renewAt: ContinuousClock.Instant?
    private var notBefore: ContinuousClock.Instant?

    init(_ account: RegistryConfig.Account) { self.account = account }

    /// Whether to log in before the next call.
    func isDue(at now: ContinuousClock.Instant) -> Bool {
        if let notBefore = self.notBefore, now < notBefore { return false }
        return self.renewAt.map { $0 <= now } ?? true
    }

    /// A token was given.
    mutating func succeeded(_ token: String, at now: ContinuousClock.Instant, wall: Date) {
        let end = Self.end(of: token)
        let life = end.map { Duration.seconds(max(0, $0.timeIntervalSince(wall))) } ?? Self.assumedLife
        self.token = token
        self.renewAt = now + min(life * 0.8, max(.zero, life - .seconds(600)))
        // A token with a short life, or none, is not renewed with every call.
        self.notBefore = now + .seconds(1)
    }

    /// The registry does not know of tokens: it lets everybody call.
    mutating func isNotNeeded(at now: ContinuousClock.Instant) {
        self.token = nil
        self.renewAt = now + .seconds(300)
    }

    /// The registry has refused to give a token.
    mutating func failed(_ code: ServiceCenterError.Code?, at now: ContinuousClock.Instant) {
        switch code {
        case .passwordWrong: self.notBefore = now + .seconds(300)
        case .accountBlocked: self.notBefore = now + .seconds(900)
        default: self.notBefore = now + .seconds(5)
        }
    }

    /// The registry has refused a call.
    mutating func refused(_ code: ServiceCenterError.Code?) -> Meaning {
        switch code {
        case .tokenUnusable, .tokenAbsent, .tokenExpired, .tokenRefused:
            self.token = nil
            self.renewAt = nil
            return .renew
        default: return .other
        }
    }

    /// When a token ends; it is the registry's, which nobody has to verify here.
    ///
    /// - Source: RFC 7519 §4.1.4.
    static func end(of token: String) -> Date? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        var text = parts[1].replacing("-", with: "+").replacing("_", with: "/")
        text += String(repeating: "=", count: (4 - text.count % 4) % 4)
        guard let data = Data(base64Encoded: String(text)),
            let end = try? JSONDecoder().decode(Claims.self, from: data).exp, end.isFinite, end < 1e12
        else { return nil }
        return Date(timeIntervalSince1970: end)
    }
}
