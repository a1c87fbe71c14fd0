// SPDX-License-Identifier: Apache-2.0

/// What an operator has decided about an instance, for this sidecar alone.
package enum OperatorOrder: String, Sendable, Codable {
    /// No new requests go there, but for those of sessions that stick to it.
    case draining
    /// No requests go there.
    case disabled
}

/// What an operator asks of a running sidecar: the body of `POST /v1/mesher/operations`.
package struct OperatorRequest: Codable, Sendable, Equatable {
    /// What can be asked for.
    package enum Action: String, Codable, Sendable, CaseIterable {
        /// The instance gets no requests.
        case disable
        /// It gets those of its sessions only.
        case drain
        /// Both are over.
        case enable
        /// The circuit closes, and what was counted is forgotten.
        case resetCircuit = "reset-circuit"
        /// What is ejected is back.
        case resetEjection = "reset-ejection"

        /// What the first two leave behind.
        package var order: OperatorOrder? {
            switch self {
            case .disable: .disabled
            case .drain: .draining
            case .enable, .resetCircuit, .resetEjection: nil
            }
        }

        /// Whether it is about one instance, and never about all of a service.
        package var needsInstance: Bool {
            switch self {
            case .disable, .drain, .enable: true
            case .resetCircuit, .resetEjection: false
            }
        }
    }

    /// What to do.
    package var action: Action
    /// A service, a host or a cluster.
    package var service: String
    /// `ip:port` of one of its instances; `nil` for all.
    package var instance: String?
    /// The application that the instance is of; `nil` for whichever it is.
    package var app: String?

    /// A request.
    package init(_ action: Action, _ service: String, instance: String? = nil, app: String? = nil) {
        self.action = action
        self.service = service
        self.instance = instance
        self.app = app
    }
}

/// What came of an ``OperatorRequest``.
package struct OperatorAnswer: Codable, Sendable, Equatable {
    /// What was asked for.
    package var action: OperatorRequest.Action
    /// As the sidecar calls it.
    package var service: String
    /// `ip:port`; `nil` for all of the service.
    package var instance: String?
    /// As in the request.
    package var app: String?
    /// Whether anything was otherwise before.
    package var changed = false
    /// The endpoints that it is about: those of the instance, or those whose ejection has ended.
    package var endpoints: [String] = []
    /// What the circuit was before: `closed`, `open` or `half-open`; `nil` where none was asked for, or nothing has called the
    /// service.
    package var circuit: String?
    /// What the operator should know; `nil` for nothing.
    package var warning: String?

    /// An answer to `request`, of which nothing has come yet.
    package init(_ request: OperatorRequest) {
        self.action = request.action
        self.service = request.service
        self.instance = request.instance
        self.app = request.app
    }
}

/// What operators have decided, as far as it is in force.
package struct OperatorOrders: Codable, Sendable, Equatable {
    /// One instance.
    package struct Entry: Codable, Sendable, Equatable {
        /// The service, host or cluster.
        package var service: String
        /// `ip:port`.
        package var instance: String
        /// The application; `nil` for whichever.
        package var app: String?
        /// What was decided.
        package var `operator`: OperatorOrder
        /// Since when, in seconds since 1970.
        package var since: Double
        /// Whether there is such an instance now.
        package var known: Bool

        /// With all of it.
        package init(
            service: String, instance: String, app: String?, operator: OperatorOrder, since: Double, known: Bool
        ) {
            self.service = service
            self.instance = instance
            self.app = app
            self.operator = `operator`
            self.since = since
            self.known = known
        }
    }

    /// By service and instance.
    package var operations: [Entry]

    /// All of them.
    package init(_ operations: [Entry]) { self.operations = operations }
}

/// Why an ``OperatorRequest`` is none.
package struct OperatorRefusal: Error, Equatable {
    /// The reasons.
    package enum Reason: Sendable, Equatable {
        /// It says too little, or what nobody understands.
        case invalid
        /// There is no such service or instance.
        case unknown
        /// More is in force than anybody can oversee.
        case full
    }

    /// The reason.
    package let reason: Reason
    /// What is wrong, and what there is.
    package let text: String

    /// A refusal.
    package init(_ reason: Reason, _ text: String) {
        self.reason = reason
        self.text = text
    }
}
