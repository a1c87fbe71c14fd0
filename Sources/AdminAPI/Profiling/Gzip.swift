// SPDX-License-Identifier: Apache-2.0

import CMesher

/// Compression into RFC 1952.
enum Gzip {
    /// The compressed bytes; `nil` when there is no memory for it, or 4 GiB of input.
    static func compressed(_ bytes: [UInt8]) -> [UInt8]? {
        let capacity = cmesher_gzip_bound(bytes.count)
        let result = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { output, count in
            count = unsafe bytes.withUnsafeBufferPointer { input in
                unsafe cmesher_gzip(input.baseAddress, input.count, output.baseAddress, capacity)
            }
        }
        return result.isEmpty ? nil : result
    }
}
