// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import ArgumentParser
import Common
import FoundationEssentials

/// `mesher operate`: what operators do to the instances and circuits that a running sidecar calls.
struct OperateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "operate", abstract: "Hold requests back from instances, or reset circuits and ejections.",
        discussion: """
            On the one sidecar that is asked, until its next restart; others are not
            told. It needs mesher.admin.token, but for list.

              list                              what is in force
              disable SERVICE IP:PORT           no requests go there; open ones finish
              drain SERVICE IP:PORT             only those of sessions that stick to it
              enable SERVICE IP:PORT            both are over
              reset-circuit SERVICE [IP:PORT]   closed, and nothing is counted
              reset-ejection SERVICE [IP:PORT]  what is ejected is back

            Examples:
              mesher operate disable cart 10.0.0.5:8080
              mesher operate list
            """)

    @Argument(
        help: ArgumentHelp("See above.", valueName: "action"),
        completion: .list(["list"] + OperatorRequest.Action.allCases.map(\.rawValue)))
    var action: String

    @Argument(help: ArgumentHelp("A called service, host or cluster.", valueName: "service"))
    var service: String?

    @Argument(help: ArgumentHelp("Where an instance is; without it all of the service.", valueName: "ip:port"))
    var instance: String?

    @Option(help: ArgumentHelp("The application that the instance is of.", valueName: "app"))
    var app: String?

    @OptionGroup var sidecar: AdminOptions

    @Flag(help: "Print one JSON document.")
    var json = false

    private static let list = "list"

    func validate() throws {
        if self.action == Self.list {
            guard self.service == nil else {
                throw ValidationError("list shows all that is in force; write nothing behind it.")
            }
            return
        }
        guard let action = OperatorRequest.Action(rawValue: self.action) else {
            let words = [Self.list] + OperatorRequest.Action.allCases.map(\.rawValue)
            throw ValidationError("\(self.action) is no action; actions are \(words.joined(separator: ", ")).")
        }
        guard self.service != nil else { throw ValidationError("\(action.rawValue) of which service?") }
        if action.needsInstance, self.instance == nil {
            throw ValidationError("\(action.rawValue) is for one instance: write its ip:port behind the service.")
        }
    }

    func run() async throws {
        let (address, token) = self.sidecar.place
        do throws(AdminClient.Failure) {
            if let action = OperatorRequest.Action(rawValue: self.action), let service {
                let request = OperatorRequest(action, service, instance: self.instance, app: self.app)
                self.show(try await AdminClient.operate(request, at: address, token: token))
            } else {
                self.show(try await AdminClient.operations(at: address))
            }
        } catch {
            throw Exit.because(TopScreen.clean("\(error)", upTo: 4_000))
        }
    }

    private func show(_ answer: OperatorAnswer) {
        if self.json { return Self.show(json: answer) }
        print(OperationText.line(answer))
        if let warning = answer.warning { Console.complain("warning: \(TopScreen.clean(warning))\n") }
    }

    private func show(_ orders: OperatorOrders) {
        if self.json { return Self.show(json: orders) }
        print(OperationText.table(orders))
    }

    private static func show(json document: some Encodable) { try? Console.print(json: document) }
}

/// What operators see, as lines of text.
enum OperationText {
    /// What came of an action.
    static func line(_ answer: OperatorAnswer) -> String {
        let service = TopScreen.clean(answer.service)
        let instance = answer.instance.map { " \(TopScreen.clean($0))" } ?? ""
        let already = answer.changed ? "" : " already"
        switch answer.action {
        case .disable: return "\(service)\(instance) is\(already) disabled on this sidecar"
        case .drain: return "\(service)\(instance) is\(already) draining on this sidecar"
        case .enable: return "\(service)\(instance) is\(already) enabled"
        case .resetCircuit:
            guard let circuit = answer.circuit else {
                return "\(service)\(instance) has no circuit: nothing has called it"
            }
            return "the circuit of \(service)\(instance) is closed; it was \(TopScreen.clean(circuit))"
        case .resetEjection:
            let endpoints = answer.endpoints.map { TopScreen.clean($0) }.joined(separator: ", ")
            return answer.changed
                ? "no longer ejected: \(endpoints)" : "no instance of \(service)\(instance) was ejected"
        }
    }

    /// What is in force.
    static func table(_ orders: OperatorOrders) -> String {
        if orders.operations.isEmpty { return "nothing is in force" }
        var rows = [["OPERATOR", "SINCE", "INSTANCE", "SERVICE"]]
        for entry in orders.operations {
            var time: [UInt8] = []
            WallTime(milliseconds: Int64(max(0, min(entry.since, 1e11)) * 1000)).append(to: &time)
            let notes = entry.app.map { " of application \(TopScreen.clean($0))" } ?? ""
            rows.append([
                entry.operator.rawValue, String(decoding: time, as: UTF8.self), TopScreen.clean(entry.instance),
                TopScreen.clean(entry.service) + notes + (entry.known ? "" : " (not known at present)"),
            ])
        }
        let widths = (0..<3).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            (0..<3).map { row[$0].padded(to: widths[$0]) }.joined(separator: "  ") + "  " + row[3]
        }.joined(separator: "\n")
    }
}
