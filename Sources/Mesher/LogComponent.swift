// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import Common

/// Makes changed settings of logs hold while the process runs.
actor LogComponent: Component {
    private let inbox: Mailbox<TrafficMessage>
    private let home: String
    private let output: LogOutput?
    private let telemetry: Telemetry
    private var current: LogConfig

    /// - Parameter home: Where relative paths begin.
    /// - Parameter output: Where logs go; `nil` where that cannot be changed.
    init(
        inbox: Mailbox<TrafficMessage>, _ config: LogConfig, home: String, output: LogOutput?, telemetry: Telemetry
    ) {
        self.inbox = inbox
        self.home = home
        self.current = config
        self.output = output
        self.telemetry = telemetry
    }

    func run() async throws {
        while let message = await self.inbox.receive() {
            guard case .configurationChanged(let config) = message, config.logs != self.current else { continue }
            let (level, isSame) = (self.output?.level, config.logs.settings.level == self.current.settings.level)
            self.current = config.logs
            let logs = config.logs.placed(in: self.home).usable
            self.output?.apply(logs.settings)
            // One that the admin API has set stays as long as nobody writes another one.
            if isSame, let level { self.output?.setLevel(level) }
            self.telemetry.apply(logs)
        }
    }
}
