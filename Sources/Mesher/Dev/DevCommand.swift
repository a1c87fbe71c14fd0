// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import ArgumentParser
import Common
import FoundationEssentials
import LocalRegistry
import Logging
import NIOPosix
import ServiceLifecycle

/// `mesher dev`: sidecars for all services that somebody works on, in one process.
struct DevCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dev", abstract: "Sidecars for the services on this machine, from one file.",
        discussion: """
            Starts a sidecar for each service of the file, a registry in which they
            find each other, and a page that shows all of them. Prints what each
            service has to be started with, by language. Ports that the file does
            not name are free ones. Rules are read again when the file changes, or
            on SIGHUP; Ctrl-C ends everything. Nothing is left behind.

            Example, dev.yaml:
              services:
                web: 8080                # the port that the service listens on
                cart:
                  - {port: 8081, version: 1.0.0}
                  - {port: 8082, version: 2.0.0}
              rules:                     # any key of the configuration
                routeRule:
                  cart:
                    - precedence: 1
                      route:
                        - {tags: {version: 1.0.0}, weight: 90}
                        - {tags: {version: 2.0.0}, weight: 10}

            Then:
              mesher check dev.yaml
              mesher dev dev.yaml
            """)

    @Argument(help: "The file.", completion: Completions.files)
    var file = "dev.yaml"

    @Flag(help: "Take unknown keys for errors.")
    var strict = false

    func run() async throws {
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("mesher-dev-\(ProcessInfo.processInfo.processIdentifier)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let examination = DevExamination(
            self.file, isStrict: self.strict, stateDirectory: directory, isFree: { Port.isFree($1, of: $0) })
        let mistakes = examination.problems.filter { $0.severity == .error }
        guard mistakes.isEmpty, let plan = examination.plan, let file = examination.file else {
            throw Exit.because(
                mistakes.count == 1 ? "not started: one error" : "not started: \(mistakes.count) errors",
                after: mistakes.map(\.description))
        }
        for problem in examination.problems { Console.complain("\(problem)\n") }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let log = DevLog()
        do {
            var sidecars: [Assembly.Sidecar] = []
            for (sidecar, (loader, result)) in zip(plan.sidecars, examination.sidecars) {
                var surroundings = Assembly.Surroundings(
                    configDirectory: loader.directory, build: BuildInfo(executableDirectory: Executable.directory),
                    logger: log.logger(of: sidecar.id.label))
                surroundings.source = (loader, result)
                sidecars.append(try await Assembly(result.config, surroundings).make())
            }
            let hosts = examination.sidecars.first?.result.config.admin.hosts ?? []
            try await self.run(sidecars, plan, file, hosts, log)
        } catch MesherError.restartLimit {
            throw Exit.because("cannot start the registry or the page: is a port taken?")
        } catch let error as MesherError {
            throw Exit.because("\(error)")
        }
    }

    /// - Parameter hosts: Names under which the page may be asked for.
    private func run(
        _ sidecars: [Assembly.Sidecar], _ plan: DevPlan, _ file: DevFile, _ hosts: [String], _ log: DevLog
    ) async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let logger = log.logger(of: nil)
        let services = zip(plan.sidecars, sidecars).map { part, sidecar in
            DevComponent.Service(
                name: part.id.label, application: file.listening(part.id), proxy: "127.0.0.1:\(part.ports.http)",
                admin: "127.0.0.1:\(part.ports.admin)", setup: DevSetup(port: part.ports.http).lines,
                script: DevSetup(port: part.ports.http).script, traffic: sidecar.document)
        }
        let household = Household(sidecars, loops: loops, logger: logger) { onServing in
            var supervisor = Supervisor(logger: logger)
            supervisor.add("local-registry", restart: RestartPolicy(limit: 0)) {
                LocalRegistryComponent(
                    address: ListenAddress(loopback: plan.registry), version: BuildInfo.sourceVersion, loops: loops,
                    onServing: { _ in onServing() })
            }
            supervisor.add("page", restart: RestartPolicy(limit: 0), drainLimit: DevComponent.drainLimit) {
                DevComponent(
                    address: ListenAddress(loopback: plan.page), file: plan.path, services: services, hosts: hosts,
                    loops: loops)
            }
            return supervisor.makeGroup(stopWithin: .seconds(5))
        }
        let words = Self.words(plan, file)
        try await household.run {
            // From now on changes are worth a line; before, all that was said is said by the words.
            log.level = .notice
            Console.write(words)
        } whenStopping: {
            log.level = .error
        }
    }

    // MARK: Words

    private static func words(_ plan: DevPlan, _ file: DevFile) -> String {
        let page = "http://127.0.0.1:\(plan.page)/"
        let header = ("service", "listens on", "its sidecar")
        let rows =
            [header]
            + plan.sidecars.map {
                ($0.id.label, file.listening($0.id) ?? "-", "127.0.0.1:\($0.ports.http)")
            }
        let (first, second) = (rows.map(\.0.count).max() ?? 0, rows.map(\.1.count).max() ?? 0)
        let table = rows.map { "  \(Self.padded($0, first))  \(Self.padded($1, second))  \($2)" }
        let setups = plan.sidecars.flatMap { sidecar in
            let lines = DevSetup(port: sidecar.ports.http).lines
            let wide = lines.map(\.language.count).max() ?? 0
            return lines.enumerated().map { index, line in
                let name = Self.padded(index == 0 ? sidecar.id.label : "", first)
                return "  \(name)  \(Self.padded(line.language, wide))  \(line.text)"
            }
        }
        let example = plan.sidecars.first?.id.label ?? ""
        return """
            mesher dev is running: \(plan.sidecars.count) sidecars of \(plan.path), and a page at \(page)

            \(table.joined(separator: "\n"))

            In the terminal of a service, before it starts, by its language:

            \(setups.joined(separator: "\n"))

            Or all of them at once: eval "$(curl -s --noproxy '*' \(page)env/\(example))"
            A client that has no proxy setting calls http://<its sidecar>/ and names the service in Host.
            Rules are read again when the file changes. Stop it with Ctrl-C.


            """
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}

extension DevFile.Instance.ID {
    /// How it is told from the others of its service.
    var label: String { self.number == 0 ? self.service : "\(self.service)-\(self.number + 1)" }
}

extension DevFile {
    /// Where a process listens; `nil` where it does not.
    func listening(_ id: Instance.ID) -> String? {
        guard let ports = self.instances.first(where: { $0.id == id })?.ports?.list.ports else { return nil }
        let isPlain = ports.count == 1 && ports[0].name == "rest"
        return isPlain
            ? "127.0.0.1:\(ports[0].port)" : ports.map { "\($0.name) 127.0.0.1:\($0.port)" }.joined(separator: ", ")
    }
}
