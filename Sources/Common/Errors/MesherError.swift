// SPDX-License-Identifier: Apache-2.0

/// Configuration, registry or a listener failed: the component restarts, or the process exits with a message that says
/// what to change.
///
/// One failed request is a ``ProxyError`` instead.
package enum MesherError: Error {
    /// A component's `run` ended by itself.
    case returnedEarly(component: String)
    /// An operator or a test ended a component's run.
    case interrupted(component: String)
    /// A component failed more often than its policy forgives.
    case restartLimit(component: String, cause: any Error)
    /// A listener cannot be opened; `remedy` says what to change.
    case cannotListen(address: String, cause: String, remedy: String)
    /// The configuration cannot be used; each element is one mistake.
    case configuration([ConfigProblem])
}

extension MesherError: CustomStringConvertible {
    /// For logs and for the last words of the process.
    package var description: String {
        switch self {
        case .returnedEarly(let component): "component \(component) ended by itself"
        case .interrupted(let component): "component \(component) was interrupted"
        case .restartLimit(let component, let cause): "component \(component) keeps failing: \(cause)"
        case .cannotListen(let address, let cause, let remedy): "cannot listen on \(address): \(cause); \(remedy)"
        case .configuration(let problems): problems.map(\.description).joined(separator: "\n")
        }
    }
}
