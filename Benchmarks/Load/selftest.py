#!/usr/bin/env python3
"""Checks the bench's own tools against cases whose answer is known."""
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import bench
from benchlib import config, load, managed, procfs, report
from benchlib.scenarios import ALL, BY_KEY

BUILT = bench.build()


class WithBackend(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="bench-selftest-")
        self.port, self.relay_port = managed.free_ports(2)
        log = os.path.join(self.dir.name, "log")
        self.backend = managed.Managed([BUILT + "/backend", str(self.port), "self"], 0, log)
        self.relay = managed.Managed([BUILT + "/relay", str(self.relay_port), str(self.port)], 0, log)
        for port, m in ((self.port, self.backend), (self.relay_port, self.relay)):
            bench.Bench.wait(lambda: bench.Bench.listens(port), m, "server")

    def tearDown(self):
        self.relay.stop()
        self.backend.stop()
        self.dir.cleanup()

    def loadgen(self, mode, key, port, *extra):
        path = os.path.join(self.dir.name, "request")
        with open(path, "wb") as f:
            f.write(BY_KEY[key].request())
        out = subprocess.run([BUILT + "/loadgen", mode, "--port", str(port), "--request", path, *extra],
                             capture_output=True, text=True, timeout=30, check=True)
        return json.loads(out.stdout)

    def test_bodies(self):
        for port in (self.port, self.relay_port):
            for s in ALL:
                if s.profile != "http2":
                    status, headers, body = managed.fetch(managed.At("127.0.0.1", port), s.target(), body=s.body() if s.post else None)
                    self.assertEqual((status, len(body), headers["x-bench-backend"]), (200, s.expect, "self"), s.key)

    def test_request_has_twelve_headers(self):
        head = BY_KEY["a"].request().split(b"\r\n\r\n")[0].split(b"\r\n")
        self.assertEqual(len(head) - 1, 12)
        self.assertTrue(BY_KEY["g"].request().startswith(b"GET http://orders.bench:8080/small HTTP/1.1\r\n"))

    def test_open_loop_keeps_its_rate(self):
        r = self.loadgen("open", "j2k", self.port, "--rate", "1000", "--seconds", "1", "--settle", "0.2", "--conns", "8")
        self.assertEqual(r["latency_us"]["count"], 1000)
        self.assertEqual(sum(r["errors"].values()), 0)
        self.assertEqual(r["completed"], 1200 + 8)

    def test_open_loop_charges_a_stall_to_all_it_delays(self):
        stall = 0.4
        t = threading.Timer(0.8, self.backend.popen.send_signal, [signal.SIGSTOP])
        u = threading.Timer(0.8 + stall, self.backend.popen.send_signal, [signal.SIGCONT])
        t.start(), u.start()
        r = self.loadgen("open", "j2k", self.port, "--rate", "500", "--seconds", "2", "--settle", "0.1", "--conns", "4")
        t.join(), u.join()
        # 20 % of the requests were due in the stall, their waits spread evenly over it
        self.assertGreater(r["latency_us"]["max"], stall * 0.9e6)
        self.assertGreater(r["latency_us"]["p90"], stall * 0.3e6)
        self.assertLess(r["latency_us"]["p50"], stall * 0.3e6)
        self.assertEqual(r["latency_us"]["count"], 1000)

    def test_churn_opens_a_connection_for_each(self):
        for key in ("e", "e2"):
            r = self.loadgen("churn", key, self.port, "--seconds", "0.5", "--conns", "8", "--spread", "4")
            self.assertEqual(sum(r["errors"].values()), 0)
            self.assertGreater(r["completed"], 50)
            self.assertLessEqual(abs(r["opened"] - r["completed"]), 8)

    def test_wrong_body_is_an_error(self):
        r = self.loadgen("closed", "a", self.port, "--seconds", "0.2", "--conns", "2", "--body", "121")
        self.assertEqual(r["errors"]["body"], r["completed"])

    def test_refused_is_an_error(self):
        port = managed.free_ports(1)[0]
        path = os.path.join(self.dir.name, "request")
        with open(path, "wb") as f:
            f.write(BY_KEY["a"].request())
        out = subprocess.run([BUILT + "/loadgen", "open", "--port", str(port), "--request", path, "--seconds", "0.1", "--conns", "2"],
                             capture_output=True, text=True, timeout=30)
        self.assertEqual((out.returncode, json.loads(out.stdout)["errors"]["connect"]), (1, 2))

    def test_cpu_counts_agree(self):
        pids = [self.relay.popen.pid]
        before = procfs.cpu(pids)
        self.loadgen("closed", "a", self.relay_port, "--seconds", "1")
        after = procfs.cpu(pids)
        ticks = after["user"] + after["sys"] - before["user"] - before["sys"]
        self.assertAlmostEqual(ticks, after["exact"] - before["exact"], delta=0.03)
        self.assertGreater(ticks, 0.05)


class Pure(unittest.TestCase):
    def test_fill(self):
        self.assertEqual(config.fill('a@x@ "@type": @y_2@', {"x": 1, "y_2": "z"}), 'a1 "@type": z')
        with self.assertRaises(config.ConfigError):
            config.fill("@nope@", {})

    def test_lua_string(self):
        self.assertEqual(load.lua_string(b'a"\\\n'), '"a\\034\\092\\010"')

    def test_ratios_pair_rounds(self):
        m = [{"scenario": "a", "proxy": p, "round": r, "cpu_us": c, "rps": 1.0, "p99": 1, "errors": 0}
             for p, r, c in (("envoy", 0, 10.0), ("envoy", 1, 20.0), ("x", 0, 5.0), ("x", 1, 30.0))]
        s = report.summarise({"baseline": "envoy", "measurements": m})["a"]["x"]
        self.assertEqual((s["ratio_cpu_us"]["min"], s["ratio_cpu_us"]["max"]), (0.5, 1.5))

    def test_tree_finds_children(self):
        p = subprocess.Popen(["sh", "-c", "sleep 5 & wait"])
        end = time.monotonic() + 5
        while len(procfs.tree(p.pid)) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        pids = procfs.tree(p.pid)
        for pid in reversed(pids):
            os.kill(pid, signal.SIGKILL)
        p.wait()
        self.assertEqual(len(pids), 2)


if __name__ == "__main__":
    unittest.main()
