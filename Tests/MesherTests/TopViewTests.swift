// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Mesher

/// What keys do to `mesher top`.
@Suite struct TopViewTests {
    private func view(_ keys: String...) -> TopView {
        var view = TopView()
        for each in keys { _ = view.press(Array(each.utf8)) }
        return view
    }

    @Test("s goes through the columns, and begins again")
    func sorting() {
        var view = TopView()
        #expect(view.sort == .requests)
        var seen: [TopView.Column] = []
        for _ in TopView.Column.allCases {
            #expect(view.press([UInt8(ascii: "s")]) == .redraw)
            seen.append(view.sort)
        }
        #expect(seen == [.errors, .share, .p50, .p90, .p99, .name, .requests])
    }

    @Test("q quits, also behind other keys, but not as a letter of a name")
    func quitting() {
        var view = TopView()
        #expect(view.press(Array("spq".utf8)) == .quit)
        #expect(view.press(Array("/q".utf8)) == .redraw && view.isTyping && view.filter == "q")
    }

    @Test("what is typed behind / is looked for without regard to letter case")
    func filtering() {
        let view = self.view("/", "C", "ar", "\r")
        #expect(view.filter == "car" && !view.isTyping)
        #expect(view.shows("cart") && view.shows("sCARf") && !view.shows("stock"))
        #expect(self.view("/", "car", "\r", "/", "s", "\r").filter == "s")
        #expect(TopView().shows("anything"))
    }

    @Test("a letter of several bytes is deleted as one")
    func deleting() {
        #expect(self.view("/", "aü", "\u{7f}").filter == "a")
        #expect(self.view("/", "aü", "\u{7f}\u{7f}\u{7f}", "b").filter == "b")
        #expect(self.view("/", "abc", "\u{15}").filter == "")
    }

    @Test("Escape shows all again, while typing and afterwards; arrows are no Escape")
    func escape() {
        #expect(self.view("/", "car", "\u{1b}") == TopView())
        #expect(self.view("/", "car", "\r", "\u{1b}") == TopView())
        for arrow in ["\u{1b}[A", "\u{1b}OB", "\u{1b}[1;5C"] {
            #expect(self.view("/", "car", arrow).filter == "car" && self.view(arrow) == TopView())
        }
    }

    @Test("p pauses and goes on")
    func pausing() {
        #expect(self.view("p").isPaused && self.view("p").footer.hasPrefix("PAUSED"))
        #expect(!self.view("p", "p").isPaused)
    }

    @Test("any key leaves the list of keys, and does nothing else")
    func listOfKeys() {
        #expect(self.view("?").showsKeys)
        #expect(self.view("?", "s") == TopView())
        for key in ["s", "/", "p", "?", "q", "Esc"] { #expect(TopView.keys.contains("  \(key) ")) }
    }

    @Test("keys without a meaning change nothing")
    func others() {
        var view = TopView()
        #expect(view.press(Array("xyz\t\u{3}".utf8)) == .nothing && view == TopView())
    }

    @Test("a name that is typed does not drive the terminal, and is not endless")
    func controls() {
        let typing = self.view("/", "a\u{9b}31m")
        #expect(!typing.footer.unicodeScalars.contains { $0.properties.generalCategory == .control })
        #expect(self.view("/", String(repeating: "x", count: 1000)).filter.count == 100)
    }
}
