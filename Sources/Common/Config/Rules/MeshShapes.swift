// SPDX-License-Identifier: Apache-2.0

/// The language of `mesh.yaml`: clusters and hosts.
extension MeshReader {
    /// The ways to balance a cluster: there are no sessions of one.
    static let strategies = BalancingPolicy.Strategy.allCases.filter { $0 != .sessionStickiness }.map(\.rawValue)

    static let clusterShape = MapShape(
        [
            .init("name", .text, isRequired: true, "What targets call it; once in the file."),
            .init("service", .text, "The service whose instances they are."),
            .init(
                "tags", RouteRuleReader.tagsShape, "Which instances of the service; else those of the newest version."),
            .init(
                "endpoints", .list(.either([.map(Self.endpointShape), .text])),
                "Addresses with a port in the place of a service."),
            .init("balancing", .choice(Self.strategies, anyCase: false), "How an endpoint is chosen; as for the host."),
            .init("ringSize", .map(Self.ringShape), "How many points a ring of RingHash has."),
            .init(
                "tableSize", .integer(Self.tableSizes),
                "How many places a table of Maglev has, a prime number; 65537."),
            .init(
                "panicThreshold", .integer(0...100),
                "Percent of the endpoints: with fewer left, those that fail are chosen as well. 0: never."),
            .init("connectTimeout", .duration(hasZero: false), "How long a connection may take."),
            .init("limits", .map(Self.limitsShape), "How much the cluster gets at a time, in all routes."),
            .init(
                "connections", .map(Self.connectionsShape),
                "How long connections are used. What is under way is never cut."),
            .init("port", .integer(1...65_535), "The port to call in the place of the endpoints' own."),
            .init(
                "protocol", .choice(["http1", "http2", "client"], anyCase: false),
                "What is spoken there; http1. client: HTTP/2 for requests that came by it."),
            .init(
                "tls", .either([.choice(["off", "on"], anyCase: false), .map(Self.tlsShape)]),
                "Whether TLS is spoken; as for the service or host."),
            .init(
                "localityWeights", .list(.map(Self.localityWeightShape)),
                "What each place takes of the requests; else the near ones come first."),
        ], isStrict: true)

    static let tlsShape = MapShape(
        [
            .init("tag", .text, "The tag of tls.yaml that says how: cart.rest.Consumer."),
            .init("serverName", .text, "The name that endpoints are asked for, and have to prove."),
        ], isStrict: true)

    static let connectionsShape = MapShape(
        [
            .init("requests", .integer(1...Int(Int32.max)), "Most requests of one connection."),
            .init("idle", .duration(hasZero: true), "How long one waits for the next request; 0: for ever."),
            .init("age", .duration(hasZero: false), "How long after its beginning it takes requests."),
            .init("streams", .integer(1...Int(Int32.max)), "Most requests at a time of one of HTTP/2."),
        ], isStrict: true)

    /// Places of a table of Maglev.
    static let tableSizes = 2...5_000_011

    static let ringShape = MapShape(
        [
            .init("min", .integer(ClusterSettings.usualRing), "At least so many; 160 for each endpoint."),
            .init("max", .integer(ClusterSettings.usualRing), "At most so many."),
        ], isStrict: true)

    static let endpointShape = MapShape(
        [
            .init("address", .text, isRequired: true, "An address with a port, such as 10.0.0.5:8080."),
            .init("weight", .integer(1...1_000_000), "Its part of the requests of its priority; 1."),
            .init("priority", .integer(0...127), "Lower ones are used first; 0."),
            .init("tls", .choice(["off"], anyCase: false), "off: plain text, whatever the cluster says."),
            .init("locality", .map(Self.localityShape), "Where it is."),
            .init("host", .text, "What Host says to it, without a port."),
        ], isStrict: true)

    static let localityShape = MapShape(Self.localityKeys, isStrict: true)

    static let localityWeightShape = MapShape(
        Self.localityKeys
            + [.init("weight", .integer(0...1_000_000), isRequired: true, "Its part of the requests of a priority.")],
        isStrict: true)

    private static let localityKeys: [MapShape.Key] = [
        .init("region", .text, isRequired: true, "The region."), .init("zone", .text, "A zone of it."),
        .init("subzone", .text, "A part of the zone."),
    ]

    static let limitsShape = MapShape(
        [
            .init("requests", .integer(0...Int(Int32.max)), "Most requests; more get 503."),
            .init("retries", .integer(0...Int(Int32.max)), "Most retries; more are not tried."),
            .init("connections", .integer(1...Int(Int32.max)), "Most connections; further requests wait for one."),
            .init("pending", .integer(0...Int(Int32.max)), "Most requests that wait; more get 503."),
        ], isStrict: true)

    static let hostShape = MapShape(
        [
            .init("name", .text, isRequired: true, "What limits, breakers and metrics go by; once in the file."),
            .init("domains", .list(.text), "The names that requests may ask for; the host's name."),
            .init("port", .integer(1...65_535), "The port that they must name; any."),
            .init(
                "profile", .choice(ReplyProfile.allCases.map(\.rawValue), anyCase: false),
                "What mesher's own answers are like; ServiceComb."),
            .init(
                "routes", .list(.map(RouteReader.routeShape)), isRequired: true,
                "Tried in this order; the first that matches decides."),
        ], isStrict: true)
}

/// The language of `mesh.yaml`: routes.
extension RouteReader {
    static let routeShape = MapShape(
        [
            .init("name", .text, "What people call it."),
            .init(
                "match", .list(.map(Self.matchShape)), "One of these must match; all requests do where it is left out."),
            .init("targets", .list(.map(Self.targetShape)), "Where the requests go."),
            .init("mirrors", .list(.map(Self.mirrorShape)), "Copies of the requests that other clusters get."),
            .init("reply", .map(Self.replyShape), "What answers them in the place of an instance."),
            .init("redirect", .map(Self.redirectShape), "Where clients are sent instead."),
            .init("timeouts", .map(Self.timesShape), "Limits of time; 0s is none."),
            .init("retry", .map(Self.retryShape), "When requests are repeated."),
            .init("requestHeaders", .map(Self.editsShape), "Changes of the request's fields."),
            .init("responseHeaders", .map(Self.editsShape), "Changes of the answer's fields."),
            .init("rewrite", .map(Self.rewriteShape), "Changes of the path and of Host."),
            .init("limit", .integer(1...Int(Int32.max)), "Most requests a second, over all matches; more get 429."),
            .init("fault", .map(Self.faultShape), "What is done to the requests on purpose."),
            .init("hash", .list(.map(Self.hashShape)), "What RingHash and Maglev go by: the first that a request has."),
            .init("operation", .text, "What its spans are called."),
            .init("websockets", .flag, "Whether requests may ask for a WebSocket; true."),
            .init("cors", .map(Self.corsShape), "Which pages of other origins may read the answers."),
        ], isStrict: true)

    static let corsShape = MapShape(
        [
            .init(
                "origins", .list(.either([.map(Self.originShape), .text])), isRequired: true,
                "The origins of the pages, such as https://shop.example; * for all."),
            .init("methods", .list(.text), "What pages may do; else what they may without asking."),
            .init("headers", .list(.text), "Fields that pages may send."),
            .init("expose", .list(.text), "Fields of answers that pages may read."),
            .init("maxAge", .duration(hasZero: true), "How long a browser remembers this."),
            .init("credentials", .flag, "Whether pages may send the credentials of their visitors; false."),
            .init("passOn", .flag, "Whether the service answers preflights of other origins itself; true."),
        ], isStrict: true)

    static let originShape = MapShape(
        [
            .init("exact", .text, "This origin."), .init("prefix", .text, "Origins that begin so."),
            .init("regex", .text, "Origins that the expression matches as a whole."),
        ], isStrict: true, isOne: true)

    static let matchShape = MapShape(
        [
            .init("path", .map(Self.pathShape), "What the path is like, without the query."),
            .init(
                "headers", .map(MapShape(others: MatchReader.comparison(isStrict: true), isStrict: true)),
                "What fields are like; an absent one never matches."),
            .init(
                "queries", .map(MapShape(others: MatchReader.comparison(isStrict: true), isStrict: true)),
                "What parameters of the query are like."),
            .init("methods", .list(.matching("[^a-z\\s]+")), "The method is one of these, in upper case."),
        ], isStrict: true)

    static let pathShape = MapShape(
        [
            .init("exact", .matching("/.*"), "This path."), .init("prefix", .matching("/.*"), "Paths that begin so."),
            .init("below", .matching("/.*"), "This path, and those below it."),
            .init("regex", .text, "Paths that the expression matches as a whole."),
        ], isStrict: true, isOne: true)

    static let targetShape = MapShape(
        [
            .init("cluster", .text, "The name of a cluster."),
            .init("reply", .map(Self.replyShape), "What answers in the place of a cluster."),
            .init(
                "weight", .integer(0...1_000_000), "Its part of the sum of all weights; needed where there are several."
            ),
            .init(
                "requestHeaders", .map(Self.editsShape), "Changes of the request's fields, after those of the route."),
            .init(
                "responseHeaders", .map(Self.editsShape), "Changes of the answer's fields, after those of the route."),
        ], isStrict: true)

    static let mirrorShape = MapShape(
        [
            .init("cluster", .text, isRequired: true, "The name of a cluster."),
            .init("percent", .percent, "How many of the requests; 100."),
            .init("keepHost", .flag, "Whether Host stays as it is; else its name ends in -shadow."),
        ], isStrict: true)

    static let timesShape = MapShape(
        [
            .init("head", .duration(hasZero: true), "To the head of the answer, for each try."),
            .init("call", .duration(hasZero: true), "To the end of the answer, over all tries."),
            .init("idle", .duration(hasZero: true), "From one byte of an answer to the next."),
            .init("whole", .duration(hasZero: true), "From the head of the request to the end of the answer."),
            .init("grpc", .duration(hasZero: false), "The most that a gRPC call gets of what it asks for."),
        ], isStrict: true)

    static let replyShape = MapShape(
        [
            .init("status", .integer(200...599), "The status; 200."), .init("body", .text, "The body; none."),
            .init("contentType", .text, "What the body is; text/plain."),
        ], isStrict: true)

    static let redirectShape = MapShape(
        [
            .init("status", .numbers([301, 302, 303, 307, 308]), "The status; 301."),
            .init("scheme", .choice(["http", "https"], anyCase: false), "That of the request where it is left out."),
            .init("host", .text, "A name or address, without a port; that of the request."),
            .init("port", .integer(1...65_535), "That of the request; with scheme the usual one."),
            .init("path", .matching("/.*"), "In the place of the whole path."),
            .init("prefix", .matching("(?:/.*)?"), "In the place of what the route has matched."),
            .init("regex", .map(Self.patternShape), "In the place of all that an expression finds in the path."),
        ], isStrict: true)

    static let retryShape = MapShape(
        [
            .init("attempts", .integer(0...100), "Further tries; 1."),
            .init("statuses", .list(.integer(400...599)), "Statuses after which there is another try."),
            .init("nonIdempotent", .flag, "Whether requests are repeated whose repetition may do harm."),
            .init("budgetPercent", .integer(0...1000), "Most retries of the host, in percent of its requests."),
        ], isStrict: true)

    static let editsShape = MapShape(
        [
            .init("remove", .list(.text), "Fields that go."),
            .init(
                "set", .map(MapShape(others: .text, isStrict: true)), "Fields that become the only ones of their name."),
            .init("add", .map(MapShape(others: .text, isStrict: true)), "Fields to add."),
            .init(
                "fill", .map(MapShape(others: .text, isStrict: true)),
                "Fields to set to what each message has: %REQ(x-user)%."),
        ], isStrict: true)

    static let rewriteShape = MapShape(
        [
            .init("prefix", .matching("(?:/.*)?"), "In the place of what the route has matched; empty: it goes."),
            .init("path", .matching("/.*"), "In the place of the whole path."),
            .init("regex", .map(Self.patternShape), "In the place of all that an expression finds in the path."),
            .init("host", .text, "What Host says, without a port."),
            .init("hostFrom", .text, "The field whose value Host has, where there is one."),
            .init("keepHost", .flag, "Whether X-Forwarded-Host says what Host has said; false."),
        ], isStrict: true)

    static let patternShape = MapShape(
        [
            .init("find", .text, isRequired: true, "The expression."),
            .init("replace", .text, "What stands in its place; \\1 is the first group of it. Empty: it goes."),
        ], isStrict: true)

    static let faultShape = MapShape(
        [
            .init("delay", .map(Self.delayShape), "Requests are delayed."),
            .init("abort", .map(Self.abortShape), "Requests are answered with a status."),
            .init(
                "headers", .map(MapShape(others: MatchReader.comparison(isStrict: true), isStrict: true)),
                "What fields of these requests are like; all must hold."),
            .init("most", .integer(0...Int(Int32.max)), "Most requests at a time."),
        ], isStrict: true)

    static let delayShape = MapShape(
        [
            .init("time", .duration(hasZero: true), isRequired: true, "How long."),
            .init("percent", .percent, "How many of the requests; 100."),
        ], isStrict: true)

    static let abortShape = MapShape(
        [
            .init("status", .integer(200...599), isRequired: true, "The status."),
            .init("percent", .percent, "How many of the requests; 100."),
        ], isStrict: true)

    static let hashShape = MapShape(
        [
            .init("header", .text, "The value of the field."), .init("cookie", .text, "The value of the cookie."),
            .init("query", .text, "The value of the parameter."),
            .init("source", .flag, "The address of the client."),
            .init("terminal", .flag, "false: those behind it count as well."),
            .init(
                "ttl", .duration(hasZero: true),
                "Clients without the cookie are given one, for so long; 0s: as they run."),
            .init("path", .matching("/.*"), "For which paths they are; those of the request."),
        ], isStrict: true, oneOf: Self.hashKinds)

    /// What a hash may be taken of.
    static let hashKinds = ["header", "cookie", "query", "source"]
}
