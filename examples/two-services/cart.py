#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Service B: tells what it was asked for, and by whom."""

import http.server


class Cart(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        caller = self.headers.get("x-cse-context", "somebody")
        body = f"cart says {self.path} to {caller}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", 8085), Cart).serve_forever()
