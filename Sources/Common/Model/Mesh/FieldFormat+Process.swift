// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

extension FieldFormat.Surroundings {
    /// Those of this process.
    ///
    /// - Parameter route: The name of the route.
    package static func ofProcess(route: String = "") -> Self {
        var surroundings = Self()
        surroundings.route = route
        surroundings.host = Self.hostName
        surroundings.variable = { ProcessInfo.processInfo.environment[$0] }
        return surroundings
    }

    private static let hostName = ProcessInfo.processInfo.hostName
}
