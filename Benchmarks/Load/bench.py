#!/usr/bin/env python3
"""Benchmark of HTTP sidecar proxies; see README.md."""
import argparse
import contextlib
import datetime
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

from benchlib import config, managed, procfs, report
from benchlib.load import Loader
from benchlib.scenarios import ALL, BY_KEY, IDLE_STEPS, SERVICE, SERVICE_PORT

HERE = os.path.dirname(os.path.abspath(__file__))
TEMPLATES = os.path.join(HERE, "templates")


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def build():
    """Compiles src/*.c where older than their sources; returns the folder."""
    out = os.environ.setdefault("BENCH_BUILD", os.path.join(HERE, "build"))
    os.makedirs(out, exist_ok=True)
    shared = os.path.getmtime(os.path.join(HERE, "src", "http1.h"))
    for name in ("backend", "backend_h2", "relay", "loadgen"):
        src, exe = os.path.join(HERE, "src", name + ".c"), os.path.join(out, name)
        if not os.path.exists(exe) or os.path.getmtime(exe) < max(shared, os.path.getmtime(src)):
            subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", exe, src, "-lm"], check=True)
    return out


class Bench:
    def __init__(self, args, bench, proxies):
        self.args, self.cfg, self.proxies = args, bench, proxies
        self.work = tempfile.mkdtemp(prefix="bench-")
        self.tag = f"run{os.getpid()}"
        built = build()
        self.tools = {name: os.path.join(built, name) for name in ("loadgen", "backend", "backend_h2")}
        for tool in ("wrk", "h2load"):
            self.tools[tool] = config.find_binary([f"${tool.upper()}_BIN", tool])
        self.loader = Loader(self.tools, self.work, args.load_cpu)
        self.measurements, self.skipped, self.versions = [], {}, {}

    # --- backend ---
    @contextlib.contextmanager
    def backend(self, scenario):
        port = managed.free_ports(1)[0]
        folder = tempfile.mkdtemp(prefix="backend-", dir=self.work)
        log = os.path.join(folder, "log")
        kind = self.backend_kind(scenario)
        if kind == "nginx":
            www = os.path.join(folder, "www")
            os.mkdir(www)
            os.chmod(folder, 0o755)
            for name, size in (("1k", 1024), ("10k", 10240), ("1m", 1 << 20)):
                with open(os.path.join(www, name), "w") as f:
                    f.write("x" * size)
            with open(os.path.join(TEMPLATES, "nginx-backend.conf")) as f:
                text = config.fill(f.read(), {"dir": folder, "listen": port, "tag": self.tag, "small": "x" * 120})
            with open(os.path.join(folder, "nginx.conf"), "w") as f:
                f.write(text)
            binary = config.find_binary(["$BACKEND_NGINX_BIN", "$NGINX_BIN", "nginx"])
            if not binary:
                raise SystemExit("no nginx for the backend: set BACKEND_NGINX_BIN")
            argv = [binary, "-p", folder, "-e", log, "-c", os.path.join(folder, "nginx.conf")]
        else:
            argv = [self.tools[kind], str(port), self.tag]
        m = managed.Managed(argv, self.args.load_cpu, log)
        try:
            self.wait(lambda: self.listens(port), m, "backend")
            yield managed.At("127.0.0.1", port), m
        finally:
            m.stop()

    def backend_kind(self, scenario):
        return "backend_h2" if scenario.profile == "http2" else {"c": "backend"}.get(self.args.backend, self.args.backend)

    def need(self, tool):
        if not self.tools[tool]:
            raise SystemExit(f"{tool} not found: put it on PATH or set {tool.upper()}_BIN")
        return self.tools[tool]

    @staticmethod
    def listens(port):
        import socket
        with socket.socket() as s:
            s.settimeout(0.5)
            return s.connect_ex(("127.0.0.1", port)) == 0

    @staticmethod
    def wait(ready, m, what, seconds=15):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not m.alive():
                raise RuntimeError(f"{what} exited at start: {m.tail()}")
            try:
                if ready():
                    return
            except (OSError, ValueError, IndexError):
                pass
            time.sleep(0.02)
        raise RuntimeError(f"{what} not ready after {seconds} s: {m.tail()}")

    # --- proxies ---
    @contextlib.contextmanager
    def proxy(self, proxy, scenario, upstream):
        """Starts the chain of hops; gives where to send the load, and the processes."""
        if proxy is None:
            yield upstream, []
            return
        chain, at = [], upstream
        try:
            for hop in range(scenario.hops):
                profile = scenario.profile if hop == scenario.hops - 1 else "http1"
                listen, admin = managed.free_ports(2)
                folder = tempfile.mkdtemp(prefix=proxy.name + "-", dir=self.work)
                plan = proxy.plan(profile, {"dir": folder, "listen": listen, "upstream": at.port, "upstream_host": at.host, "admin": admin,
                                            "bench": HERE, "service": SERVICE, "service_port": SERVICE_PORT}, TEMPLATES)
                if profile == "tls":
                    self.certificate(folder)
                for name, text in plan["files"].items():
                    with open(os.path.join(folder, name), "w") as f:
                        f.write(text)
                m = managed.Managed(plan["argv"], self.args.proxy_cpu, os.path.join(folder, "log"), plan["env"], cwd=folder)
                m.pidfile = plan["pidfile"]
                chain.append(m)
                if plan["ready"]:
                    host, _, path = plan["ready"].removeprefix("http://").partition("/")
                    self.wait(lambda: managed.fetch(managed.At("127.0.0.1", int(host.rsplit(":", 1)[1])), "/" + path)[0] == 200, m, proxy.name)
                here = managed.At(plan["host"], listen)
                if profile == "http2":
                    self.wait(lambda: self.h2_works(scenario, here), m, proxy.name)
                else:
                    self.wait(lambda: self.http1_works(scenario, here), m, proxy.name)
                at = here
            yield at, chain
        finally:
            for m in reversed(chain):
                m.stop()

    @staticmethod
    def certificate(folder):
        """A certificate of its own: server.crt, server.key, and both in server.pem."""
        names = [os.path.join(folder, f"server.{end}") for end in ("crt", "key", "pem")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", f"/CN={SERVICE}", "-out", names[0], "-keyout", names[1]],
                       check=True, capture_output=True, timeout=30)
        with open(names[2], "w") as f:
            f.write("".join(open(name).read() for name in names[:2]))

    def http1_works(self, s, at):
        path = f"http://{SERVICE}:{SERVICE_PORT}{s.path}" if s.profile == "forward" else s.path
        status, headers, body = managed.fetch(at, path, f"{SERVICE}:{SERVICE_PORT}", s.body() if s.post else None,
                                              tls=s.profile == "tls")
        return status == 200 and headers.get("x-bench-backend") == self.tag and len(body) == s.expect

    def h2_works(self, s, at):
        r = subprocess.run([self.need("h2load"), "-n2", "-c1", f"http://{at.host}:{at.port}{s.path}", "-H", "te: trailers",
                            "-H", "content-type: application/grpc", "-d", self.loader.grpc_body(s)],
                           capture_output=True, text=True, timeout=5)
        return "status codes: 2 2xx" in r.stdout

    def wait_quiet(self):
        """Waits a bounded time for the other jobs on the machine to use little."""
        end = time.monotonic() + self.args.quiet_wait
        while True:
            h0, t0 = procfs.host(), time.monotonic()
            if t0 >= end:
                return
            time.sleep(0.25)
            if (procfs.host()["busy"] - h0["busy"]) / (time.monotonic() - t0) <= self.args.quiet_below / 100:
                return

    # --- one measurement ---
    def measure(self, s, name, at, chain, backend, round_no, seconds):
        pids = sorted({p for m in chain for p in m.pids()})
        back = backend.pids()
        if s.tool == "idle":
            return self.idle(s, name, at, chain, round_no)
        self.loader.warm(s, at, self.args.warmup)
        if self.args.quiet_wait:
            self.wait_quiet()
        h0, t0, c0, b0 = procfs.host(), time.monotonic(), procfs.cpu(pids), procfs.cpu(back)
        r = self.loader.drive(s, at, seconds)
        c1, b1, h1, t1 = procfs.cpu(pids), procfs.cpu(back), procfs.host(), time.monotonic()
        for m in chain:
            if not m.alive():
                raise RuntimeError(f"{name} died under load: {m.tail()}")
        n, wall = max(1, r["requests"]), t1 - t0
        used = {k: c1[k] - c0[k] for k in c0}
        cpu = used["user"] + used["sys"]
        back_cpu = b1["user"] + b1["sys"] - b0["user"] - b0["sys"]
        out = {"scenario": s.key, "proxy": name, "round": round_no, **r, "rps": r["requests"] / r["seconds"],
               "backend_us": back_cpu * 1e6 / n,
               "foreign": max(0.0, h1["busy"] - h0["busy"] - cpu - back_cpu - r["load_cpu"]) / wall,
               "steal": (h1["steal"] - h0["steal"]) / wall}
        if chain:
            mem = procfs.memory(pids)
            out.update(cpu_us=cpu * 1e6 / n, user_us=used["user"] * 1e6 / n, sys_us=used["sys"] * 1e6 / n,
                       exact_cpu_us=used["exact"] * 1e6 / n, proxy_busy=cpu / wall, vol_switches=used["vol"] / n,
                       invol_switches=used["invol"] / n, rss_peak=mem["peak"], rss=mem["rss"], pss=mem["pss"],
                       processes=len(pids))
            if s.tool == "open" and used["exact"]:      # few ticks at a low rate: the exact figure is the better one
                out["cpu_us"] = out["exact_cpu_us"]
        return out

    def idle(self, s, name, at, chain, round_no):
        out = {"scenario": s.key, "proxy": name, "round": round_no}
        gen = managed.Managed([self.tools["loadgen"], "idle", "--host", at.host, "--port", str(at.port), "--request", self.loader.request_file(s),
                               "--body", str(s.expect)], self.args.load_cpu, os.path.join(self.work, "load.err"),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            def ask(line):
                gen.popen.stdin.write(line.encode() + b"\n")
                gen.popen.stdin.flush()
                return json.loads(gen.popen.stdout.readline())

            def look(k):
                time.sleep(1.5)
                mem = procfs.memory(sorted({p for m in chain for p in m.pids()}))
                out[f"rss_{k}"], out[f"pss_{k}"] = mem["rss"], mem["pss"]
            ask("open 1")
            look(0)
            for k in IDLE_STEPS:
                ask(f"open {k}")
                look(k)
            last = ask("check")
            out.update(alive=last["alive"], errors=sum(last["errors"].values()),
                       kib_per_conn=(out[f"rss_{IDLE_STEPS[-1]}"] - out["rss_0"]) / IDLE_STEPS[-1])
        finally:
            gen.stop()
        return out

    # --- system calls ---
    def syscalls(self, names):
        """System calls per request in scenario a, by kind."""
        strace, s, out = config.find_binary(["$STRACE_BIN", "strace"]), BY_KEY["a"], {}
        if not strace:
            say("strace not found: no system call counts")
            return out
        for n in names:
            if n == "direct" or "http1" not in self.proxies[n].profiles:
                continue
            with self.backend(s) as (upstream, _), self.proxy(self.proxies[n], s, upstream) as (at, chain):
                self.loader.warm(s, at, 0.5)
                path = os.path.join(self.work, "strace")
                pids = [str(p) for m in chain for p in m.pids()]
                t = managed.Managed([strace, "-f", "-c", "-U", "name,calls", "-o", path, *[x for p in pids for x in ("-p", p)]],
                                    self.args.load_cpu, path + ".log")
                time.sleep(0.7)
                r = self.loader.loadgen("closed", s, at, 3)
                t.stop()
                kinds = {"read": 0, "write": 0, "epoll_wait": 0, "epoll_ctl": 0, "other": 0}
                with open(path) as f:
                    for line in f:
                        w = line.split()
                        if len(w) != 2 or not w[1].isdigit() or w[0] == "total":
                            continue
                        kind = ("read" if w[0] in ("read", "readv", "recvfrom", "recvmsg") else
                                "write" if w[0] in ("write", "writev", "sendto", "sendmsg", "sendfile") else
                                "epoll_wait" if w[0].startswith("epoll_") and w[0] != "epoll_ctl" else
                                w[0] if w[0] == "epoll_ctl" else "other")
                        kinds[kind] += int(w[1])
                out[n] = {k: v / max(1, r["requests"]) for k, v in {**kinds, "all": sum(kinds.values())}.items()}
                say(f"syscalls {n}: " + ", ".join(f"{k} {v:.2f}" for k, v in out[n].items()))
        return out

    # --- the whole run ---
    def run(self, groups, names, rounds, seconds):
        for n in list(names):
            p = self.proxies.get(n)
            if n != "direct" and (p is None or p.missing()):
                self.skipped[n] = p.missing() if p else "no such proxy"
                say(f"{n}: {self.skipped[n]}, skipped")
                names.remove(n)
            elif n != "direct":
                self.versions[n] = p.version()
        for group in groups:
            with self.backend(group[0]) as (upstream, backend):
                count = 1 if group[0].tool == "idle" else rounds
                for r in range(count):
                    turn = names[r % len(names):] + names[:r % len(names)]
                    for n in turn:
                        self.one(group, n, upstream, backend, r, seconds)

    def one(self, group, n, upstream, backend, r, seconds):
        todo = list(group)
        while todo:
            s = todo[0]
            together = [x for x in todo if x.profile == s.profile and x.hops == s.hops]
            todo = [x for x in todo if x not in together]
            p = None if n == "direct" else self.proxies[n]
            wanted = {s.profile} | ({"http1"} if s.hops > 1 else set())
            if p is None and (s.tool == "idle" or s.hops > 1) or p is not None and not wanted <= set(p.profiles):
                continue
            if s.tool == "idle" and n == "relay":
                continue                               # two descriptors a client: past the usual limit, and no HTTP to wait with
            try:
                with self.proxy(p, s, upstream) as (at, chain):
                    for x in together:
                        m = self.measure(x, n, at, chain, backend, r, seconds)
                        self.measurements.append(m)
                        say(f"{x.key:5s} round {r + 1} {n:15s}", *(
                            [f"{m['kib_per_conn']:.2f} KiB/conn"] if x.tool == "idle" else
                            [f"{m.get('cpu_us', 0):8.2f} us/req  {m['rps']:9.0f} req/s  p99 {(m['p99'] or 0) / 1e3:7.2f} ms"
                             f"  errors {m['errors']}  foreign {m['foreign'] * 100:.0f} %"]))
            except (RuntimeError, OSError, subprocess.SubprocessError, ValueError) as e:
                self.measurements.append({"scenario": s.key, "proxy": n, "round": r, "failed": str(e)[:500]})
                say(f"{s.key:5s} round {r + 1} {n:15s} FAILED: {e}")


def write(args, data):
    data["summary"] = report.summarise(data)
    page = report.markdown(data)
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, args.name + ".json"), "w") as f:
        json.dump(data, f, indent=1)
    with open(os.path.join(args.out, args.name + ".md"), "w") as f:
        f.write(page)
    print(page)


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--quick", action="store_true", help="scenarios a and g against the quick peers, under a minute (default)")
    a.add_argument("--full", action="store_true", help="all scenarios, all proxies found")
    a.add_argument("--scenarios", help="comma-separated keys: " + ",".join(BY_KEY))
    a.add_argument("--proxies", help="comma-separated names; direct is no proxy")
    a.add_argument("--rounds", type=int)
    a.add_argument("--seconds", type=int, help="length of one window")
    a.add_argument("--warmup", type=float)
    a.add_argument("--target", help="the proxy that is ours (default: [bench] target of the configuration)")
    a.add_argument("--target-cmd", help="command line of the target instead of its entry, with the words of proxies.toml")
    a.add_argument("--max-cpu-ratio", type=float, help="exit 1 when the target's CPU per request is above this many times the baseline's")
    a.add_argument("--priority", type=int, default=0, metavar="NICE",
                   help="run all under this nice value; below 0 (as root) other jobs disturb open-loop latency less, and are disturbed more")
    a.add_argument("--quiet-wait", type=float, default=0, metavar="S",
                   help="before each window wait up to S seconds for the machine's other jobs to calm down")
    a.add_argument("--quiet-below", type=float, default=40, metavar="PERCENT", help="what counts as calm, in percent of one CPU")
    a.add_argument("--config", default=os.path.join(HERE, "proxies.toml"))
    a.add_argument("--backend", choices=("c", "nginx"), default="c")
    a.add_argument("--load-cpu", type=int, default=0)
    a.add_argument("--proxy-cpu", type=int, default=1)
    a.add_argument("--out", default=os.path.join(HERE, "results"), help="folder for results.json and results.md")
    a.add_argument("--name", default="results")
    a.add_argument("--syscalls", action="store_true", help="also count system calls per request (needs strace)")
    a.add_argument("--keep", action="store_true", help="keep the work folder")
    a.add_argument("--merge", nargs="+", metavar="JSON", help="only join earlier runs into one: scenarios add up, and rounds of the same one")
    a.add_argument("--note", action="append", help="with --merge: a line for the head of the page; may be repeated")
    a.add_argument("--report", metavar="JSON", help="only make the Markdown page of an earlier run again")
    args = a.parse_args()
    if args.report:
        with open(args.report) as f:
            print(report.markdown(json.load(f)))
        return 0
    if args.merge:
        runs = []
        for path in args.merge:
            with open(path) as f:
                runs.append(json.load(f))
        write(args, {**report.merge(runs), "notes": args.note or []})
        return 0
    began = time.monotonic()
    managed.priority = args.priority
    build()
    bench, proxies = config.load(args.config)
    target = args.target or bench.get("target")
    if args.target_cmd:
        words = shlex.split(args.target_cmd)
        target = args.target or "target"
        proxies[target] = config.Proxy(target, {"binary": [words[0]], "args": words[1:],
                                                "profiles": {"http1": {}, "forward": {}, "http2": {}}})
    quick = not args.full
    rounds = args.rounds or (3 if quick else 5)
    seconds = args.seconds or (1 if quick else 3)
    args.warmup = args.warmup or (0.3 if quick else 0.7)
    if args.scenarios:
        keys = args.scenarios.split(",")
        for k in keys:
            if k not in BY_KEY:
                a.error(f"no scenario {k}")
        chosen = [s for s in ALL if s.key in keys]
    else:
        chosen = [BY_KEY["a"], BY_KEY["g"]] if quick else ALL
    if args.proxies:
        names = args.proxies.split(",")
    elif quick:
        names = [n for n in bench.get("quick", []) + [target] if n]
    else:
        names = ["direct"] + list(proxies)
    groups = [chosen] if quick and {s.tool for s in chosen} == {"wrk"} else [[s] for s in chosen]
    available = os.sched_getaffinity(0)
    if not {args.load_cpu, args.proxy_cpu} <= available:
        a.error(f"needs CPUs {args.load_cpu} and {args.proxy_cpu}; this process may use {sorted(available)}")
    b = Bench(args, bench, proxies)
    if any(s.tool == "wrk" for s in chosen):
        b.need("wrk")
    if any(s.tool == "h2load" for s in chosen):
        b.need("h2load")
    cpu_model = ""
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                cpu_model = line.split(":", 1)[1].strip()
                break
    try:
        b.run(groups, names, rounds, seconds)
        calls = b.syscalls(names) if args.syscalls else {}
    finally:
        managed.stop_all()
        if args.keep:
            say(f"work folder kept: {b.work}")
        else:
            shutil.rmtree(b.work, ignore_errors=True)
    data = {"mode": "quick" if quick else "full", "date": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
            "host": f"{cpu_model}, {os.cpu_count()} CPUs, Linux {platform.release()}", "rounds": rounds, "seconds": seconds,
            "backend": {"c": "src/backend.c", "nginx": "nginx"}[args.backend] + "; src/backend_h2.c for HTTP/2",
            "baseline": bench.get("baseline", "envoy"), "target": target, "proxy_cpu": args.proxy_cpu,
            "load_cpu": args.load_cpu, "priority": args.priority, "took_s": round(time.monotonic() - began, 1), "versions": b.versions,
            "skipped": b.skipped, "measurements": b.measurements, "syscalls": calls}
    write(args, data)
    bad = [m for m in b.measurements if "failed" in m]
    status = 1 if bad else 0
    if args.max_cpu_ratio is not None:
        worst = [(s[target]["ratio_cpu_us"]["median"], k) for k, s in data["summary"].items()
                 if target in s and s[target].get("ratio_cpu_us")]
        if not worst or max(worst)[0] > args.max_cpu_ratio:
            status = 1
        print(f"{target}: CPU per request at most " + (f"{max(worst)[0]:.2f} times {data['baseline']}'s (scenario {max(worst)[1]})"
              if worst else "unknown: not measured") + f"; bound {args.max_cpu_ratio}")
    say(f"took {data['took_s']} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
