// SPDX-License-Identifier: Apache-2.0

/// The language of `router.yaml`.
extension RouteRuleReader {
    /// A list of rules, or a text with one.
    static let shape = Shape.either([.onlyList(.map(Self.ruleShape)), .text])

    static let ruleShape = MapShape(
        [
            .init("precedence", .integer(Int.min...Int.max), "Rules with a higher one are tried first; 0."),
            .init("match", .map(MatchReader.routeShape), "What requests are like; all of them where it is left out."),
            .init("route", .list(.map(Self.targetShape)), isRequired: true, "Where they go."),
        ], isStrict: true)

    static let targetShape = MapShape(
        [
            .init("tags", Self.tagsShape, "Which instances."),
            .init(
                "weight", .integer(0...100),
                "Percent of the requests; what is missing to 100 goes to the newest version."),
        ], isStrict: true)

    static let tagsShape = Shape.map(Self.tagsMap)

    static let tagsMap = MapShape(
        [
            .init("version", .suggested(["latest"]), "A version, or latest."),
            .init("app", .text, "The application; the own one."),
        ], others: .text)
}

/// What rules ask of requests.
extension MatchReader {
    static let routeShape = MapShape(
        [
            .init("refer", .text, "The name of a template or policy in the place of all other keys."),
            .init("source", .text, "The name of the calling service."),
            .init("sourceTags", .map(Self.sourceTags), "What the caller has: version, app, or a property."),
            .init("headers", .map(MapShape(others: Self.comparison())), "What fields are like."),
            .init("httpHeaders", .map(MapShape(others: Self.comparison())), "The same as headers."),
        ], isStrict: true)

    static let sourceTags = MapShape(others: .text)

    static let markShape = MapShape(
        [
            .init("name", .text, "What people call it."),
            .init(
                "headers", .map(MapShape(others: Self.comparison())),
                "What fields are like; an absent one never matches."),
            .init("apiPath", Self.comparison(), "What the path is like; one operator has to hold."),
            .init("queries", Self.comparison(), "What the query is like; one operator has to hold."),
            .init("method", .list(.text), "The method is one of these, in upper case."),
            .init("trafficMarkPolicy", .suggested(["once", "perService"]), "once: the mark goes along as X-Mark."),
        ], isStrict: true)

    static let operators: [MapShape.Key] = [
        .init("exact", .text, "Is this text."), .init("noEqu", .text, "Is another text."),
        .init("regex", .text, "Has a match of this expression in it."),
        .init("greater", .integer(Int.min...Int.max), "Is a number above this."),
        .init("less", .integer(Int.min...Int.max), "Is a number below this."),
        .init("noLess", .integer(Int.min...Int.max), "Is a number, this or above."),
        .init("noGreater", .integer(Int.min...Int.max), "Is a number, this or below."),
        .init("contains", .text, "Has this text in it."), .init("prefix", .text, "Begins so."),
        .init("suffix", .text, "Ends so."),
    ]

    /// What one value is compared with.
    static func comparison(isStrict: Bool = false) -> Shape {
        let modifier = MapShape.Key(
            "caseInsensitive", .suggested(["true", "false"]), "Whether letter case does not count.")
        return .map(MapShape(Self.operators + [modifier], isStrict: isStrict))
    }
}

/// Limits of marked requests.
extension MatchPolicyReader {
    static let policyShape = MapShape([
        .init("matches", .list(.map(MatchReader.markShape)), isRequired: true, "A request is like one of these.")
    ])

    static let limitShape = MapShape(
        [
            .init("match", .text, "The name of the policy whose mark is limited."),
            .init("rate", .integer(Int.min...Int.max), "Requests a second."),
            .init("burst", .integer(1...Int.max), "How many may come at once."),
        ], isStrict: true)
}

/// The language of `egress.yaml`.
extension ExternalHostReader {
    /// A list of rules, or a text with one.
    static let shape = Shape.either([.onlyList(.map(Self.ruleShape)), .text])

    static let ruleShape = MapShape(
        [
            .init("hosts", .list(.text), isRequired: true, "Names; a star stands for any beginning: *.example.org."),
            .init("ports", .list(.map(Self.portShape)), "The ports that may be called."),
        ], isStrict: true)

    static let portShape = MapShape(
        [
            .init("port", .integer(1...65_535), isRequired: true, "The port."),
            .init("protocol", .suggested(["HTTP", "HTTPS"]), "What is spoken there; HTTP."),
        ], isStrict: true)
}
