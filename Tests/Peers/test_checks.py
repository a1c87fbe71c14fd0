# SPDX-License-Identifier: Apache-2.0
"""What `mesher check` says of what people write: a table of inputs with places and words.

Each file of Tests/Fixtures/Checks has cases: a title behind `===`, files behind `---`, and what is printed behind
`--- expected`. What a case does not write, it has from the files in front of the first case, or else from ORDINARY;
`--- no services.yaml` takes one away. What the table of right ones has hears nothing. UPDATE_GOLDEN=1 writes what is printed anew: read the
difference before it is committed.
"""

import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import pytest

from harness import REPOSITORY, binary

TABLES = sorted((REPOSITORY / "Tests/Fixtures/Checks").glob("*.txt"))
ORDINARY = {
    "chassis.yaml": "cse: {service: {registry: {type: file, address: services.yaml}}}\n",
    "microservice.yaml": "service_description: {name: shop, version: 1.0.0}\n",
    "services.yaml": 'service: [{name: cart, instance: ["rest://127.0.0.2:8080"]}]\n',
}


def named(text):
    """What stands behind each name."""
    parts = re.split(r"^--- (.*)\n", text, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def cases(table):
    """The cases of a table: titles, and what stands behind each name."""
    found = []
    for text in re.split(r"^=== ", table.read_text(), flags=re.M)[1:]:
        title, _, rest = text.partition("\n")
        found.append((title, named(rest)))
    return found


def front(table):
    """What stands in front of the first case."""
    return re.split(r"^=== ", table.read_text(), flags=re.M)[0]


def write(table, results):
    """Writes a table whose cases have printed `results`."""
    text = front(table)
    for (title, parts), (printed, _) in zip(cases(table), results, strict=True):
        text += f"=== {title}\n"
        for name, content in (*((n, c) for n, c in parts.items() if n != "expected"), ("expected", printed)):
            text += f"--- {name}\n{content}"
    table.write_text(text)


def check(folder, ordinary, parts):
    """What is printed of a case, without the last line, and the status."""
    folder.mkdir()
    for name, content in {**ORDINARY, **ordinary, **parts}.items():
        if name not in ("environment", "arguments", "expected") and f"no {name}" not in parts and name[:3] != "no ":
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
        results = list(pool.map(check, folders, repeat(named(front(table))), [parts for _, parts in known]))
    if os.environ.get("UPDATE_GOLDEN"):
        write(table, results)
        known = cases(table)
    for (title, parts), (printed, status) in zip(known, results, strict=True):
        assert printed == parts.get("expected", ""), title
        assert not printed or table.stem != "right", title
        errors = [line for line in printed.splitlines() if not re.search(r": (warning|note): ", line)]
        assert status == (1 if errors else 0), title


def test_there_are_enough_of_them():
    assert sum(len(cases(table)) for table in TABLES) >= 200
