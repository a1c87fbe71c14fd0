// SPDX-License-Identifier: Apache-2.0

/// A date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
enum HTTPDate {
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    private static let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]

    /// Seconds since 1970; `nil` for what is no such date.
    ///
    /// The obsolete forms count as none.
    ///
    /// - Source: RFC 9110 §5.6.7, IMF-fixdate.
    static func seconds(_ text: String) -> Int? {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard
            words.count == 6, words[0].last == ",", Self.days.contains(String(words[0].dropLast())),
            let day = Self.number(words[1], 1...31), let month = Self.months.firstIndex(of: String(words[2])),
            let year = Self.number(words[3], 1970...9999, digits: 4), words[5] == "GMT"
        else { return nil }
        let time = words[4].split(separator: ":", omittingEmptySubsequences: false)
        guard
            time.count == 3, let hour = Self.number(time[0], 0...23), let minute = Self.number(time[1], 0...59),
            let second = Self.number(time[2], 0...60)
        else { return nil }
        return ((Self.daysSince1970(year, month + 1, day) * 24 + hour) * 60 + minute) * 60 + second
    }

    private static func number(_ text: Substring, _ range: ClosedRange<Int>, digits: Int = 2) -> Int? {
        guard text.utf8.count == digits, text.utf8.allSatisfy(\.isDigit), let number = Int(text) else { return nil }
        return range.contains(number) ? number : nil
    }

    /// - Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
    private static func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let era = year / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
