// SPDX-License-Identifier: Apache-2.0

import CMesher
import NIOSSL

extension NIOSSLContext {
    /// Has a server keep no sessions: each costs 2 KB, 20,480 are kept, and clients resume by tickets.
    ///
    /// The package has no setting for it and keeps the library's object to itself, so that this one looks for it.
    ///
    /// - Returns: Which sessions were kept until now, as the library numbers them; `nil` when its object was not found.
    @discardableResult
    func keepNoSessions() -> Int? {
        let property = Mirror(reflecting: self).children.first { $0.label == "sslContext" }
        guard let object = unsafe property?.value as? OpaquePointer else { return nil }
        return unsafe Int(CNIOBoringSSL_SSL_CTX_set_session_cache_mode(UnsafeMutableRawPointer(object), 0))
    }
}
