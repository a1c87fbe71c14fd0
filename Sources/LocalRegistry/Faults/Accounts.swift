// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Synchronization

/// Who may log in, and the tokens that are good.
///
/// - Source: service-center 2.2 with role-based access control; a token is trusted because it is known here, so its
///   signature is none.
final class Accounts: Sendable {
    private struct Token {
        let account: String
        let end: Date
    }

    private struct State {
        var passwords: [String: String] = [:]
        var life = Accounts.life
        var tokens: [String: Token] = [:]
        var mistakes: [String: Int] = [:]
    }

    /// The account whose role is `admin`; others are `developer`.
    private static let administrator = "root"
    private static let life = Duration.seconds(12 * 3_600)
    /// What may be asked for as the life of a token.
    private static let lives = Duration.seconds(15 * 60)...Duration.seconds(24 * 3_600)
    /// So many wrong passwords block an account.
    private static let mistakes = 3

    private let state = Mutex(State())

    /// Whether anybody needs to log in.
    var isOn: Bool { self.state.withLock { !$0.passwords.isEmpty } }

    /// Replaces all accounts; those that stay as they were keep their tokens.
    func set(_ passwords: [String: String], tokenLife: Duration?) {
        self.state.withLock { state in
            state.tokens = state.tokens.filter { passwords[$0.value.account] == state.passwords[$0.value.account] }
            state.mistakes = [:]
            state.passwords = passwords
            state.life = tokenLife ?? Self.life
        }
    }

    /// A new token.
    ///
    /// - Parameter life: Asked for; `nil` for the default.
    func logIn(_ name: String, _ password: String, life: String?) throws(ServiceCenterError) -> String {
        var wanted: Duration?
        if let life = life.nonEmpty {
            guard let read = DurationText.read(life), Self.lives.contains(read) else {
                throw ServiceCenterError(.invalidParameters, "tokenExpirationTime must be from 15m to 24h")
            }
            wanted = read
        }
        let result = self.state.withLock { state -> Result<String, ServiceCenterError> in
            guard state.mistakes[name, default: 0] < Self.mistakes else {
                return .failure(ServiceCenterError(.accountBlocked, ""))
            }
            guard state.passwords[name] == password else {
                state.mistakes[name, default: 0] += 1
                return .failure(ServiceCenterError(.passwordWrong, ""))
            }
            state.mistakes[name] = nil
            let seconds = (wanted ?? state.life) / .seconds(1)
            let end = Date(timeIntervalSinceNow: seconds)
            let role = name == Self.administrator ? "admin" : "developer"
            let token = Self.token([
                #"{"alg":"RS512","typ":"JWT"}"#,
                #"{"account":"\#(name)","exp":\#(Int(end.timeIntervalSince1970)),"roles":["\#(role)"]}"#,
                RegistryRoutes.newID(),
            ])
            state.tokens[token] = Token(account: name, end: end)
            return .success(token)
        }
        return try result.get()
    }

    /// Whose call it is.
    ///
    /// - Parameter authorization: The field of the request.
    /// - Returns: Whether it is an administrator's.
    func check(_ authorization: String?) throws(ServiceCenterError) -> Bool {
        guard let authorization = authorization.nonEmpty else { throw ServiceCenterError(.tokenAbsent, "") }
        guard authorization.hasPrefix("Bearer ") else { throw ServiceCenterError(.tokenUnusable, "") }
        let known = self.state.withLock { $0.tokens[String(authorization.dropFirst("Bearer ".count))] }
        guard let known else { throw ServiceCenterError(.tokenUnusable, "") }
        guard known.end > Date() else { throw ServiceCenterError(.tokenExpired, "") }
        return known.account == Self.administrator
    }

    private static func token(_ parts: [String]) -> String {
        parts.map { part in
            Data(part.utf8).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
                .replacing("=", with: "")
        }.joined(separator: ".")
    }
}
