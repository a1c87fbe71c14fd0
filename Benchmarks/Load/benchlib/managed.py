"""Processes that the bench starts, pins and ends."""
import atexit
import ctypes
import os
import resource
import signal
import socket
import ssl
import subprocess
import time
from typing import NamedTuple

from . import procfs

_live = []
priority = 0          # nice value of all that the bench starts; see bench.py --priority
_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def _child(cpu):
    def setup():
        os.setsid()
        os.sched_setaffinity(0, {cpu})
        if priority:
            os.setpriority(os.PRIO_PROCESS, 0, priority)
            try:                     # with autogroups a session's weight is its group's, not its nice value
                with open("/proc/self/autogroup", "w") as f:
                    f.write(str(priority))
            except OSError:
                pass
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return setup


class Managed:
    """A started process with its descendants.  Only these are ever signalled,
    each by its pid."""

    def __init__(self, argv, cpu, log, env=None, cwd=None, stdin=subprocess.DEVNULL, stdout=None):
        self.argv, self.log = argv, log
        with open(log, "ab") as f:
            self.popen = subprocess.Popen(
                argv, stdin=stdin, stdout=stdout or f, stderr=f, cwd=cwd,
                env={**os.environ, **(env or {})}, preexec_fn=_child(cpu))
        self.pidfile = None
        _live.append(self)

    def pids(self):
        found = procfs.tree(self.popen.pid)
        if self.pidfile and os.path.exists(self.pidfile):
            try:
                with open(self.pidfile) as f:
                    found = sorted(set(found) | set(procfs.tree(int(f.read().split()[0]))))
            except (ValueError, IndexError, OSError):
                pass
        return found

    def alive(self):
        return self.popen.poll() is None or bool(self.pidfile and self.pids())

    def tail(self):
        try:
            with open(self.log, errors="replace") as f:
                return f.read()[-2000:]
        except OSError:
            return ""

    def stop(self):
        if self in _live:
            _live.remove(self)
        pids = self.pids()
        self._signal(pids[:1] if not self.pidfile else pids, signal.SIGTERM)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            self.popen.poll()
            if not any(self._runs(p) for p in pids):
                break
            time.sleep(0.02)
        self._signal([p for p in pids if self._runs(p)], signal.SIGKILL)
        try:
            self.popen.wait(timeout=3)
        except subprocess.TimeoutExpired:
            pass
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream:
                stream.close()

    @staticmethod
    def _runs(pid):
        try:
            return procfs._stat(pid)[0] != b"Z"
        except OSError:
            return False

    @staticmethod
    def _signal(pids, sig):
        for pid in pids:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass


@atexit.register
def stop_all():
    for m in list(_live):
        m.stop()


def run_load(argv, cpu, log, timeout):
    """Runs a load tool to its end.  Returns its output and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(log, "wb") as err:
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
                             preexec_fn=_child(cpu))
        try:
            out, _ = p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            raise RuntimeError(f"load tool ran past {timeout} s: {argv[0]}") from None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if p.returncode:
        with open(log, errors="replace") as f:
            raise RuntimeError(f"{argv[0]} exited {p.returncode}: {f.read()[-500:]}{out[-500:].decode(errors='replace')}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return out.decode(errors="replace"), used


class At(NamedTuple):
    """Where a proxy or the backend listens."""
    host: str
    port: int


def free_ports(n, start=21000, stop=30000):
    """n ports of 127.0.0.1 that nothing listens on, below the ephemeral range."""
    found, offset = [], os.getpid() % 4000
    for k in range(stop - start):
        port = start + (offset + k) % (stop - start)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == n:
            return found
    raise RuntimeError("no free ports")


def fetch(at, path, host="bench", body=None, timeout=2.0, proto="http1", tls=False):
    """One request on a new connection; (status, headers, body).  http.client
    would not send an absolute-form target as it stands, so this is by hand."""
    head = f"{'POST' if body is not None else 'GET'} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    if body is not None:
        head += f"Content-Length: {len(body)}\r\n"
    with socket.create_connection(at, timeout=timeout) as s:
        s.settimeout(timeout)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            s = context.wrap_socket(s, server_hostname=host.partition(":")[0])
        s.sendall(head.encode() + b"\r\n" + (body or b""))
        data = b""
        while True:
            got = s.recv(1 << 20)
            if not got:
                break
            data += got
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        plain, at = b"", rest
        while at:
            size, _, at = at.partition(b"\r\n")
            n = int(size.split(b";")[0], 16)
            if not n:
                break
            plain, at = plain + at[:n], at[n + 2:]
        rest = plain
    return int(lines[0].split()[1]), headers, rest
