// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import CMesher
import Common
import Dispatch
import Glibc
import Synchronization

/// The screen of `mesher top`: what is shown on it, and what keys change.
///
/// The terminal is given back as it was at every end of the process.
final class TopSession: Sendable {
    private struct State {
        var view = TopView()
        var document: TrafficDocument?
        var failure: String?
        var hasEnded = false
        /// Whether standard input is a terminal.
        var hasKeys = false
    }

    private let admin: String
    private let state = Mutex(State())

    /// The whole screen, without cursor; what is too long ends at the edge.
    private static let entering = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l"
    private static let leaving = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"

    init(_ admin: String) { self.admin = admin }

    /// Takes the terminal.
    ///
    /// - Returns: What listens to keys and signals, for as long as somebody holds it.
    func begin() -> [any DispatchSourceProtocol] {
        // Before anybody can see that there is something to end.
        let signals = cmesher_terminal_signals()
        let hasKeys = Self.enter()
        self.state.withLock { $0.hasKeys = hasKeys }
        var sources: [any DispatchSourceProtocol] = []
        if signals >= 0 {
            sources.append(Self.source(signals) { bytes in bytes?.forEach { self.take(Int32($0)) } })
        }
        if hasKeys { sources.append(Self.source(STDIN_FILENO) { self.press($0) }) }
        return sources
    }

    /// Gives the terminal back.
    func end() {
        self.state.withLock { state in
            state.hasEnded = true
            cmesher_terminal_end()
        }
    }

    /// Shows the newest numbers, unless what is there is to stay.
    func show(_ document: TrafficDocument) {
        self.state.withLock { state in
            if state.view.isPaused, state.document != nil { return }
            state.document = document
            state.failure = nil
            self.draw(state)
        }
    }

    /// Shows why there are none.
    func show(_ failure: AdminClient.Failure) {
        self.state.withLock { state in
            state.failure = failure.description
            self.draw(state)
        }
    }

    // MARK: Keys and signals

    private static func enter() -> Bool {
        unsafe Self.entering.withCString { entering in
            unsafe Self.leaving.withCString { unsafe cmesher_terminal_begin(entering, $0) }
        }
    }

    /// Calls `act` with what can be read there; with `nil` at its end.
    private static func source(
        _ descriptor: Int32, _ act: @escaping @Sendable ([UInt8]?) -> Void
    ) -> any DispatchSourceRead {
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: .global())
        source.setEventHandler {
            var bytes = [UInt8](repeating: 0, count: 256)
            let count = unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR || errno == EAGAIN { return }
            act(count > 0 ? Array(bytes.prefix(count)) : nil)
        }
        source.resume()
        return source
    }

    private func take(_ signal: Int32) {
        switch signal {
        case SIGTSTP: self.pauseProcess()
        case SIGWINCH: self.redraw()
        default: self.quit()
        }
    }

    private func press(_ keys: [UInt8]?) {
        // The terminal is gone, and so is whoever looked at it.
        guard let keys else { return self.quit() }
        let effect = self.state.withLock { state in
            let effect = state.view.press(keys)
            if effect == .redraw { self.draw(state) }
            return effect
        }
        if effect == .quit { self.quit() }
    }

    private func redraw() { self.state.withLock { self.draw($0) } }

    private func quit() {
        self.end()
        Glibc.exit(0)
    }

    /// Ctrl-Z: the shell gets its own screen for as long as this process stands still.
    private func pauseProcess() {
        self.state.withLock { state in
            if state.hasEnded { return }
            cmesher_terminal_end()
            // To this very thread, which goes no further before it is continued.
            raise(SIGSTOP)
            _ = Self.enter()
            self.draw(state)
        }
    }

    // MARK: Drawing

    private func draw(_ state: borrowing State) {
        if state.hasEnded { return }
        let window = TopWindow.current
        let view = state.hasKeys ? state.view : nil
        let text: String
        if let view, view.showsKeys {
            text = TopView.keys
        } else if let failure = state.failure {
            text = "\(failure)\n\nTrying again; Ctrl-C ends.\n"
        } else if let document = state.document {
            text = TopScreen(document, self.admin, view).text(isTerminal: true, window: window)
        } else {
            return
        }
        // Drawn over the last one, so that nothing flickers.
        var screen = "\u{1b}[H" + text.replacing("\n", with: "\u{1b}[K\n") + "\u{1b}[J"
        if let window, let view, window.rows > 1 {
            screen += "\u{1b}[\(window.rows);1H\u{1b}[7m\(view.footer.prefix(window.columns))\u{1b}[0m\u{1b}[K"
        }
        Console.write(screen)
    }
}
