// SPDX-License-Identifier: Apache-2.0

/// The page of the admin API: one document, so that a browser asks for nothing else.
///
/// `Resources/Page/` has its markup, its style and the parts of its script, which share one scope.
enum Page {
    /// The document.
    static let bytes: [UInt8] = {
        let script = Self.scripts.map { Self.text($0) }.joined(separator: "\n")
        return Array(
            Self.text(PackageResources.page_html)
                .replacing("/* page.css */\n", with: Self.text(PackageResources.page_css))
                .replacing("/* page.js */\n", with: script)
                .utf8)
    }()

    /// In the order in which they run.
    private static var scripts: [[UInt8]] {
        [
            PackageResources.page_basis_js, PackageResources.page_map_js, PackageResources.page_address_js,
            PackageResources.page_detail_js, PackageResources.page_services_js, PackageResources.page_failures_js,
            PackageResources.page_explain_js, PackageResources.page_certificates_js,
            PackageResources.page_operations_js, PackageResources.page_live_js,
        ]
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
