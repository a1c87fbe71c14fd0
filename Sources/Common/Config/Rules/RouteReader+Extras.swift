// SPDX-License-Identifier: Apache-2.0

/// Reads what few routes do.
extension RouteReader {
    mutating func extras(_ tree: ConfigTree) -> RouteExtras {
        var extras = RouteExtras()
        extras.cors = self.cors(tree["cors"])
        extras.operation = self.problems.text(tree["operation"])
        extras.refusesUpgrades = self.problems.flag(tree["websockets"]) == false
        extras.keepsHost = self.problems.flag(tree["rewrite"]?["keepHost"]) ?? false
        if let field = tree["rewrite"]?["hostFrom"], let name = self.problems.text(field) {
            self.problems.token(name, field.location, "header name", "write letters, digits and hyphens")
            extras.hostField = name.lowercased()
            if let host = tree["rewrite"]?["host"] {
                self.refuse(host, "both host and hostFrom say what Host says", "keep one of them")
            }
        }
        return extras
    }

    /// Which requests, and how many at a time, a fault is for.
    mutating func narrow(_ fault: inout RouteFault, _ tree: ConfigTree) {
        var reader = MatchReader(problems: self.problems)
        for entry in reader.problems.entries(tree["headers"]) {
            reader.problems.token(entry.key, entry.location, "header name", "write letters, digits and hyphens")
            fault.fields.append(FieldMatch(entry.key, reader.texts(entry.value)))
        }
        fault.most = reader.problems.number(tree["most"], 0...Int(Int32.max))
        self.problems = reader.problems
    }

    /// What `timeouts` says of calls as a whole.
    mutating func streamLimits(_ tree: ConfigTree) -> StreamLimits? {
        var limits = StreamLimits()
        if let whole = self.problems.duration(tree["whole"]), whole > .zero { limits.whole = whole }
        if let most = self.problems.duration(tree["grpc"]) {
            limits.asked = most
            if most == .zero, let place = tree["grpc"] {
                self.refuse(place, "no call of gRPC can do anything in no time", "write one such as 5s, or take it out")
            }
        }
        return limits == StreamLimits() ? nil : limits
    }

    /// A field whose value is made for each message.
    mutating func filled(_ entry: ConfigTree.Entry) -> HeaderEdit? {
        guard let text = self.problems.fieldValue(entry.value) else { return nil }
        do {
            let format = try FieldFormat(text, .ofProcess())
            let edit = HeaderEdit.set(entry.key, format.plain ?? text)
            return format.plain == nil ? .filled(edit, format, keepsEmpty: false) : edit
        } catch {
            switch error {
            case .malformed(let problem), .missing(let problem):
                self.refuse(
                    entry.value, "\"\(text)\": \(problem)", "write what can be filled in, such as %REQ(x-user)%")
            }
            return nil
        }
    }

    /// What stands in place of what an expression finds in a path.
    mutating func pattern(_ tree: ConfigTree) -> PathRewrite? {
        self.problems.allowOnly(Self.patternShape, in: tree)
        guard let find = self.problems.text(tree["find"]), !find.isEmpty else {
            self.refuse(tree, "nothing says what is replaced", "write {find: \"^/v1/(.*)\", replace: '/\\1'}")
            return nil
        }
        do {
            return .pattern(try PatternRewrite(find, self.problems.text(tree["replace"]) ?? ""))
        } catch {
            self.problems.note(tree.location, error)
            return nil
        }
    }

    private mutating func cors(_ tree: ConfigTree?) -> CORSPolicy? {
        guard let tree else { return nil }
        self.problems.allowOnly(Self.corsShape, in: tree)
        var policy = CORSPolicy()
        policy.origins = (tree["origins"]?.elements ?? []).map { self.origin($0) }
        if policy.origins.isEmpty {
            self.refuse(tree, "no page may read the answers", "write origins: [\"https://shop.example\"]")
        }
        policy.methods = self.list(tree["methods"], "method", "write it in upper case: GET")
        policy.headers = self.list(tree["headers"], "header name", "write letters, digits and hyphens")
        policy.exposed = self.list(tree["expose"], "header name", "write letters, digits and hyphens")
        if let age = self.problems.duration(tree["maxAge"]) { policy.maxAge = "\(age.components.seconds)" }
        policy.allowsCredentials = self.problems.flag(tree["credentials"]) ?? false
        policy.passesOnOthers = self.problems.flag(tree["passOn"]) ?? true
        if policy.allowsCredentials, policy.allowsAll {
            self.problems.warn(
                tree.location, "every page can do what its visitor may",
                remedy: "name the origins, or take credentials out")
        }
        return policy
    }

    private mutating func origin(_ tree: ConfigTree) -> TextMatch {
        if let text = tree.text { return .exact(.init(text)) }
        self.problems.allowOnly(Self.originShape, in: tree)
        guard tree.entries.count == 1, let entry = tree.entries.first, let text = entry.value.text else {
            self.refuse(tree, "an origin needs one of exact, prefix, regex", "write {prefix: \"https://shop.\"}")
            return .never
        }
        switch entry.key {
        case "exact": return .exact(.init(text))
        case "prefix": return .prefix(.init(text))
        case "regex":
            do {
                return .regex(try RegularExpression("\\A(?:\(text))\\z"))
            } catch {
                self.problems.note(entry.value.location, error)
            }
        default: break
        }
        return .never
    }

    /// Names that a field lists.
    private mutating func list(_ tree: ConfigTree?, _ kind: String, _ remedy: String) -> String {
        (tree?.elements ?? []).map { element in
            let name = element.text ?? ""
            if name != "*" { self.problems.token(name, element.location, kind, remedy) }
            return name
        }.joined(separator: ", ")
    }
}
