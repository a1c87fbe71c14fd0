// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@Suite struct ClusterOutliersTests {
    private typealias Result = EndpointHealth.Result

    private static func at(_ second: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(second) }

    /// Which of the tries have ejected the endpoint, counted from 1.
    private static func ejections(
        _ results: [EndpointHealth.Result], _ outliers: ClusterOutliers = ClusterOutliers(),
        _ health: EndpointHealth = EndpointHealth(), at second: Int64 = 100, draw: Int = 50, mayEject: Bool = true
    ) -> [Int] {
        results.enumerated().compactMap { index, result in
            let isEjected = health.count(result, at: Self.at(second), by: outliers) {
                draw
            } mayEject: {
                mayEject
            }
            return isEjected ? index + 1 : nil
        }
    }

    @Test("five answers from 500 on in a row eject, and calls without an answer count as such")
    func errors() {
        let mixed: [Result] = [.answer(500), .silence(as: 503), .answer(501), .silence(as: 504), .answer(503)]
        #expect(Self.ejections(mixed) == [5])
        #expect(Self.ejections([.answer(500), .answer(500), .answer(500), .answer(500), .answer(499)] + mixed) == [10])
        #expect(Self.ejections([.answer(404), .answer(200)] + mixed.dropLast()) == [])
    }

    @Test("of 502, 503 and 504 so many in a row eject when that is asked for; any other answer ends the row")
    func gatewayErrors() {
        var outliers = ClusterOutliers()
        (outliers.consecutiveErrors, outliers.consecutiveGatewayErrors) = (0, 3)
        let errors: [Result] = [.answer(502), .answer(503), .silence(as: 504)]
        #expect(Self.ejections(errors, outliers) == [])
        outliers.gatewayErrorsPercent = 100
        #expect(Self.ejections(errors, outliers) == [3])
        #expect(Self.ejections([.answer(502), .answer(503), .answer(500)] + errors, outliers) == [6])
    }

    @Test("calls without an answer are told apart where that is asked for")
    func silences() {
        var outliers = ClusterOutliers()
        outliers.tellsSilencesApart = true
        (outliers.consecutiveErrors, outliers.consecutiveSilences) = (3, 2)
        #expect(Self.ejections([.answer(500), .silence(as: 503), .answer(500), .silence(as: 503)], outliers) == [])
        #expect(Self.ejections([.answer(500), .silence(as: 503), .silence(as: 504)], outliers) == [3])
        // A connection ends a row of calls that had none.
        #expect(Self.ejections([.silence(as: 503), .silence(as: 503, isConnected: true)], outliers) == [])
        #expect(Self.ejections([.silence(as: 503, isConnected: true), .silence(as: 503)], outliers) == [2])
        // They end no row of answers.
        #expect(Self.ejections([.answer(500), .silence(as: 503), .answer(500), .answer(500)], outliers) == [4])
    }

    @Test("of those that get so far, as many as is said are ejected; the others begin anew")
    func percents() {
        var outliers = ClusterOutliers()
        (outliers.consecutiveErrors, outliers.errorsPercent) = (2, 50)
        let errors = [Result](repeating: .answer(500), count: 5)
        #expect(Self.ejections(errors, outliers, draw: 49) == [2])
        #expect(Self.ejections(errors, outliers, draw: 50) == [])
        let health = EndpointHealth()
        #expect(Self.ejections(errors, outliers, health, draw: 49, mayEject: false) == [])
        #expect(Self.ejections([.answer(500)], outliers, health, draw: 49) == [1])
        outliers.errorsPercent = 0
        #expect(Self.ejections(errors, outliers, draw: 0) == [])
    }

    @Test(
        "an ejection is so much longer as there were others before it, and each is forgotten after a while without one")
    func times() {
        var outliers = ClusterOutliers()
        outliers.consecutiveErrors = 1
        outliers.maxTime = .seconds(70)
        let health = EndpointHealth()
        func ejected(at second: Int64) -> Bool {
            Self.ejections([.answer(200), .answer(500)], outliers, health, at: second) == [2]
        }
        func lasts(from second: Int64, _ length: Int64) -> Bool {
            health.isEjected(at: Self.at(second + length - 1)) && !health.isEjected(at: Self.at(second + length))
        }
        #expect(ejected(at: 100) && lasts(from: 100, 30))
        // What began before changes nothing.
        #expect(!ejected(at: 110))
        #expect(ejected(at: 130) && lasts(from: 130, 60))
        #expect(ejected(at: 190) && lasts(from: 190, 70))
        #expect(ejected(at: 271) && lasts(from: 271, 70))
        // Three intervals have passed.
        #expect(ejected(at: 371) && lasts(from: 371, 30))
    }

    @Test(
        "no more than a share is ejected, all if that is all, and one always where that is asked for",
        arguments: [
            (10, false, 9, 0), (10, false, 10, 1), (10, false, 25, 2), (100, false, 3, 3), (0, false, 5, 0),
            (10, true, 3, 1), (50, true, 5, 2), (200, false, 1, 1),
        ])
    func share(percent: Int, always: Bool, count: Int, most: Int) {
        var outliers = ClusterOutliers()
        (outliers.maxEjectedPercent, outliers.mayAlwaysEjectOne) = (percent, always)
        var ejected = 0
        while ejected < count, outliers.mayEject(ejected: ejected, of: count) { ejected += 1 }
        #expect(ejected == most)
    }
}
