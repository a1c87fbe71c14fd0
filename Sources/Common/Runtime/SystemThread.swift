// SPDX-License-Identifier: Apache-2.0

import CMesher
import Glibc

/// Threads of the system, for what blocks.
package enum SystemThread {
    private final class Work {
        let name: String
        let body: @Sendable () -> Void

        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Starts a thread that ends with `body`; nobody can wait for it.
    ///
    /// - Parameter name: What tools show; up to 15 bytes.
    /// - Returns: Whether the system had a thread left; otherwise `body` never runs.
    package static func start(_ name: String, _ body: @escaping @Sendable () -> Void) -> Bool {
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        defer { unsafe pthread_attr_destroy(&attributes) }
        unsafe pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
        let work = unsafe Unmanaged.passRetained(Work(name, body))
        var thread = pthread_t()
        let failure = unsafe pthread_create(
            &thread, &attributes,
            { pointer in
                guard let pointer = unsafe pointer else { return nil }
                let work = unsafe Unmanaged<Work>.fromOpaque(pointer).takeRetainedValue()
                unsafe cmesher_name_thread(work.name)
                work.body()
                return nil
            }, work.toOpaque())
        if failure != 0 { unsafe work.release() }
        return failure == 0
    }
}
