// SPDX-License-Identifier: Apache-2.0

package import Common
import Crypto

extension SidecarTemplate {
    /// What a text says; see ``SidecarTemplate/init(yaml:source:digest:problems:)``.
    package init(yaml: [UInt8], source: String, problems: inout [ConfigProblem]) throws(MesherError) {
        try self.init(yaml: yaml, source: source, digest: Self.digest(of: yaml), problems: &problems)
    }

    /// The same with settings of a command line.
    ///
    /// - Parameter discoveryType: Of pods that do not say; `nil`: as the template has it.
    /// - Parameter placement: Of their sidecars, likewise.
    package func with(
        discoveryType: Wishes.DiscoveryType?, placement: InjectorSettings.Placement?
    ) -> SidecarTemplate {
        var changed = self
        changed.settings.discoveryType = discoveryType ?? self.settings.discoveryType
        changed.settings.placement = placement ?? self.settings.placement
        let words = [changed.settings.discoveryType.rawValue, changed.settings.placement.rawValue]
        if words != [self.settings.discoveryType.rawValue, self.settings.placement.rawValue] {
            let text = ([self.digest] + words).joined(separator: " ")
            changed.digest = Self.digest(of: Array(text.utf8))
        }
        return changed
    }

    private static func digest(of bytes: [UInt8]) -> String {
        SHA256.hash(data: bytes).prefix(6).map { byte in
            (byte < 0x10 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }
}
