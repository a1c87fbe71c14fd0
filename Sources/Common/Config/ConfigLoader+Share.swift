// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

extension ConfigLoader {
    /// One sidecar's share of a file that has the configurations of several: it is read in place of a configuration
    /// directory.
    ///
    /// - Source: `mesher dev`.
    package struct Share: Sendable {
        /// What of the file is for one sidecar.
        package struct Contents: Sendable {
            /// What it is configured with.
            package var sources: [ConfigSource] = []
            /// What is wrong with the file.
            package var problems: [ConfigProblem] = []
            /// All instances that calls may reach.
            package var instances: [Instance] = []

            /// Nothing.
            package init() {}
        }

        /// An instance of a service that the file describes.
        package struct Instance: Sendable {
            /// Its service.
            package let service: String
            /// Its version.
            package let version: String
            /// What the registry knows of it besides.
            package let properties: [String: String]

            /// An instance.
            package init(service: String, version: String, properties: [String: String]) {
                self.service = service
                self.version = version
                self.properties = properties
            }
        }

        let file: String
        let read: @Sendable (ConfigTree) -> Contents

        /// - Parameter read: Tells what of the file is for the sidecar.
        package init(of file: String, read: @escaping @Sendable (ConfigTree) -> Contents) {
            self.file = file
            self.read = read
        }

        /// The folder of the file, where relative paths begin.
        var directory: String {
            guard let slash = self.file.lastIndex(of: "/") else { return "." }
            return slash == self.file.startIndex ? "/" : String(self.file[..<slash])
        }
    }

    /// The services of the file, for a review of names; `nil` where there is none, or it cannot be read.
    var sharedServices: KnownServices? {
        guard let share = self.share, let bytes = FileManager.default.contents(atPath: share.file),
            let tree = try? ConfigTree(yaml: Array(bytes), source: share.file)
        else { return nil }
        let found = share.read(tree.mapTexts { self.expand($0) }).instances
        let services = Dictionary(grouping: found, by: \.service).map { name, instances in
            RegistryFile.ServiceEntry(
                name: name,
                instances: instances.map {
                    RegistryFile.InstanceEntry(
                        endpoints: [], version: $0.version, app: "", properties: $0.properties, status: .up, region: "",
                        zone: "")
                })
        }
        return KnownServices(services, file: share.file, ownApp: "")
    }

    /// What the file says for this sidecar.
    func readShare(_ share: Share, _ problems: inout [ConfigProblem]) -> ConfigStore {
        guard let bytes = FileManager.default.contents(atPath: share.file) else {
            problems.append(.unreadable(share.file))
            return ConfigStore([])
        }
        do {
            let tree = try ConfigTree(yaml: Array(bytes), source: share.file)
            problems += self.placeholderProblems(in: tree, "")
            let contents = share.read(tree.mapTexts { self.expand($0) })
            problems += contents.problems
            return ConfigStore(contents.sources)
        } catch {
            problems.append(error)
            return ConfigStore([])
        }
    }
}

extension ConfigProblem {
    /// A file that has to be there, and is not, or cannot be read.
    package static func unreadable(_ path: String) -> ConfigProblem {
        let isThere = FileManager.default.fileExists(atPath: path)
        return ConfigProblem(
            at: ConfigLocation(path), isThere ? "the file cannot be read" : "the file does not exist",
            remedy: isThere ? "let the user that mesher runs as read it" : "write the path of one that is there")
    }
}
