"""Reads proxies.toml: which proxies there are and how each is started."""
import os
import re
import shutil
import subprocess
import tomllib

WORD = re.compile(r"@([a-z][a-z0-9_]*)@")
RESERVED = {"args", "files", "env", "ready", "host"}
PROFILES = ("http1", "forward", "http2", "tls")


class ConfigError(Exception):
    pass


def fill(text, words):
    def one(m):
        if m.group(1) not in words:
            raise ConfigError(f"unknown word @{m.group(1)}@")
        return str(words[m.group(1)])
    return WORD.sub(one, text)


def find_binary(candidates):
    for c in candidates:
        if c.startswith("$"):
            name, _, rest = c[1:].partition("/")
            value = os.environ.get(name)
            c = value + ("/" + rest if rest else "") if value else None
        c = c and shutil.which(c)
        if c:
            return c
    return None


class Proxy:
    def __init__(self, name, table):
        self.name, self.table = name, table
        self.binary = find_binary(table.get("binary", []))
        self.profiles = table.get("profiles", {})
        for p in self.profiles:
            if p not in PROFILES:
                raise ConfigError(f"{name}: unknown profile {p}")

    def missing(self):
        return None if self.binary else "not found: " + " or ".join(self.table.get("binary", ["no binary named"]))

    def version(self):
        if not self.table.get("version") or not self.binary:
            return ""
        try:
            r = subprocess.run([self.binary, *self.table["version"]], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        lines = [x.strip() for x in (r.stdout + r.stderr).splitlines() if x.strip()]
        return re.sub(r"^.*/(\S+\s+version:)", r"\1", lines[0]) if lines else ""

    def plan(self, profile, words, templates):
        """argv, env, files, ready URL, pidfile of one start."""
        p = self.profiles[profile]
        words = {**words, "bin": self.binary, **{k: v for k, v in p.items() if k not in RESERVED}}
        files = {}
        for name, template in {**self.table.get("files", {}), **p.get("files", {})}.items():
            with open(os.path.join(templates, template)) as f:
                files[name] = fill(f.read(), words)
        pids = self.table.get("pids", "tree")
        if pids != "tree" and not pids.startswith("pidfile:"):
            raise ConfigError(f"{self.name}: pids is tree or pidfile:PATH")
        ready = p.get("ready", self.table.get("ready"))
        return {
            "argv": [self.binary] + [fill(a, words) for a in p.get("args", self.table.get("args", []))],
            "env": {k: fill(v, words) for k, v in {**self.table.get("env", {}), **p.get("env", {})}.items()},
            "files": files,
            "ready": fill(ready, words) if ready else None,
            "host": p.get("host", "127.0.0.1"),
            "pidfile": fill(pids[8:], words) if pids != "tree" else None,
        }


def load(path):
    with open(path, "rb") as f:
        data = tomllib.load(f)
    return data.get("bench", {}), {n: Proxy(n, t) for n, t in data.get("proxy", {}).items()}
