#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Service A: on each request it asks the service `cart`, by name, through the proxy of its environment."""

import http.server
import urllib.request


class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with urllib.request.urlopen("http://cart" + self.path, timeout=5) as answer:
            body = b"web got: " + answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", 8081), Web).serve_forever()
