// SPDX-License-Identifier: Apache-2.0

package import Common

extension MeshRules {
    /// What a sidecar has about calls that is configured to nothing but its name.
    package static let plain: MeshRules = {
        var source = ConfigSource(.memory)
        source.add("service_description.name", .text("web", ConfigLocation("test")))
        var reader = ConfigReader(ConfigStore([source]))
        return MeshRules(MesherConfig(&reader))
    }()
}
