// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct FieldFormatTests {
    private static func text(_ text: String) -> FieldFormat.Part { .text(Array(text.utf8)) }

    private static func field(_ name: String) -> FieldMatch.Subject { .field(Array(name.utf8)) }

    @Test(
        "texts that nothing is filled into",
        arguments: [
            ("", ""), ("a b", "a b"), ("100%%", "100%"), ("%%%%", "%%"), ("a%%b", "a%b"),
            ("%ROUTE_NAME%/%HOSTNAME%", "r/h"),
            ("<%ENVIRONMENT(A)%>", "<1>"), ("%ENVIRONMENT(A)%%ENVIRONMENT(B)%", "1-"), ("%ENVIRONMENT(LONG):2%", "lo"),
        ])
    func plain(text: String, expected: String) throws {
        var surroundings = FieldFormat.Surroundings()
        (surroundings.route, surroundings.host) = ("r", "h")
        surroundings.variable = { ["A": "1", "LONG": "long"][$0] }
        let format = try FieldFormat(text, surroundings)
        #expect(format.plain == expected && format.parts.count <= 1)
    }

    @Test("pieces in their order")
    func parts() throws {
        let format = try FieldFormat("<%REQ(X-User?:PATH):3%> 50%%, %RESP(:status)%%PROTOCOL%")
        #expect(
            format.parts == [
                Self.text("<"), .filled(.request(Self.field("x-user"), or: .path), longest: 3), Self.text("> 50%, "),
                .filled(.response(.status, or: nil), longest: .max), .filled(.protocolName, longest: .max),
            ])
        #expect(format.plain == nil)
    }

    @Test("flags and details of the answer")
    func flags() throws {
        let format = try FieldFormat(
            "%RESPONSE_FLAGS%%RESPONSE_FLAGS_LONG%%RESPONSE_CODE_DETAILS%%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%")
        #expect(
            format.parts == [
                .filled(.flags(isLong: false), longest: .max), .filled(.flags(isLong: true), longest: .max),
                .filled(.details, longest: .max), .filled(.details, longest: .max),
            ])
    }

    @Test(
        "times",
        arguments: [
            (
                "%START_TIME%",
                [
                    .digits(0..<4), .text([45]), .digits(5..<7), .text([45]), .digits(8..<10), .text([84]),
                    .digits(11..<13), .text([58]), .digits(14..<16), .text([58]), .digits(17..<23), .text([90]),
                ]
            ),
            ("%START_TIME(%s.%3f)%", [.seconds, .text([46]), .digits(20..<23)]),
            ("%START_TIME(%F %%)%", [.digits(0..<10), .text([32, 37])]), ("%START_TIME(%T)%", [.digits(11..<19)]),
        ] as [(String, [FieldFormat.TimePart])])
    func times(text: String, expected: [FieldFormat.TimePart]) throws {
        #expect(try FieldFormat(text).parts == [.filled(.start(expected), longest: .max)])
    }

    @Test(
        "what is none is told from what is not filled in here",
        arguments: [
            ("%REQ(x)", true), ("100%", true), ("%REQ()%", true), ("%REQ(a?b?c)%", true), ("%%%", true),
            ("%REQ(x):%", true), ("%PROTOCOL(x)%", true), ("%REQ%", true), ("%UPSTREAM_HOST:3%", true),
            ("%RESPONSE_FLAGS:2%", true), ("%RESPONSE_CODE_DETAILS(x)%", true),
            ("%ENVIRONMENT%", true), ("%HOSTNAME(x)%", true), ("%REQ(a)b%", true), ("%req(a)%", true),
            ("%REQ(x y)%", true), ("%NOBODY_KNOWS%", true), ("%CONNECTION_ID%", false), ("%START_TIME(%Q)%", false),
            ("%DYNAMIC_METADATA(a:b)%", false), ("%TRAILER(x)%", false),
        ])
    func failures(text: String, isMalformed: Bool) {
        do throws(FieldFormat.Failure) {
            _ = try FieldFormat(text)
            Issue.record("it is taken")
        } catch {
            switch error {
            case .malformed: #expect(isMalformed)
            case .missing: #expect(!isMalformed)
            }
        }
    }
}
