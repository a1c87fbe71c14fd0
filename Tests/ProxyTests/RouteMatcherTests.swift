// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@testable import Proxy

@Suite struct RouteMatcherTests {
    @Test("a rule about a name with underscores asks for that name, and not for another one of its kind")
    func aliases() {
        let match = HeaderMatch("X_Real_IP", [.exact(.init("1"))])
        var request = RequestMatch()
        request.headers = [match]
        let rule = Route(precedence: 1, match: .request(request), weights: [100], at: ConfigLocation("test"))
        let matcher = RouteMatcher(VirtualHost([(rule, [Cluster(InstanceTags())])], plain: ""), active: [0])
        for (lines, isFound) in [
            (["X_Forwarded_For: 1"], false), (["X_Forwarded_For: 2", "x_real_ip: 1"], true), (["X-Real-IP: 1"], false),
        ] {
            var block = HeaderBlock()
            for line in lines {
                let parts = line.split(separator: ": ").map(String.init)
                block.append(HeaderLine(parts[0], parts[1]))
            }
            let found = matcher.route(for: RequestHead(), block, mark: nil)
            #expect((found == 0) == isFound, "\(lines)")
        }
    }
}
