// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials

/// Everything that is wrong with a file of `mesher dev`, as `mesher check` tells it and a start has it.
struct DevExamination {
    /// What the file says; `nil` when it is no YAML, or cannot be read.
    let file: DevFile?
    /// What the ports are; `nil` where they make no difference any more.
    let plan: DevPlan?
    /// The configurations of the sidecars, in the order of the plan.
    let sidecars: [(loader: ConfigLoader, result: ConfigLoader.Result)]
    /// In the order of their places; what several sidecars would say is told once.
    let problems: [ConfigProblem]

    /// - Parameter stateDirectory: Where the sidecars keep what they keep.
    /// - Parameter isFree: Whether a port of an address can be listened on.
    init(
        _ path: String, isStrict: Bool, stateDirectory: String = "", isFree: (String, Int) -> Bool = { _, _ in true }
    ) {
        let environment = ProcessInfo.processInfo.environment
        var problems: [ConfigProblem] = []
        let file = Self.read(path, environment, &problems)
        let plan = file.map { DevPlan($0, path: path, stateDirectory: stateDirectory, isFree: isFree) }
        // What is wrong with the services says enough; what comes of it would only say it again.
        let isSound = file?.problems.isEmpty ?? false
        problems += (file?.problems ?? []) + (plan?.problems ?? [])
        self.sidecars = (isSound ? plan?.sidecars ?? [] : []).compactMap { sidecar in
            guard let loader = plan?.loader(of: sidecar, environment: environment, isStrict: isStrict) else {
                return nil
            }
            return (loader, Examination(loader).result)
        }
        for problem in self.sidecars.flatMap(\.result.problems) where !problems.contains(problem) {
            problems.append(problem)
        }
        self.file = file
        self.plan = plan
        self.problems = problems.sorted { $0.location < $1.location }
    }

    private static func read(
        _ path: String, _ environment: [String: String], _ problems: inout [ConfigProblem]
    ) -> DevFile? {
        guard let bytes = FileManager.default.contents(atPath: path) else {
            problems.append(.unreadable(path))
            return nil
        }
        do {
            let tree = try ConfigTree(yaml: Array(bytes), source: path)
            return DevFile(tree.mapTexts { Placeholders.expand($0, environment: environment) })
        } catch {
            problems.append(error)
            return nil
        }
    }

    /// Whether a file is one of `mesher dev`: it describes services, and is none of a configuration directory.
    static func isDevFile(_ path: String) -> Bool {
        guard let data = FileManager.default.contents(atPath: path) else { return false }
        if let tree = try? ConfigTree(yaml: Array(data), source: path) { return tree["services"] != nil }
        // What is wrong with the YAML is for the check to tell.
        return String(decoding: data, as: UTF8.self).split(separator: "\n").contains { $0.hasPrefix("services:") }
    }
}
