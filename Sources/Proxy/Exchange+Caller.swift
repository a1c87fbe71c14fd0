// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
import NIOCore

/// Who sent an incoming request: what limits and route rules go by.
package struct Caller: Sendable, Equatable {
    /// The name of the calling service; empty when it is unknown.
    package var service: String
    /// Its version and application, when its address told us: the registry knows, a header is the caller's word.
    package var tags: EndpointSet.Tags?

    /// A caller; an unknown one, when nothing is given.
    package init(service: String = "", tags: EndpointSet.Tags? = nil) {
        self.service = service
        self.tags = tags
    }
}

/// A caller that has been found: one word in an exchange, as most have none.
final class KnownCaller: Sendable {
    let caller: Caller

    init(_ caller: Caller) { self.caller = caller }
}

extension Exchange {
    /// Who asks: the service named in `x-cse-context`, or in `x-cse-src-microservice`, or the one at the address of the
    /// peer, unless that is this machine.
    ///
    /// Found out when first asked for, since most requests never need it; kept until the request ends.
    package mutating func caller() -> Caller {
        if let known = self.knownCaller { return known.caller }
        let caller = self.findCaller()
        self.knownCaller = KnownCaller(caller)
        return caller
    }

    private borrowing func findCaller() -> Caller {
        if let index = self.requestHeaders.firstIndex(of: .xCseContext),
            let fields = self.requestHeaders.withValue(at: index, { SourceContext.parse($0) }),
            let name = fields.last(where: { $0.key == SourceContext.sourceKey })?.value, !name.isEmpty
        {
            return Caller(service: name)
        }
        if let name = self.requestHeaders.string(of: .xCseSourceService), !name.isEmpty {
            return Caller(service: name)
        }
        guard let peer = self.peer, !peer.isLoopback, let address = peer.ipAddress,
            let found = self.worker.directory.value.caller(at: address)
        else { return Caller() }
        return Caller(
            service: found.service.name, tags: .init(version: found.instance.version, app: found.instance.app))
    }
}
