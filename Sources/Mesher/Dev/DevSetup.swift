// SPDX-License-Identifier: Apache-2.0

/// What a service has to be started with, so that its calls go through its sidecar.
///
/// - Source: the page of languages.
struct DevSetup: Sendable {
    /// The sidecar's port for outgoing requests.
    let port: Int

    private var proxy: String { "http_proxy=http://127.0.0.1:\(self.port) no_proxy=127.0.0.1,localhost" }
    private var java: String {
        "JAVA_TOOL_OPTIONS=\"-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=\(self.port)\""
    }

    /// By language: what to type in the terminal of the service.
    var lines: [(language: String, text: String)] {
        [
            ("most", "export \(self.proxy)"), ("Node.js 24", "export NODE_USE_ENV_PROXY=1 \(self.proxy)"),
            ("Java", "export \(self.java)"),
        ]
    }

    /// All of it, for a shell.
    var script: String { "export \(self.proxy) NODE_USE_ENV_PROXY=1 \(self.java)\n" }
}
