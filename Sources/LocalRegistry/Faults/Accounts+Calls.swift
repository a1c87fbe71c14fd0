// SPDX-License-Identifier: Apache-2.0

import Common
import HTTPTypes
import Hummingbird

extension Accounts {
    /// The body of a login.
    struct Login: Decodable {
        var name: String?
        var password: String?
        var tokenExpirationTime: String?
    }

    /// Whether a call may be made.
    ///
    /// - Returns: The answer to a watcher that may not be opened; for other calls an error is thrown.
    /// - Source: service-center 2.2: which calls need no token, and what it answers.
    func judge(_ request: Request) throws -> Response? {
        let path = request.uri.path
        guard self.isOn, path != FaultRoutes.token, !path.hasPrefix(FaultRoutes.path) else { return nil }
        // Open to all, but whoever shows a token is judged by it, and only administrators may look at these.
        let isSystem = path.hasSuffix("/registry/health") || path.hasSuffix("/registry/version")
        let authorization = request.headers[.authorization]
        if isSystem, authorization == nil { return nil }
        do throws(ServiceCenterError) {
            let isAdministrator = try self.check(authorization)
            if isSystem, !isAdministrator { throw ServiceCenterError(.permissionAbsent, "") }
        } catch {
            if path.hasSuffix("/watcher") { return RegistryAnswer.done }
            throw error
        }
        return nil
    }
}
