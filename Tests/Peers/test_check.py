# SPDX-License-Identifier: Apache-2.0
"""`mesher check`: the same words for the same mistakes, and a start that refuses with them.

Each folder of Tests/Fixtures/Broken is a configuration with mistakes; `arguments` and `environment` belong to it,
`expected` is what is printed. UPDATE_GOLDEN=1 writes the latter anew: read the difference before it is committed.
"""

import json
import os
import re
import shlex
import subprocess

import pytest

from harness import REPOSITORY, binary

BROKEN = sorted(path for path in (REPOSITORY / "Tests/Fixtures/Broken").iterdir() if path.is_dir())


def lines(folder, name):
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def mesher(folder, *arguments):
    """Runs the program in a folder, which is its configuration directory."""
    environment = {"PATH": os.environ["PATH"], "CHASSIS_CONF_DIR": "."}
    environment.update(line.split("=", 1) for line in lines(folder, "environment"))
    options = [word for line in lines(folder, "arguments") for word in shlex.split(line)]
    return subprocess.run(
        [binary(), *arguments, *options], cwd=folder, env=environment, capture_output=True, text=True, timeout=20
    )


@pytest.mark.parametrize("folder", BROKEN, ids=lambda folder: folder.name)
def test_every_mistake_is_told_at_once(folder):
    done = mesher(folder, "check")
    *printed, summary = done.stdout.splitlines()
    if os.environ.get("UPDATE_GOLDEN"):
        (folder / "expected").write_text("\n".join(printed) + "\n")
    assert printed == lines(folder, "expected")
    errors = [line for line in printed if not re.match(r"[^ ]+: (warning|note): ", line)]
    assert errors, "a broken folder without a mistake"
    assert re.match(rf"{len(errors)} errors?\b", summary)
    assert done.returncode == 1
    # A start refuses in the same words, and opens nothing.
    started = mesher(folder)
    assert started.returncode == 1
    *refused, last = started.stderr.splitlines()
    assert refused == errors
    assert last == "mesher: not started: " + ("one error" if len(errors) == 1 else f"{len(errors)} errors")


def test_there_are_enough_of_them():
    assert len(BROKEN) >= 30


@pytest.mark.parametrize("folder", BROKEN, ids=lambda folder: folder.name)
def test_the_document_says_what_the_lines_say(folder):
    done = mesher(folder, "check", "--json")
    report = json.loads(done.stdout)
    assert report["valid"] is False and done.returncode == 1
    said = []
    for each in report["problems"]:
        place = each["file"] + (f":{each['line']}:{each['column']}" if "line" in each else "")
        kind = "" if each["severity"] == "error" else each["severity"] + ": "
        key = f"{each['key']}: " if "key" in each else ""
        remedy = f"; {each['remedy']}" if "remedy" in each else ""
        said.append(f"{place}: {kind}{key}{each['problem']}{remedy}")
    assert said == lines(folder, "expected")


def test_a_good_folder(tmp_path):
    good(tmp_path)
    done = mesher(tmp_path, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("no errors in ")


def good(folder):
    folder.mkdir(exist_ok=True)
    (folder / "chassis.yaml").write_text("cse: {service: {registry: {type: file, address: services.yaml}}}\n")
    (folder / "microservice.yaml").write_text("service_description: {name: web}\n")
    (folder / "services.yaml").write_text("service: []\n")
    # Else that of the samples beside the binary is read.
    (folder / "mesher.yaml").write_text("")
    return folder


def test_folders_and_files(tmp_path):
    """Of a file its folder is read, and what stands in the file is told."""
    one, two = good(tmp_path / "one"), good(tmp_path / "two")
    (two / "mesher.yaml").write_text("mesher: {workers: many}\n")
    (two / "router.yaml").write_text("nonsense: 1\n")

    def run(*arguments):
        done = mesher(tmp_path, "check", *map(str, arguments))
        return done.returncode, done.stdout.splitlines()

    assert run(one) == (0, [f"no errors in 3 files ({one})"])
    assert run(f"{one}/") == run(one)
    status, lines = run(one, "two")
    assert status == 1 and lines[-1] == f"1 error, 1 warning in 7 files ({one}, two)", lines
    assert lines[0].startswith("two/mesher.yaml:1:19: mesher.workers: ")
    assert run("two/router.yaml") == (
        0,
        [
            "two/router.yaml:1:11: warning: nonsense: unknown key; remove it",
            "1 warning in 1 file (two/router.yaml)",
        ],
    )
    status, lines = run("two/router.yaml", "--strict")
    assert status == 1 and lines[0] == "two/router.yaml:1:11: nonsense: unknown key; remove it"
    assert run("one/services.yaml") == (0, ["no errors in 1 file (one/services.yaml)"])
    status, lines = run("one", "--mesher.workers=many")
    assert status == 1 and lines[0].startswith("command line --mesher.workers: ")
    document = json.loads(mesher(tmp_path, "check", "--json", "one", "two/router.yaml").stdout)
    files = ["one/chassis.yaml", "one/mesher.yaml", "one/microservice.yaml", "two/router.yaml"]
    assert document["valid"] and sorted(document["files"]) == files
    assert [each["message"] for each in document["problems"]] == ["unknown key; remove it"]


@pytest.mark.parametrize(
    "path, text", [("nowhere", "nowhere does not exist"), ("one/other.txt", "none of the files that mesher reads")]
)
def test_a_path_of_no_use(tmp_path, path, text):
    (good(tmp_path / "one") / "other.txt").write_text("")
    done = mesher(tmp_path, "check", path)
    assert done.returncode == 64 and text in done.stderr


@pytest.mark.parametrize(
    "option, meant",
    [("--servce-ports=rest:1", "--service-ports"), ("--confg=x", "--config"), ("--worker=2", "--workers")],
)
def test_a_mistyped_option_is_no_key(tmp_path, option, meant):
    done = mesher(tmp_path, "check", option)
    assert done.returncode == 64
    assert f"did you mean {meant}?" in done.stderr


@pytest.mark.parametrize(
    "form", [["--mode", "per-host"], ["--mode=per-host"], ["-mode", "per-host"], ["-mode=per-host"]]
)
def test_options_in_all_the_forms_of_the_original(tmp_path, form):
    """Per-host may listen on 0.0.0.0, a sidecar may not: so the option was read."""
    (tmp_path / "chassis.yaml").write_text('cse: {protocols: {http: {listenAddress: "0.0.0.0:30101"}}}\n')
    (tmp_path / "microservice.yaml").write_text("service_description: {name: web}\n")
    assert mesher(tmp_path, "check", *form).returncode == 0
    assert mesher(tmp_path, "check").returncode == 1


@pytest.mark.parametrize("argument", ["--mesher.workers=none", "-mesher.workers=none", "-m=none"])
def test_any_key_may_stand_on_the_command_line(tmp_path, argument):
    (tmp_path / "chassis.yaml").write_text("")
    (tmp_path / "microservice.yaml").write_text("service_description: {name: web}\n")
    done = mesher(tmp_path, "check", argument)
    option = argument.partition("=")[0]
    assert f"command line {option}: " in done.stdout
