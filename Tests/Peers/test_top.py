# SPDX-License-Identifier: Apache-2.0
"""Keys of `mesher top`, in a terminal that it gives back as it was."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

import pytest

import harness
from governance import World
from harness import eventually
from observed import Application

ENTERING, LEAVING = b"\x1b[?1049h\x1b[?25l\x1b[?7l", b"\x1b[?7h\x1b[?25h\x1b[?1049l"


@pytest.fixture(scope="module")
def world():
    services = {name: [Application(name)] for name in ("cart", "scarf", "stock")}
    with World(services) as world:
        for name, count in (("cart", 9), ("scarf", 6), ("stock", 3)):
            world.many(count, name)
        world.admin = f"127.0.0.1:{world.sidecar.admin}"
        yield world


class Terminal:
    """`mesher top` in a terminal of 100 columns and 30 rows."""

    def __init__(self, world):
        self.seen = b""
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            command = [harness.binary(), "top", "--admin", world.admin, "--interval", "0.1"]
            os.execv(command[0], command)
        self.status = None
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        eventually(lambda: b"? keys" in self.last(), lambda: f"not drawn: {self.seen}")

    def read(self):
        """Takes what was written; whether the other end is closed."""
        while select.select([self.end], [], [], 0)[0]:
            try:
                self.seen += os.read(self.end, 1 << 16)
            except OSError:
                return True
        return False

    def last(self):
        """The last picture that is whole, without control sequences."""
        self.read()
        whole = self.seen[: self.seen.rfind(b"\x1b[0m\x1b[K")]
        return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", whole[max(0, whole.rfind(b"\x1b[H")) :])

    def press(self, keys):
        os.write(self.end, keys)

    def shows(self, *words, without=()):
        def fits():
            text = self.last()
            return all(each in text for each in words) and not any(each in text for each in without)

        eventually(fits, lambda: f"wants {words}, not {without}: {self.last().decode(errors='replace')}")

    def order(self):
        """The services from top to bottom."""
        return [each.split()[0].decode() for each in self.last().splitlines() if each.split()[:1] and
                each.split()[0] in (b"cart", b"scarf", b"stock")]  # fmt: skip

    def ended(self):
        """The exit code, once it has ended and all was read; the settings of the terminal are as before."""
        eventually(self.read, lambda: f"it does not end: {self.seen[-200:]}")
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        assert self.seen.endswith(LEAVING), self.seen[-200:]
        assert self.seen.count(LEAVING) == self.seen.count(ENTERING)
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.end)


@pytest.fixture
def top(world):
    terminal = Terminal(world)
    yield terminal
    terminal.close()


def settings(top):
    """What the terminal does with keys: whether it waits for a line, and shows them."""
    flags = termios.tcgetattr(top.end)[3]
    return bool(flags & termios.ICANON), bool(flags & termios.ECHO), bool(flags & termios.ISIG)


def test_q_quits(top):
    assert settings(top) == (False, False, True)
    top.press(b"q")
    assert top.ended() == 0


def test_s_sorts_by_the_next_column(top):
    top.shows(b">REQ/S")
    assert top.order() == ["cart", "scarf", "stock"]
    for mark in (b">ERR/S", b">ERR %", b">P50 ms", b">P90 ms", b">P99 ms", b">CALLED SERVICE"):
        top.press(b"s")
        top.shows(mark)
    assert top.order() == ["cart", "scarf", "stock"]
    top.press(b"s")
    top.shows(b">REQ/S")


def test_a_filter(top):
    """Typed behind /, kept by Enter, and gone with Escape; q is a letter there."""
    top.press(b"/CARq\x7f")
    top.shows(b"/CAR_", b"cart ", b"scarf ", without=[b"stock "])
    top.press(b"\r")
    top.shows(b'filter "car"', b"cart ", b"scarf ", without=[b"stock "])
    top.press(b"\x1b[A")
    top.press(b"\x1b")
    top.shows(b"/ filter", b"stock ")
    top.press(b"/nobody")
    top.shows(b"no name like this")
    top.press(b"\x1b")
    top.shows(b"cart ", b"stock ")


def test_p_pauses(top, world):
    up = lambda: re.search(rb" up (\w+)", top.last())[1]  # noqa: E731
    top.press(b"p")
    top.shows(b"PAUSED")
    world.many(1, "absent")
    held = up()
    top.press(b"s")
    top.shows(b">ERR/S", b"PAUSED")
    assert up() == held and b"absent" not in top.last()
    top.press(b"p")
    top.shows(b"p pause", b"absent")


def test_a_question_mark_lists_the_keys(top):
    top.press(b"?")
    top.shows(b"filter services and callers by name", b"quit, and so does Ctrl-C", without=[b"CALLED SERVICE"])
    top.press(b"x")
    top.shows(b"CALLED SERVICE")


@pytest.mark.parametrize("key", [b"\x03", b"\x1c"])
def test_keys_that_interrupt(top, key):
    """Ctrl-C, and Ctrl-\\."""
    top.press(key)
    assert top.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end(top, number):
    os.kill(top.pid, number)
    assert top.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTRAP, signal.SIGILL, signal.SIGABRT, signal.SIGSEGV])
def test_a_crash_gives_the_terminal_back(top, number):
    """What a program that traps dies of."""
    os.kill(top.pid, number)
    assert top.ended() == -number


@contextlib.contextmanager
def held_terminal():
    """Both ends of a terminal that outlives what runs in it."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("how", ["q", signal.SIGINT, signal.SIGTERM, signal.SIGTRAP, signal.SIGSEGV])
def test_the_terminal_is_as_before(world, how):
    """Lines and echo are back, whatever ended it."""
    with held_terminal() as (ours, theirs):
        before = termios.tcgetattr(theirs)
        command = [harness.binary(), "top", "--admin", world.admin, "--interval", "0.1"]
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        try:
            seen = b""

            def drawn():
                nonlocal seen
                while select.select([ours], [], [], 0)[0]:
                    seen += os.read(ours, 1 << 16)
                return b"CALLED SERVICE" in seen

            eventually(drawn, lambda: f"not drawn: {seen}")
            assert not termios.tcgetattr(theirs)[3] & (termios.ICANON | termios.ECHO)
            if how == "q":
                os.write(ours, b"q")
            else:
                process.send_signal(how)
            eventually(lambda: drawn() and process.poll() is not None, "it does not end")
            assert termios.tcgetattr(theirs) == before
        finally:
            process.kill()
            process.wait()


def test_ctrl_z_gives_the_screen_back_for_as_long(top):
    top.press(b"\x1a")
    eventually(lambda: top.read() or top.seen.endswith(LEAVING), lambda: f"not left: {top.seen[-200:]}")
    _, status = os.waitpid(top.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status) and settings(top) == (True, True, True)
    before = len(top.seen)
    os.kill(top.pid, signal.SIGCONT)
    eventually(lambda: top.read() or ENTERING in top.seen[before:], "not back")
    top.press(b"q")
    assert top.ended() == 0


def test_without_keys(world):
    """Standard input is no terminal: it is drawn as ever, and ends when it is told to."""
    ours, theirs = pty.openpty()
    command = [harness.binary(), "top", "--admin", world.admin, "--interval", "0.1"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs)
    os.close(theirs)
    seen = b""

    def read():
        nonlocal seen
        while select.select([ours], [], [], 0)[0]:
            try:
                seen += os.read(ours, 1 << 16)
            except OSError:
                return True
        return False

    try:
        eventually(lambda: read() or seen.count(b"CALLED SERVICE") > 1, lambda: f"not drawn: {seen}")
        assert b"? keys" not in seen and b">REQ/S" not in seen
        process.send_signal(signal.SIGTERM)
        eventually(read, "it does not end")
        assert process.wait(5) == 0 and seen.endswith(LEAVING)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
