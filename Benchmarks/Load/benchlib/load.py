"""Drives the load tools and reads what they print."""
import json
import math
import os
import re

from .managed import run_load


def lua_string(b):
    return '"' + "".join(chr(c) if 32 <= c < 127 and c not in (34, 92) else f"\\{c:03d}" for c in b) + '"'


def wrk_script(s):
    lines = [f'wrk.method = "{"POST" if s.post else "GET"}"', f"wrk.path = {lua_string(s.target().encode())}"]
    lines += [f"wrk.headers[{lua_string(k.encode())}] = {lua_string(v.encode())}"
              for k, v in s.headers() if k != "Content-Length"]
    if s.post:
        lines.append(f"wrk.body = {lua_string(s.body())}")
    lines.append("""
function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format('RESULT {"requests":%d,"us":%d,"bytes":%d,"p50":%d,"p90":%d,"p99":%d,"max":%d,' ..
      '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\\n', summary.requests, summary.duration,
      summary.bytes, latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
      e.connect, e.read, e.write, e.status, e.timeout))
end""")
    return "\n".join(lines)


class Loader:
    def __init__(self, tools, work, cpu):
        self.tools, self.work, self.cpu = tools, work, cpu

    def _file(self, name, content):
        path = os.path.join(self.work, name)
        with open(path, "wb") as f:
            f.write(content)
        return path

    def _run(self, argv, seconds):
        return run_load(argv, self.cpu, os.path.join(self.work, "load.err"), seconds + 20)

    def request_file(self, s):
        return self._file(f"request-{s.key}", s.request())

    def loadgen(self, mode, s, at, seconds, extra=()):
        argv = [self.tools["loadgen"], mode, "--host", at.host, "--port", str(at.port), "--request", self.request_file(s),
                "--conns", str(s.conns), "--seconds", str(seconds), "--body", str(s.expect), *extra]
        out, cpu = self._run(argv, seconds)
        r = json.loads(out.strip().splitlines()[-1])
        lat = r["latency_us"]
        return {"requests": r["completed"], "seconds": r["seconds"], "errors": sum(r["errors"].values()),
                "error_kinds": {k: v for k, v in r["errors"].items() if v}, "load_cpu": cpu,
                "p50": lat["p50"], "p90": lat["p90"], "p99": lat["p99"], "p999": lat["p999"], "max": lat["max"],
                **({"send_lag_p99": r["send_lag_us"]["p99"]} if "send_lag_us" in r else {})}

    def wrk(self, s, at, seconds):
        script = self._file(f"wrk-{s.key}.lua", wrk_script(s).encode())
        argv = [self.tools["wrk"], "-t1", f"-c{s.conns}", f"-d{int(seconds)}s", "-s", script, f"{s.scheme}://{at.host}:{at.port}/"]
        out, cpu = self._run(argv, seconds)
        m = re.search(r"^RESULT (\{.*\})$", out, re.M)
        if not m:
            raise RuntimeError(f"wrk said: {out[-500:]}")
        r = json.loads(m.group(1))
        kinds = {k: r[k] for k in ("connect", "read", "write", "status", "timeout") if r[k]}
        return {"requests": r["requests"], "seconds": r["us"] / 1e6, "bytes": r["bytes"], "errors": sum(kinds.values()),
                "error_kinds": kinds, "load_cpu": cpu, "p50": r["p50"], "p90": r["p90"], "p99": r["p99"], "max": r["max"]}

    def grpc_body(self, s):
        return self._file("grpc-body", b"\x00" + (s.post - 5).to_bytes(4, "big") + b"m" * (s.post - 5))

    def h2load(self, s, at, seconds, log=True):
        argv = [self.tools["h2load"], "-t1", f"-c{s.conns}", f"-m{s.streams}", "-D", f"{int(seconds * 1000)}ms", "-d", self.grpc_body(s),
                "-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "grpc-timeout: 5S",
                "-H", "user-agent: grpc-go/1.64.0", "-H", "x-request-id: 7b1f6f0e-3c1d-4f59-9a63-0d8f2c5e7a11",
                "-H", "authorization: Bearer " + "eyJhbGciOiJSUzI1NiJ9." * 9]
        shm = "/dev/shm"                     # the log must not wait for a disk
        path = os.path.join(shm if os.access(shm, os.W_OK) else self.work, os.path.basename(self.work) + "-h2load.log")
        if os.path.exists(path):
            os.unlink(path)
        if log:
            argv.append(f"--log-file={path}")
        out, cpu = self._run(argv + [f"http://{at.host}:{at.port}{s.path}"], seconds)
        took = re.search(r"finished in ([\d.]+)(us|ms|s)", out)
        r = re.search(r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
        codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
        data = re.search(r"traffic: .*?\((\d+)\) total.*?\((\d+)\) data", out, re.S)
        if not (took and r and codes):
            raise RuntimeError(f"h2load said: {out[-800:]}")
        done, bad = int(r[3]), sum(int(codes[i]) for i in (2, 3, 4))
        lat = []
        if log:
            with open(path) as f:
                lat = sorted(int(line.rsplit("\t", 1)[1]) for line in f)
            os.unlink(path)

        def q(p):
            return lat[min(len(lat) - 1, math.ceil(p * len(lat)) - 1)] if lat else None
        return {"requests": done, "seconds": float(took[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1}[took[2]],
                "errors": int(r[5]) + int(r[7]) + bad, "error_kinds": {}, "load_cpu": cpu,
                "body_bytes": int(data[2]) if data else None, "p50": q(.5), "p90": q(.9), "p99": q(.99),
                "max": lat[-1] if lat else None}

    def warm(self, s, at, seconds):
        if s.tool == "h2load":
            return self.h2load(s, at, seconds, log=False)
        return self.loadgen("churn" if s.tool == "churn" else "closed", s, at, seconds,
                            ("--spread", "16") if s.tool == "churn" else ())

    def drive(self, s, at, seconds):
        if s.tool == "wrk":
            return self.wrk(s, at, seconds)
        if s.tool == "h2load":
            return self.h2load(s, at, seconds)
        if s.tool == "churn":
            return self.loadgen("churn", s, at, seconds, ("--spread", "16"))
        return self.loadgen("open", s, at, seconds, ("--rate", str(s.rate)))
