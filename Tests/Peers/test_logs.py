# SPDX-License-Identifier: Apache-2.0
"""Logs: lager.yaml as users have it, files that are put aside, levels that change, an access log that nobody forges."""

import gzip
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import grpc
import pytest

import grpc_world
import harness
from governance import World
from harness import eventually
from observed import Application, Metrics, call, chains

LOGGED = chains(["access-log"], ["access-log"])
TEXT = re.compile(r"(\S+) (\S+) from (\S+) (\d{3}) (\d+)ms")
SPELLINGS = {
    "new": "logWriters: {writers}\nlogLevel: {level}\nlogFile: {file}\nlogFormatText: {text}\n",
    "old": "writers: {writers}\nlogger_level: {level}\nlogger_file: {file}\nlog_format_text: {text}\n",
}
TRACE, SPAN = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312"


def lager(spelling="new", writers="file", level="INFO", file="", text="true", more=""):
    return SPELLINGS[spelling].format(writers=writers, level=level, file=file, text=text) + more


def lines(path):
    """The lines of a file, which is UTF-8 and ends with a line feed; none while it does not exist."""
    text = path.read_bytes().decode() if path.exists() else ""
    assert not text or text.endswith("\n")
    # Not splitlines: it also splits at separators that are none for other readers.
    return text.split("\n")[:-1]


def noisy(world, count=1):
    """Makes the sidecar log something: with DEBUG a line for each failed connection."""
    for _ in range(count):
        assert world.ask("away").error == "connect_failed"


def away():
    instance = Application("away")
    instance.refuse()
    return {"away": [instance], "cart": [Application("cart")]}


# -- the log of the process -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_text_in_a_file(tmp_path, spelling):
    """Time, level, module and message; values behind it; nothing on standard output."""
    path = tmp_path / "deep" / "er" / "mesher.log"
    with World(away(), lager=lager(spelling, file=path, level="DEBUG")) as world:
        noisy(world)
        failed = lambda: [line for line in lines(path) if "upstream connect failed" in line]  # noqa: E731
        (line,) = eventually(failed, lambda: f"{lines(path)}")
        assert re.match(
            r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z DEBUG \w+: upstream connect failed endpoint=rest://", line
        )
        assert any("taking outgoing requests" in each for each in lines(path))
        assert world.sidecar.log.read_text() == ""


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_json_on_standard_output(spelling):
    """JSON is the default as soon as there is a lager.yaml: an object a line, its members in a fixed order."""
    with World(away(), lager=lager(spelling, writers="stdout", level="debug", text="false")) as world:
        noisy(world)
        read = lambda: [json.loads(line) for line in lines(world.sidecar.log)]  # noqa: E731
        failed = lambda: [each for each in read() if each["message"] == "upstream connect failed"]  # noqa: E731
        (found,) = eventually(failed, "not logged")
        assert list(found)[:4] == ["timestamp", "level", "source", "message"]
        assert found["level"] == "DEBUG" and found["endpoint"].startswith("rest://127.0.0.1:")
        assert all(re.fullmatch(r"20[-0-9]{8}T[:0-9]{8}\.\d{3}Z", each["timestamp"]) for each in read())


@pytest.mark.parametrize("mode, is_colored", [("auto", False), ("never", False), ("always", True)])
def test_colors(mode, is_colored):
    """Nobody looks at a file in colours, unless somebody asks for them."""
    with World({}, lager=lager(writers="stdout", more=f"logColorMode: {mode}\n")) as world:
        assert ("\x1b[" in world.sidecar.log.read_text()) == is_colored


def test_two_writers(tmp_path):
    path = tmp_path / "mesher.log"
    with World({}, lager=lager(writers="'file,stdout'", file=path)) as world:
        assert lines(path) == lines(world.sidecar.log) != []


def test_relative_paths_begin_in_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CHASSIS_HOME", str(tmp_path))
    with World({}, lager="logWriters: file\n"):
        assert lines(tmp_path / "log" / "chassis.log")


def test_levels(tmp_path):
    """What is less severe than the level is not there."""
    path = tmp_path / "mesher.log"
    with World(away(), lager=lager(file=path, level="WARN")) as world:
        noisy(world)
        world.sidecar.write("mesher.yaml", "mesher.timeouts.connect: never\n")
        eventually(lambda: any("is refused" in line for line in lines(path)), "no warning")
        assert {line.split()[1] for line in lines(path)} == {"WARN"}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_level_follows_the_file(tmp_path, spelling):
    """By itself when the file changes, and at once with a signal."""
    path = tmp_path / "mesher.log"
    with World(away(), lager=lager(spelling, file=path)) as world:
        noisy(world)
        world.sidecar.write("lager.yaml", lager(spelling, file=path, level="DEBUG"))
        debug = lambda: noisy(world) or any("DEBUG" in line for line in lines(path))  # noqa: E731
        eventually(debug, "the level has not changed with the file")
        world.sidecar.write("lager.yaml", lager(spelling, file=path, level="ERROR"))
        world.sidecar.process.send_signal(signal.SIGHUP)
        level = lambda: call(world.sidecar.admin, "/v1/mesher/log-level").json["level"]  # noqa: E731
        eventually(lambda: level() == "ERROR", lambda: f"still {level()}")
        count = len(lines(path))
        noisy(world, 3)
        assert sum("DEBUG" in line for line in lines(path)[count:]) == 0


def test_writers_and_format_follow_the_file(tmp_path):
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    with World(away(), lager=lager(file=first)) as world:
        assert lines(first)
        world.sidecar.write("lager.yaml", lager(file=second, text="false", level="DEBUG"))
        debug = lambda: noisy(world) or any('"DEBUG"' in line for line in lines(second))  # noqa: E731
        eventually(debug, "the log did not move")
        assert all(json.loads(line) for line in lines(second))


MISTAKES = {
    "level": ("logLevel: LOUD", "no level: INFO is taken"),
    "writers": ("logWriters: syslog", "not all of this is known"),
    "size": ("log_rotate_size: 9000", "not within 1 to 500: 10 is taken"),
    "age": ("logRotateAge: -1", "not within 0 to 10: 1 is taken"),
    "count": ("log_backup_count: many", "not within 0 to 100: 7 is taken"),
    "policy": ("rollingPolicy: hourly", "is no policy: size is taken"),
}


@pytest.mark.parametrize("text, problem", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_warnings(text, problem):
    """What is out of range stands for the default, as in the original, and is told with its place."""
    with World({}, lager=f"# log\n{text}\n") as world:
        problems = call(world.sidecar.admin, "/v1/mesher/config").json["problems"]
        (found,) = [each for each in problems if "lager.yaml:2:" in each["location"]]
        assert problem in found["problem"] and found["severity"] == "warning"
        assert problem.partition(":")[0] in world.sidecar.log.read_text()


def filled(path, megabytes):
    """A log that has almost reached a size."""
    line = b"x" * 1023 + b"\n"
    path.write_bytes(line * (megabytes * 1024 - 1))
    return path


@pytest.mark.parametrize(
    "size, count", [("logRotateSize: 1", "logBackupCount: 2"), ("log_rotate_size: 1", "log_backup_count: 2")]
)
def test_rotation_by_size(tmp_path, size, count):
    """A file that is full is put aside with the time in its name; so many are kept, and no line is lost."""
    path = filled(tmp_path / "mesher.log", 1)
    for minute in range(3):
        (tmp_path / f"mesher-2026-01-0{minute + 1}T00-00-00.000.log").write_text("old\n")
    (tmp_path / "mesher-other.log").write_text("somebody else's\n")
    more = f"{size}\n{count}\nlogRotateAge: 0\n"
    with World(away(), lager=lager(file=path, level="DEBUG", more=more)) as world:
        backups = lambda: sorted(tmp_path.glob("mesher-20*.log"))  # noqa: E731
        eventually(lambda: noisy(world) or path.stat().st_size < 1 << 20, "not put aside")
        eventually(lambda: len(backups()) == 2, lambda: f"{backups()}")
        assert backups()[0].name.startswith("mesher-2026-01-03") and (tmp_path / "mesher-other.log").exists()
        written = lines(backups()[1]) + lines(path)
        assert all(backup.stat().st_size <= 1 << 20 for backup in backups())
        assert written[0] == "x" * 1023 and sum("taking outgoing requests" in line for line in written) == 1
        assert Metrics(world.sidecar).value("mesher_log_write_errors_total") == 0


def test_old_files_are_compressed(tmp_path):
    path = filled(tmp_path / "mesher.log", 1)
    more = "logRotateSize: 1\nlogRotateCompress: true\n"
    with World(away(), lager=lager(file=path, level="DEBUG", more=more)) as world:
        found = lambda: list(tmp_path.glob("mesher-20*.log.gz"))  # noqa: E731
        (old,) = eventually(lambda: noisy(world) or found(), "not compressed")
        eventually(lambda: not list(tmp_path.glob("mesher-20*.log")), "the file itself stays")
        assert gzip.decompress(old.read_bytes()).startswith(b"x" * 1023 + b"\n")


def test_rotation_by_day(tmp_path):
    """A file of yesterday is put aside with the first line of today, however small it is."""
    path = tmp_path / "mesher.log"
    path.write_text("yesterday\n")
    os.utime(path, (time.time() - 86_400, time.time() - 86_400))
    with World({}, lager=lager(file=path, more="rollingPolicy: daily\n")):
        (old,) = eventually(lambda: list(tmp_path.glob("mesher-20*.log")), "not put aside")
        assert old.read_text() == "yesterday\n"
        assert any("taking outgoing requests" in each for each in lines(path))


@pytest.mark.parametrize("key", ["logRotateAge", "log_rotate_date"])
def test_old_files_go(tmp_path, key):
    """Those that are older than so many days are removed, and no others."""
    stamp = lambda days: time.strftime("%Y-%m-%dT%H-%M-%S.000", time.gmtime(time.time() - 86_400 * days))  # noqa: E731
    kept, gone = (tmp_path / f"mesher-{stamp(days)}.log" for days in (1.9, 2.1))
    kept.write_text("kept\n")
    gone.write_text("gone\n")
    with World({}, lager=lager(file=tmp_path / "mesher.log", more=f"{key}: 2\n")):
        eventually(lambda: not gone.exists(), "the old file stays")
        assert kept.exists()


def test_rotation_can_be_disabled(tmp_path):
    path = filled(tmp_path / "mesher.log", 1)
    more = "logRotateSize: 1\nlogRotateDisable: true\n"
    with World(away(), lager=lager(file=path, level="DEBUG", more=more)) as world:
        eventually(lambda: noisy(world) or path.stat().st_size > 1 << 20, "it does not grow")
        assert [each.name for each in tmp_path.iterdir()] == ["mesher.log"]


@pytest.mark.parametrize("how", ["removed", "renamed", "truncated", "directory"])
def test_files_that_others_take_away(tmp_path, how):
    """logrotate moves, removes or cuts the file: the log goes on in a new one within moments."""
    path = tmp_path / "log" / "mesher.log"
    with World(away(), lager=lager(file=path, level="DEBUG")) as world:
        eventually(lambda: lines(path), "no log")
        if how == "removed":
            path.unlink()
        elif how == "renamed":
            path.rename(path.with_suffix(".1"))
        elif how == "truncated":
            path.write_text("")
        else:
            path.unlink()
            path.parent.rmdir()
        # The lines of the start may come after the file was taken away.
        eventually(
            lambda: noisy(world) or any("upstream connect failed" in line for line in lines(path)),
            "no log afterwards",
        )


def test_a_log_that_cannot_be_written(tmp_path):
    """Traffic goes on, standard error says why, and it is counted."""
    with World(away(), lager=lager(file="/dev/full", level="DEBUG")) as world:
        noisy(world, 5)
        assert world.many(5) == {"cart": 5}
        eventually(lambda: Metrics(world.sidecar).value("mesher_log_write_errors_total") >= 1, "not counted")
        eventually(lambda: "/dev/full" in world.sidecar.log.read_text(), "not said")


def test_a_log_that_cannot_be_opened(tmp_path):
    """The start says so on standard error, and standard output takes its place."""
    (tmp_path / "file").write_text("")
    with World(away(), lager=lager(file=tmp_path / "file" / "mesher.log", level="DEBUG")) as world:
        said = world.sidecar.log.read_text
        eventually(lambda: f"mesher: {tmp_path / 'file' / 'mesher.log'} cannot be made" in said(), said)
        eventually(lambda: "admin API serves" in said(), said)


# -- the access log ---------------------------------------------------------------------------------------------------


class Access:
    """A sidecar with an application, and what its access log says."""

    def __init__(self, directory, format="text", services=None, **files):
        self.path = directory / "access.log"
        self.local = Application("local")
        files = {"chassis": LOGGED, "lager": f"accessLogFile: {self.path}\naccessLogFormat: {format}\n"} | files
        self.world = World(services or {"cart": [Application("cart", version="1.0.0")]}, self.local.port, **files)
        self.seen = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.world.__exit__(*error)
        self.local.refuse()
        self.local.fresh()

    def ask(self, target, *fields, method="GET", address="127.0.0.1", host="Host: cart", body=b"", raw=None):
        with self.world.client(address) as client:
            if body:
                fields = (*fields, f"Content-Length: {len(body)}")
            client.send(raw or harness.request(method, target, *fields, host=host, body=body))
            return client.response(method)

    def new(self, count=1):
        """The lines since the last look: exactly so many."""
        more = lambda: len(lines(self.path)) >= self.seen + count  # noqa: E731
        eventually(more, lambda: f"{lines(self.path)[self.seen :]}")
        found = lines(self.path)[self.seen :]
        assert len(found) == count, found
        self.seen += count
        return found if count > 1 else found[0]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    limits = "mesher.timeouts: {requestHead: 300ms, linger: 100ms}\n"
    with Access(tmp_path_factory.mktemp("text"), mesher=limits) as access:
        yield access


@pytest.fixture(scope="module")
def object(tmp_path_factory):
    files = {
        "chassis": chains(["access-log", "tracing-consumer"], ["access-log", "tracing-provider"]),
        "tracing": "tracing.settings: {URI: /dev/null, collector: file}\n",
        "mesher": "cse.transport.failure.rest: http_500\nmesher.outlier.consecutiveErrors: 0\n",
        "load_balancing": "cse.loadbalance: {retryEnabled: true, retryOnSame: 0, retryOnNext: 1}\n",
    }
    services = {"cart": [Application("a", version="1.0.0"), Application("b", version="1.0.0")]}
    with Access(tmp_path_factory.mktemp("json"), "json", services, **files) as access:
        yield access


def test_lines_of_text(text):
    """4.5: method, URL, client, status and milliseconds, exactly; on both sides."""
    text.ask("http://cart/items?page=2")
    assert re.fullmatch(r"GET http://cart/items\?page=2 from 127\.0\.0\.1 200 \d+ms", text.new())
    text.ask("/404", method="POST", body=b"x", address="127.0.0.2", host="Host: web")
    assert re.fullmatch(r"POST /404 from 127\.0\.0\.1 404 \d+ms", text.new())
    text.ask("http://nobody/")
    assert re.fullmatch(r"GET http://nobody/ from 127\.0\.0\.1 502 \d+ms", text.new())


def test_milliseconds(text):
    text.world.services["cart"][0].delay = 0.25
    text.ask("http://cart/")
    text.world.services["cart"][0].delay = 0
    assert 240 <= int(TEXT.fullmatch(text.new())[5]) < 3000


def test_clients_that_leave(text):
    """Without an answer a request stands there as 499."""
    text.world.services["cart"][0].delay = 0.5
    with text.world.client() as client:
        client.send(harness.request("GET", "http://cart/left"))
        busy = lambda: Metrics(text.world.sidecar).value("mesher_open_upstream_connections", state="busy") == 1  # noqa: E731
        eventually(busy, "not on its way")
        client.reset()
    assert TEXT.fullmatch(text.new())[4] == "499"
    text.world.services["cart"][0].delay = 0


UNREAD = {
    "not http": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "400"),
    "two lengths": (
        b"GET http://cart/a HTTP/1.1\r\nHost: cart\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "400",
    ),
    "no host": (b"GET /a HTTP/1.1\r\n\r\n", "400"),
    "line too long": (b"GET http://cart/" + b"a" * 20000 + b" HTTP/1.1\r\nHost: cart\r\n\r\n", "414"),
    "head too large": (b"GET http://cart/ HTTP/1.1\r\nHost: cart\r\n" + b"A: b\r\n" * 200 + b"\r\n", "431"),
    "version": (b"GET http://cart/ HTTP/3.0\r\nHost: cart\r\n\r\n", "505"),
    "too slow": (b"GET http://cart/ HTTP/1.1\r\nHo", "408"),
    "bad escape": (b"GET http://cart/\\ HTTP/1.1\r\nHost: cart\r\n\r\n", "400"),
}


@pytest.mark.parametrize("octets, status", UNREAD.values(), ids=UNREAD)
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_requests_that_reach_no_handler(text, octets, status, address):
    """What is refused before it is understood is what one looks for after an attack."""
    response = text.ask("", raw=octets, address=address)
    assert response.status == int(status)
    found = TEXT.fullmatch(text.new())
    assert found and found[4] == status and found[3] == "127.0.0.1"


HOSTILE = {
    "encoded line feed": "http://cart/%0d%0aGET%20/%20from%201.1.1.1%20200%201ms",
    "quotes": 'http://cart/"q\'"',
    "separators": "http://cart/\xc2\x85\xe2\x80\xa8\xe2\x80\xa9x",
    "no utf-8": "http://cart/\x80\xff\xc0\xaf",
    "bidi": "http://cart/\xe2\x80\xaegnp.exe",
    "escape of c1": "http://cart/\xc2\x9b31mred",
    "bell of c1": "http://cart/\x9b0c",
}


@pytest.mark.parametrize("target", HOSTILE.values(), ids=HOSTILE)
def test_nobody_forges_lines(text, object, target):
    """One request is one line, of characters that neither end it, nor drive a terminal, nor turn its direction."""
    for access in (text, object):
        access.ask(target, f"User-Agent: {target}", f"Referer: {target}")
        line = access.new()
        assert line.isprintable(), ascii(line)
        assert not re.search("[\u0080-\u009f\u2028-\u202e\u2066-\u2069\ufeff]", line), ascii(line)
    # What is no ASCII must be percent-encoded in a target; it may stand in a field.
    status = 200 if target.isascii() else 400
    assert TEXT.fullmatch(text_of(text)) and json.loads(text_of(object))["status"] == status


def text_of(access):
    return lines(access.path)[-1]


@pytest.mark.parametrize("kind", ["text", "object"])
@pytest.mark.parametrize("octet", ["a", '"'])
def test_long_targets_are_cut(request, kind, octet):
    """T8: a line has 8 KiB at most, whatever there is to escape."""
    access = request.getfixturevalue(kind)
    access.ask("http://cart/" + octet * 9000)
    assert 1000 < len(access.new().encode()) <= 8192


def test_members_of_objects(object):
    """Who called what, where it went, how often it was tried, and where in its trace it stands."""
    object.ask("http://cart/items?page=2", f"traceparent: 00-{TRACE}-{SPAN}-01", method="POST", body=b"12345")
    found = json.loads(object.new())
    times = found.pop("time"), found.pop("milliseconds"), found.pop("spanId")
    assert re.fullmatch(r"20[-0-9]{8}T[:0-9]{8}\.\d{3}Z", times[0]) and 0 < times[1] < 4000
    assert re.fullmatch("[0-9a-f]{16}", times[2]) and times[2] != SPAN
    ports = {each.port for each in object.world.services["cart"]}
    assert int(found.pop("endpoint").removeprefix("rest://127.0.0.1:")) in ports
    assert found.pop("route") in ("app:default|version:1.0.0", "version:1.0.0|app:default")
    assert found == {
        "direction": "outgoing",
        "method": "POST",
        "host": "cart",
        "path": "/items?page=2",
        "protocol": "http",
        "status": 200,
        "requestBytes": 5,
        "responseBytes": 1,
        "client": "127.0.0.1",
        "service": "cart",
        "retries": 0,
        "traceId": TRACE,
    }


def test_retries_and_reasons_of_objects(object):
    object.ask("http://cart/500")
    found = json.loads(object.new())
    assert (found["status"], found["retries"]) == (500, 1) and "reason" not in found
    object.ask("http://nobody/")
    found = json.loads(object.new())
    assert (found["status"], found["reason"], found["host"]) == (502, "no_endpoint", "nobody")
    assert "service" not in found and "endpoint" not in found


def test_incoming_objects(object):
    caller = r'x-cse-context: {"x-cse-src-microservice":"sh\"op\u001b[31m\n\u2028\u202e"}'
    object.ask("/x", caller, address="127.0.0.2", host="Host: web")
    line = object.new()
    found = json.loads(line)
    assert (found["direction"], found["host"], found["path"]) == ("incoming", "web", "/x")
    assert found["caller"] == 'sh"op\x1b[31m\n\u2028\u202e' and line.isprintable()
    assert found["endpoint"] == f"rest://127.0.0.1:{object.local.port}"


@pytest.mark.parametrize("format", ["text", "json"])
def test_grpc_calls(tmp_path, format):
    """The path is the method; messages of a status stand nowhere, so they forge nothing."""
    path = tmp_path / "access.log"
    service = grpc_world.Service()
    files = {"chassis.yaml": LOGGED, "lager.yaml": f"accessLogFile: {path}\naccessLogFormat: {format}\n"}
    sidecar = grpc_world.Sidecar({"cart": [service.endpoint]}, files)
    sidecar.start()
    with grpc_world.through_proxy(sidecar, "cart:80") as channel:
        channel.unary("Echo", b"x\nPOST /forged from 1.1.1.1 200 1ms\n")
        with grpc_world.refusal(grpc.StatusCode.NOT_FOUND):
            channel.unary("Status", b"5 x\nPOST /forged from 1.1.1.1 200 1ms\n\x1b[31m")
    eventually(lambda: len(lines(path)) >= 2, lambda: f"{lines(path)}")
    sidecar.stop()
    service.stop()
    assert len(lines(path)) == 2 and "forged" not in path.read_text() and all(map(str.isprintable, lines(path)))
    if format == "text":
        assert [TEXT.fullmatch(line)[2] for line in lines(path)] == [
            "http://cart:80/test.Shop/Echo", "http://cart:80/test.Shop/Status"
        ]  # fmt: skip
    else:
        found = [json.loads(line) for line in lines(path)]
        assert [(each["protocol"], each["status"], each["grpcStatus"]) for each in found] == [
            ("grpc", 200, 0), ("grpc", 200, 5)
        ]  # fmt: skip


def test_off_by_default(tmp_path):
    """A handler without a file, and a file without a handler, write nothing."""
    path = tmp_path / "access.log"
    for chassis, text in ((LOGGED, ""), ("", f"accessLogFile: {path}\n")):
        with Access(tmp_path, chassis=chassis, lager=text) as access:
            before = access.world.sidecar.log.read_text()
            access.ask("http://cart/")
            access.world.sidecar.stop_process()
            assert lines(path) == [] and "GET" not in access.world.sidecar.log.read_text().removeprefix(before)


def test_on_standard_output(tmp_path):
    with Access(tmp_path, lager="accessLogFile: stdout\nlogLevel: ERROR\n") as access:
        access.ask("http://cart/")
        eventually(lambda: TEXT.search(access.world.sidecar.log.read_text()), "not written")


def test_switched_on_and_off_live(tmp_path):
    """By the handler chain or by the file, while it runs; nothing of what was asked before or after is there."""
    with Access(tmp_path, lager="") as access:
        sidecar, on = access.world.sidecar, f"accessLogFile: {access.path}\n"
        access.ask("http://cart/before")
        sidecar.write("lager.yaml", on)
        eventually(lambda: access.ask("http://cart/on").status and access.path.exists(), "not switched on")
        sidecar.write("lager.yaml", on + "accessLogFormat: json\n")
        is_json = lambda: access.ask("http://cart/on").status and "{" in access.path.read_text()  # noqa: E731
        eventually(is_json, "the format does not change")
        sidecar.write("lager.yaml", "logLevel: INFO\n")
        off = lambda: call(sidecar.admin, "/v1/mesher/config").body.count(str(access.path).encode()) == 0  # noqa: E731
        eventually(off, "not read")

        def quiet():
            access.ask("http://cart/off")
            count = len(lines(access.path))
            return all(access.ask("http://cart/after").status for _ in range(3)) and settled(access) == count

        eventually(quiet, "not switched off")
        assert "/before" not in access.path.read_text() and "/after" not in lines(access.path)[-1]


def settled(access):
    """The number of lines once all is written that was asked before: failures come the same way."""
    failures = lambda: len(call(access.world.sidecar.admin, "/v1/mesher/traffic").json["failures"])  # noqa: E731
    before = failures()
    access.ask("http://nobody/settle")
    eventually(lambda: failures() > before, "the failure is not shown")
    return len(lines(access.path))


def test_the_chain_switches_it_live(tmp_path):
    with Access(tmp_path, chassis="") as access:
        sidecar = access.world.sidecar
        access.ask("http://cart/before")
        sidecar.write("chassis.yaml", LOGGED)
        eventually(lambda: access.ask("http://cart/on").status and lines(access.path), "not switched on")
        assert "/before" not in access.path.read_text()


def test_access_logs_survive_logrotate(tmp_path):
    with Access(tmp_path) as access:
        access.ask("http://cart/first")
        access.new()
        access.path.rename(tmp_path / "access.log.1")
        eventually(lambda: access.ask("http://cart/second").status and lines(access.path), "no new file")
        assert all("/second" in line for line in lines(access.path))
        assert "/first" in (tmp_path / "access.log.1").read_text()


def test_nothing_is_lost_at_the_end(tmp_path):
    """Every request that was answered before the stop has its line; so has one that is answered during it."""
    with Access(tmp_path) as access:
        for number in range(500):
            access.world.ask(path=f"/{number}")
        access.world.sidecar.process.send_signal(signal.SIGTERM)
        assert access.world.sidecar.process.wait(10) == 0
        assert len(lines(access.path)) == 500


def test_no_line_is_missing_under_load(tmp_path):
    """The log is buffered, and complete; what it could not take would be counted."""
    with Access(tmp_path) as access:
        script = Path(access.world.sidecar.directory.name, "wrk.lua")
        script.write_text("wrk.path = 'http://cart/w'\nwrk.headers['Host'] = 'cart'\n")
        url = f"http://127.0.0.1:{access.world.sidecar.port}/"
        done = subprocess.run(
            ["wrk", "-t1", "-c16", "-d2s", "-s", script, url], capture_output=True, text=True, timeout=20
        )
        asked = int(re.search(r"(\d+) requests in", done.stdout)[1])
        metrics = Metrics(access.world.sidecar)
        counted = lambda: metrics.value("requests_total", service_name="cart")  # noqa: E731
        dropped = lambda: metrics.value("mesher_telemetry_dropped_total")  # noqa: E731
        whole = lambda: len(lines(access.path)) + dropped() == counted() >= asked  # noqa: E731
        eventually(whole, lambda: f"{len(lines(access.path))} lines, {dropped()} dropped, {counted()} counted")
        assert dropped() == 0
        assert all(TEXT.fullmatch(line) for line in lines(access.path))
