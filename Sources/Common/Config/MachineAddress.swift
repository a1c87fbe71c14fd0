// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import NIOCore

/// Finds the address under which other hosts reach this machine.
package enum MachineAddress {
    /// An address of the interface that the default route leaves by, else any that is not a loopback one, IPv4 first.
    ///
    /// - Returns: `nil` when the machine has loopback only.
    package static func preferred() -> String? {
        let routes = FileManager.default.contents(atPath: "/proc/net/route").map { String(decoding: $0, as: UTF8.self) }
        let interface = routes.flatMap(Self.defaultInterface)
        let found = ((try? System.enumerateDevices()) ?? []).compactMap { device -> (String, String)? in
            guard let address = device.address, let ip = address.ipAddress, !Self.isLocalOnly(address) else {
                return nil
            }
            return (device.name, ip)
        }
        let ranked = found.sorted { !$0.1.contains(":") && $1.1.contains(":") }
        return (ranked.first { $0.0 == interface } ?? ranked.first)?.1
    }

    /// All addresses of all interfaces.
    package static func all() -> [IPAddress] {
        ((try? System.enumerateDevices()) ?? []).compactMap { $0.address.flatMap { IPAddress($0) } }
    }

    /// The interface of the default route in the text of `/proc/net/route`.
    package static func defaultInterface(_ routes: String) -> String? {
        for line in routes.split(separator: "\n").dropFirst() {
            let fields = line.split(whereSeparator: \.isWhitespace)
            if fields.count > 7, fields[1] == "00000000", fields[7] == "00000000" { return String(fields[0]) }
        }
        return nil
    }

    /// Loopback and link-local addresses, which no other host can use as they stand.
    private static func isLocalOnly(_ address: SocketAddress) -> Bool {
        let bytes = address.ipBytes
        if bytes.count == 4 { return bytes[0] == 127 || (bytes[0] == 169 && bytes[1] == 254) }
        return bytes.dropLast().allSatisfy { $0 == 0 } || (bytes.first == 0xfe && bytes.dropFirst().first ?? 0 >= 0x80)
    }
}
