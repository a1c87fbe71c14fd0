# SPDX-License-Identifier: Apache-2.0
"""What shells offer behind `mesher` when Tab is pressed, asked of the shells themselves."""

import os
import pty
import select
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from harness import binary

COMMANDS = {
    "run",
    "check",
    "config",
    "explain",
    "top",
    "tap",
    "quickstart",
    "dev",
    "registry",
    "injector",
    "inject",
    "version",
    "reference",
    "help",
}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The script of each shell, and a `mesher` that completes as the real one does, and shows its words when it is run."""
    folder = tmp_path_factory.mktemp("completions")
    (folder / "bin").mkdir()
    program = folder / "bin/mesher"
    real = shlex.quote(str(Path(binary()).resolve()))
    program.write_text(f"""#!/bin/sh
if [ "$1" = ---completion ]; then exec {real} "$@"; fi
printf '<%s>' "$@"; echo done
""")
    program.chmod(0o755)
    for shell, name in [("bash", "mesher.bash"), ("zsh", "_mesher"), ("fish", "mesher.fish")]:
        done = subprocess.run(
            [binary(), "--generate-completion-script", shell], capture_output=True, text=True, timeout=20
        )
        (folder / name).write_text(done.stdout)
    (folder / "rules.yaml").write_text("")
    (folder / "notes.txt").write_text("")
    return folder


def environment(folder):
    return {"PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb"}


def bash(folder, line):
    """What bash offers for a line with the cursor at its end; it takes words apart at `=`."""
    words = [part for word in shlex.split(line) for part in word.replace("=", " = ").split()]
    if line.endswith(" "):
        words.append("")
    current, previous = "" if words[-1] == "=" else words[-1], words[-2]
    array = " ".join(shlex.quote(word) for word in words)
    script = f"""
        source mesher.bash
        COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; COMP_LINE={shlex.quote(line)}; COMP_POINT={len(line)}
        {{ _mesher_words mesher {shlex.quote(current)} {shlex.quote(previous)}; }} 2> /dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=20
    )
    assert done.stderr == ""
    return set(done.stdout.split()), ""


def fish(folder, line):
    script = f"source mesher.fish; complete -C {shlex.quote(line)}"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=20
    )
    assert done.stderr == ""
    return {each.split("\t")[0] for each in done.stdout.splitlines()}, line.split(" ")[-1]


@pytest.fixture(params=[bash, fish], ids=["bash", "fish"])
def offered(request, scripts):
    """What a shell offers; values behind `=` without what stands before them."""

    def ask(line):
        found, start = request.param(scripts, line)
        start = start[: start.find("=") + 1]
        return {each.removeprefix(start) for each in found} if "=" in line else found

    return ask


def test_commands(offered):
    assert offered("mesher ") >= COMMANDS
    assert offered("mesher re") == {"registry", "reference"}


@pytest.mark.parametrize("command", ["run ", "check ", "config ", ""])
def test_values_of_options(offered, command):
    """`run` may be left out, here as well."""
    assert offered(f"mesher {command}--mode ") == {"sidecar", "per-host"}
    assert offered(f"mesher {command}--mode s") == {"sidecar"}
    files = offered(f"mesher {command}--config ")
    assert "rules.yaml" in files and "notes.txt" not in files
    assert offered(f"mesher {command}--wor") == {"--workers"}


def test_options(offered):
    assert not any("." in each for each in offered("mesher check --"))
    assert {"--mode", "--config", "--strict", "--json"} <= offered("mesher check --")
    assert offered("mesher explain P") == {"POST", "PUT", "PATCH"}
    assert offered("mesher top --admin ") == {"127.0.0.1:30102"}
    assert offered("mesher tap --admin ") == {"127.0.0.1:30102"}
    assert "5xx" in offered("mesher tap cart --status ")


@pytest.mark.parametrize("command", ["run", "check", "config"])
def test_keys(offered, command):
    assert offered(f"mesher {command} --mesher.timeouts.conn") == {"--mesher.timeouts.connect="}
    assert "--servicecomb.registry.type=" in offered(f"mesher {command} --servicecomb.reg")
    assert "--cse.loadbalance.cart.retryEnabled=" in offered(f"mesher {command} --cse.loadbalance.cart.")
    assert offered(f"mesher {command} --cse.isolation.Prov") == {
        "--cse.isolation.Provider.timeoutInMilliseconds=",
        "--cse.isolation.Provider.maxConcurrentRequests=",
    }


def test_values_of_keys(offered):
    assert offered("mesher run --mesher.mode=") == {"sidecar", "per-host"}
    assert offered("mesher check --cse.service.registry.type=serv") == {"servicecenter"}
    assert offered("mesher check --cse.loadbalance.cart.retryEnabled=") == {"true", "false"}
    assert offered("mesher check --logLevel=W") == {"WARN"}
    assert offered("mesher check --mesher.workers=") == set()


def test_keys_as_words(offered):
    assert offered("mesher reference mesher.timeouts.conn") == {"mesher.timeouts.connect"}
    assert offered("mesher config mesher.timeouts.conn") == {"mesher.timeouts.connect"}
    assert offered("mesher reference --schema mesh") == {"mesh.yaml", "mesher.yaml"}


# ---- At a keyboard


class Terminal:
    """A shell that somebody types into."""

    def __init__(self, command, folder):
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(command[0], command, {**environment(folder), "PS1": "$ ", "COLUMNS": "200"})
        self.shown = ""

    def type(self, text):
        os.write(self.file, text.encode())

    def until(self, text):
        """Everything that is shown up to `text`."""
        deadline = time.monotonic() + 15
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.shown!r}"
            if select.select([self.file], [], [], 0.2)[0]:
                self.shown += os.read(self.file, 4096).decode(errors="replace")
        before, _, self.shown = self.shown.partition(text)
        return before

    def close(self):
        os.close(self.file)
        os.waitpid(self.pid, 0)


@pytest.fixture(params=["bash", "zsh"])
def terminal(request, scripts):
    if request.param == "bash":
        shell = Terminal(["bash", "--norc", "--noprofile", "-i"], scripts)
        shell.type("source mesher.bash; echo rea''dy\n")
    else:
        shell = Terminal(["zsh", "-f", "-i"], scripts)
        shell.type("fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; echo rea''dy\n")
    shell.until("ready\r\n")
    yield shell
    shell.close()


@pytest.mark.parametrize(
    "typed, becomes",
    [
        ("conf\t", "config "),
        ("check --mode s\t", "check --mode sidecar "),
        ("--mode p\t", "--mode per-host "),
        ("check --config ru\t", "check --config rules.yaml "),
        # Its value follows without a blank and without a backslash.
        ("check --mesher.timeouts.conn\t5s", "check --mesher.timeouts.connect=5s"),
        ("--mesher.timeouts.conn\t5s", "--mesher.timeouts.connect=5s"),
        ("check --mesher.mode=s\t", "check --mesher.mode=sidecar"),
        ("config mesher.timeouts.conn\t", "config mesher.timeouts.connect "),
        ("reference --schema rout\t", "reference --schema router.yaml "),
    ],
)
def test_tab(terminal, typed, becomes):
    """The words that the line has when Enter is pressed."""
    terminal.type(f"mesher {typed}\n")
    terminal.until("".join(f"<{word}>" for word in becomes.split()) + "done")
