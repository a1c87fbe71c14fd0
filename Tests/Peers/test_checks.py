# SPDX-License-Identifier: Apache-2.0
"""What `mesher check` says of what people write: a table of inputs with places and words.

Each file of Tests/Fixtures/Checks has cases: a title behind `===`, files behind `---`, and what is printed behind
`--- expected`. What a case does not write, it has from ORDINARY. UPDATE_GOLDEN=1 writes what is printed anew: read the
difference before it is committed.
"""

import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import REPOSITORY, binary

TABLES = sorted((REPOSITORY / "Tests/Fixtures/Checks").glob("*.txt"))
ORDINARY = {
    "chassis.yaml": "cse: {service: {registry: {type: file, address: services.yaml}}}\n",
    "microservice.yaml": "service_description: {name: shop, version: 1.0.0}\n",
    "services.yaml": 'service: [{name: cart, instance: ["rest://127.0.0.2:8080"]}]\n',
}


def cases(table):
    """The cases of a table: titles, and what stands behind each name."""
    found = []
    for text in re.split(r"^=== ", table.read_text(), flags=re.M)[1:]:
        title, _, rest = text.partition("\n")
        parts = re.split(r"^--- (.*)\n", rest, flags=re.M)[1:]
        found.append((title, dict(zip(parts[::2], parts[1::2]))))
    return found


def write(table, results):
    """Writes a table whose cases have printed `results`."""
    text = ""
    for (title, parts), (printed, _) in zip(cases(table), results):
        text += f"=== {title}\n"
        for name, content in (*((n, c) for n, c in parts.items() if n != "expected"), ("expected", printed)):
            text += f"--- {name}\n{content}"
    table.write_text(text)


def check(folder, parts):
    """What is printed of a case, without the last line, and the status."""
    folder.mkdir()
    for name, content in {**ORDINARY, **parts}.items():
        if name not in ("environment", "arguments", "expected"):
            (folder / name).write_text(content)
    environment = {"PATH": os.environ["PATH"], "CHASSIS_CONF_DIR": "."}
    environment.update(line.split("=", 1) for line in parts.get("environment", "").splitlines())
    done = subprocess.run(
        [binary(), "check", *shlex.split(parts.get("arguments", ""))],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.stderr == ""
    *printed, _ = done.stdout.splitlines(keepends=True)
    return "".join(printed), done.returncode


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_what_is_said(table, tmp_path):
    known = cases(table)
    with ThreadPoolExecutor(4) as pool:
        folders = [tmp_path / str(number) for number in range(len(known))]
        results = list(pool.map(check, folders, [parts for _, parts in known]))
    if os.environ.get("UPDATE_GOLDEN"):
        write(table, results)
        known = cases(table)
    for (title, parts), (printed, status) in zip(known, results):
        assert printed == parts.get("expected", ""), title
        errors = [line for line in printed.splitlines() if not re.search(r": (warning|note): ", line)]
        assert status == (1 if errors else 0), title


def test_there_are_enough_of_them():
    assert sum(len(cases(table)) for table in TABLES) >= 200
