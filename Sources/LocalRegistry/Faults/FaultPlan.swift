// SPDX-License-Identifier: Apache-2.0

import Common
import HTTPTypes
import Hummingbird
import NIOCore

/// What a test wants to go wrong, as it is written in the body of `PUT /faults`.
struct FaultPlan: Codable, Sendable {
    /// What becomes of some requests; the first that fits counts.
    var rules: [Rule]?
    /// How long deleted instances are still shown; as the real registry does it when absent.
    var holdDeletions: DurationValue?
    /// Names and passwords; when there is one, calls need a token.
    var accounts: [String: String]?
    /// How long a token is good for, when its login does not say; 12 h when absent.
    var tokenLife: DurationValue?

    /// What becomes of a request.
    struct Rule: Codable, Sendable {
        /// Which moment the answer is lost at.
        enum Loss: String, Codable, Sendable {
            /// The connection ends and nothing has happened.
            case before
            /// What was asked for is done, then the connection ends.
            case after
        }

        /// Of the request; any when absent.
        var method: String?
        /// Found anywhere in path and query; anything when absent.
        var path: Expression?
        /// How many requests; all when absent.
        var count: Int?
        /// How long it takes before anything else.
        var delay: DurationValue?
        /// Ends the connection without an answer.
        var lose: Loss?
        /// Answered with this, and nothing is done.
        var status: Int?
        /// Fields of that answer.
        var headers: [String: String]?
        /// The body of that answer; JSON when it begins with a brace.
        var body: String?
        /// In answers: the requests so far.
        var hits: Int?

        /// The answer that is given instead.
        func answer(_ status: Int) -> Response {
            let body = self.body ?? ""
            var headers: HTTPFields = [.contentType: body.hasPrefix("{") ? "application/json" : "text/plain"]
            for (name, value) in self.headers ?? [:] {
                guard let name = HTTPField.Name(name) else { continue }
                headers[name] = value
            }
            return Response(
                status: .init(code: status), headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: body)))
        }

        func fits(_ method: String, _ target: String) -> Bool {
            (self.method.map { $0 == method } ?? true) && (self.path?.isFound(in: target) ?? true)
        }
    }

    /// A duration as Go writes it.
    struct DurationValue: Codable, Sendable {
        let duration: Duration

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            guard let duration = DurationText.read(try container.decode(String.self)) else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "no duration such as 500ms")
            }
            self.duration = duration
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode(DurationText.write(self.duration))
        }
    }

    /// A regular expression as text.
    struct Expression: Codable, Sendable {
        private let expression: RegularExpression

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            let text = try container.decode(String.self)
            do throws(ConfigMistake) {
                self.expression = try RegularExpression(text)
            } catch {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: error.problem)
            }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode(self.expression.text)
        }

        func isFound(in text: String) -> Bool {
            unsafe self.expression.isFound(in: Array(text.utf8).span.bytes)
        }
    }
}
