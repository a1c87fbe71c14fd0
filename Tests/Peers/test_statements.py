# SPDX-License-Identifier: Apache-2.0
"""What pages say of the program, held against the program: what is not active yet, keys, defaults, metrics, names of tests."""

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

from harness import REPOSITORY, binary

# Made by the program, or a record of the past.
MADE = {"docs/configuration-reference.md", "CHANGELOG.md"}
OWN = [path for path in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] if (REPOSITORY / path).exists()]
PAGES = [
    page for page in [*OWN, *(f"docs/{each.name}" for each in sorted(REPOSITORY.glob("docs/*.md")))] if page not in MADE
]


@cache
def text(page):
    return (REPOSITORY / page).read_text()


@cache
def prose(page):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text(page), flags=re.S | re.M)


def words(page):
    """What the page writes as code, inside of its sentences."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def mesher(*arguments, **environment):
    """Status, and what was printed."""
    done = subprocess.run(
        [binary(), *arguments],
        env={"HOME": "/", "PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.returncode, done.stdout + done.stderr


@cache
def catalogue():
    return json.loads(mesher("reference", "--json")[1])


def state(key):
    return next(row["state"] for row in catalogue() if row["key"] == key)


# -- Not yet -----------------------------------------------------------------------------------------------------------


def check(tmp_path, chassis, *options):
    """What `mesher check` says of a `chassis.yaml`."""
    (tmp_path / "chassis.yaml").write_text(chassis)
    return mesher("check", *options, CHASSIS_CONF_DIR=str(tmp_path), SERVICE_NAME="shop")


def registries(tmp_path):
    """The registries that are not active yet are accepted, said to be idle, and are no others than pages say."""
    row = next(row for row in catalogue() if row["key"] == "cse.service.registry.type")
    idle = set()
    for kind in re.findall(r"`(\w+)`", row["type"]):
        status, said = check(tmp_path, f"cse: {{service: {{registry: {{type: {kind}}}}}}}")
        assert status == 0, said
        if f"{kind} is not active yet" in said:
            idle.add(kind)
    assert idle == {"kube"}


def told_once(_):
    """What Istio asks for in vain is said by these words."""
    source = (REPOSITORY / "Sources/RegistryBridge/Istio/IstioKeeper.swift").read_text()
    assert "Istio asks for what is not done" in source


def no_gateway_api(_):
    assert [row["key"] for row in catalogue() if "gateway" in row["key"].lower()] == []


def no_authentication(tmp_path):
    chain = "{chain: {Provider: {incoming: 'basicAuth,jwt,oauth2,transport'}}}"
    status, said = check(tmp_path, f"cse: {{handler: {chain}}}")
    assert status == 0
    assert re.findall(r"handler \[(\w+)\] is not active yet", said) == ["basicAuth", "jwt", "oauth2"]


def no_edge(tmp_path):
    status, said = check(tmp_path, "cse: {service: {registry: {disabled: true}}}", "--mode", "edge")
    assert status == 1 and "the mode edge is not active yet" in said


def nobody_says_unauthenticated(_):
    """The name is in the table of reasons, and no source makes an error of it."""
    sources = [path for path in (REPOSITORY / "Sources").rglob("*.swift") if path.name != "ProxyError.swift"]
    assert [
        path.name for path in sources if re.search(r"ProxyError\(\.unauthenticated|reject\(\.unauth", path.read_text())
    ] == []


def keys_wait(_):
    """There are keys that are not active yet, as the pages say that list or mark them."""
    assert any(row["state"] == "later" for row in catalogue())


def no_cipher_plugin(_):
    row = next(row for row in catalogue() if row["key"] == "ssl[.<tag>].cipherPlugin")
    assert row["type"] == "`default`"


# Where a page says that something is not there yet: a part of the line, and what shows that it is so. Once it is there, the
# proof fails, and the page has to be changed.
NOT_YET = [
    ("README.md", "Not in this version: Gateway API", [registries, no_gateway_api]),
    ("README.md", "names keys that have no effect yet", [keys_wait]),
    (
        "docs/what-is-mesher.md",
        "What this version does not do",
        [registries, no_gateway_api],
    ),
    ("docs/what-is-mesher.md", "lists those in your files that are [not active", [keys_wait]),
    ("docs/infrastructure.md", "type `kube` is not active yet", [registries]),
    ("docs/admin-api.md", "with a type that is [not active yet]", [registries]),
    ("docs/migration.md", "Whatever this version cannot do", [keys_wait]),
    ("docs/migration.md", "Kubernetes is not active yet", [registries]),
    ("docs/errors.md", "which nothing in this version gives: `unauthenticated`", [nobody_says_unauthenticated]),
    ("docs/handlers.md", "Handlers for authentication are known and not active yet", [no_authentication]),
    ("docs/comparison.md", "the mode `edge` is not active yet", [no_edge]),
    ("docs/configuration.md", "mostly [not active yet](configuration-reference.md#not-active-yet)", [keys_wait]),
    ("docs/configuration.md", "without effect in this version, or at all", [keys_wait]),
    ("docs/command-line.md", "has no effect in this version", [keys_wait]),
    ("docs/editor.md", "Keys that have no effect in this version", [keys_wait]),
    ("docs/troubleshooting.md", "`not active yet`, `has no effect`", [keys_wait]),
    ("docs/tls.md", "there is no other yet", [no_cipher_plugin]),
    ("docs/istio.md", "Not there yet, and told once in the log", [told_once]),
]
# Not every *yet* is meant: the registry has not answered yet.
PHRASE = re.compile(
    r"not active yet|(?<!of )this version|not there yet|no other yet|no effect yet|not supported yet|over TLS yet|workloads yet",
    re.I,
)


def test_every_not_yet_has_a_proof():
    """A new sentence of this kind needs a line in the table."""
    found = []
    for page in sorted(set(PAGES) - {"ARCHITECTURE.md", "CONTRIBUTING.md", "docs/documentation.md"}):
        for line in text(page).splitlines():
            known = [part for where, part, _ in NOT_YET if where == page and part in line]
            if PHRASE.search(line) and not known:
                found.append(f"{page}: {line}")
    assert found == []


@pytest.mark.parametrize("page, part, proofs", NOT_YET, ids=[f"{page}:{part[:40]}" for page, part, _ in NOT_YET])
def test_what_is_not_there_yet(page, part, proofs, tmp_path):
    assert part in text(page), "the page says it no more: drop its line here"
    for proof in proofs:
        proof(tmp_path)


# -- Keys --------------------------------------------------------------------------------------------------------------

# What looks like a key and is none: tags of TLS, a field of spans, policies of Java that pages say are not built.
NO_KEYS = {"mesher.Provider", "mesher.retries", "servicecomb.{retry,bulkhead,…}.<name>"}


def keys():
    """Every key that a page names in a sentence, up to its first `…` or `*`, with the pages that do."""
    roots = {re.split(r"[.\[<]", row["key"])[0] for row in catalogue()} | {"servicecomb"}
    found = {}
    for page in PAGES:
        for word in words(page):
            match = re.match(r"\w+(?:\.[\w<>{}|,*…-]+)+", word)
            if not match or match[0] in NO_KEYS or match[0].endswith((".yaml", ".service")):
                continue
            key = re.split(r"\.?[…*]", match[0])[0]
            if key.split(".")[0] in roots:
                found.setdefault(key, set()).add(page)
    return found


def test_keys_of_pages_are_known():
    named = keys()
    assert len(named) > 100
    # A prefix, and the file of a binary's symbols.
    for name in ("servicecomb", "mesher.debug"):
        named.pop(name, None)
    with ThreadPoolExecutor(8) as pool:
        statuses = dict(zip(named, pool.map(lambda key: mesher("reference", key)[0], named), strict=True))
    assert {key: sorted(named[key]) for key, status in statuses.items() if status} == {}


def plain(value):
    """A default, however it is spelled: `64 KiB` and `64KiB`, `10s` and `10 seconds`."""
    value = value.strip().lower().replace(" ", "").replace(",", "").replace("percent", "").strip("`%")
    return re.sub(r"^1m$", "60s", re.sub(r"(?<=\d)(seconds?|sec)$", "s", value))


def test_defaults_of_pages_are_those_of_the_program():
    """`key` (value) in a page gives the default."""
    defaults = {row["key"]: row["default"] for row in catalogue()}
    wrong = []
    for page in PAGES:
        for key, value in re.findall(r"`((?:mesher|cse|tracing)\.[\w.]+)` \((\d[^)]*)\)", prose(page)):
            value = value.split(" at most")[0].split(";")[0]
            if plain(value) != plain(defaults.get(key, "no key")):
                wrong.append(f"{page}: `{key}` ({value}), but it is {defaults.get(key)}")
    assert wrong == []


LIVE = {
    "limits, deadlines, trusted hops": ["mesher.limits", "mesher.timeouts", "mesher.trustedHops"],
    "handler chains, load balancing, retries, ejection, circuit breakers, rate limits, faults": [
        "cse.loadbalance", "mesher.retry", "mesher.outlier", "cse.circuitBreaker", "cse.flowcontrol", "cse.governance",
    ],
    "route rules, `mesh.yaml`, external hosts": ["routeRule", "sourceTemplate", "mesh", "egressRule"],
    "the log and the access log, `lager.yaml`": ["logWriters", "logLevel", "logFile", "accessLogFile", "accessLogFormat"],
}  # fmt: skip
RESTART = {
    "listeners, the registry, TLS, tracing, health checks, resolvers, the configuration server": [
        "cse.protocols", "cse.service.registry", "ssl", "tracing", "localHealthCheck", "plugin", "cse.config",
    ],
}  # fmt: skip
# Said apart on the page of the registry, or of a stop: when the process ends, how it leaves, and when it is there.
AT_THE_END = {"mesher.timeouts.drain", "mesher.timeouts.farewell", "mesher.timeouts.notice", "mesher.timeouts.ready"}


@pytest.mark.parametrize("change, rows", [("live", LIVE), ("restart", RESTART)])
def test_what_is_live(change, rows):
    page = text("docs/life-cycle.md")
    for row, groups in rows.items():
        assert f"| {row} | {change} |" in page
        for group in groups:
            belongs = [
                r for r in catalogue() if re.match(rf"{re.escape(group)}(?![\w])", r["key"]) and r["state"] == "active"
            ]
            assert belongs, group
            assert {r["key"] for r in belongs if r["change"] != change} - AT_THE_END == set()


# -- Names -------------------------------------------------------------------------------------------------------------


def test_metrics_of_pages_are_on_the_page_of_metrics():
    """That page is compared with sidecars by `test_dashboards`; the injector, another process, has one of its own."""
    known = set(re.findall(r"`(mesher_\w+)", text("docs/metrics.md")))
    known |= set(re.findall(r"`(mesher_injector_\w+)", text("docs/injector.md")))
    named = {(word, page) for page in PAGES for word in re.findall(r"`(mesher_[a-z0-9_]+)[`{]", prose(page))}
    variables = {"mesher_admin_token", "mesher_listenIP", "mesher_timeouts_connect", "mesher_timeouts_drain"}
    assert {each for each in named if each[0] not in known | variables} == set()


def test_reasons_of_pages_are_on_the_page_of_errors():
    """But for those that a profile borrows from Envoy."""
    known = {"local_rate_limited"} | set(re.findall(r"^\| `(\w+)` \|", text("docs/errors.md"), re.M))
    named = {(reason, page) for page in PAGES for reason in re.findall(r"\b[45]\d\d `([a-z]+_[a-z_]+)`", prose(page))}
    assert len(known) > 15 and {each for each in named if each[0] not in known} == set()


def test_reasons_of_the_program_are_on_the_page_of_errors():
    cases = re.findall(
        r'^ +case `?\w+`? = "(\w+)"$', (REPOSITORY / "Sources/Common/Errors/ProxyError.swift").read_text(), re.M
    )
    assert len(cases) > 15
    assert [reason for reason in cases if f"`{reason}`" not in text("docs/errors.md")] == []


def test_tests_that_pages_cite_are_there():
    there = {path.stem for path in (REPOSITORY / "Tests").rglob("*") if path.suffix in (".swift", ".py")}
    cited = {(word, page) for page in PAGES for word in words(page) if re.fullmatch(r"test_\w+|\w+Tests", word)}
    assert len(cited) > 40
    assert {
        (word, page) for word, page in cited if word not in there and not (REPOSITORY / "Tests" / word).exists()
    } == set()


def test_promises_that_comments_cite_are_on_their_page():
    known = set(re.findall(r"^\| ([USTL]\d+) \|", text("docs/promises.md"), re.M))
    sources = [
        path
        for top in ("Sources", "Tests")
        for path in (REPOSITORY / top).rglob("*")
        if path.suffix in (".swift", ".py")
    ]
    cited = {
        (number, path.name)
        for path in sources
        for numbers in re.findall(r"\b(?:promise|limit)s? ([USTL]\d+(?:(?:, | and )[USTL]\d+)*)", path.read_text())
        for number in re.findall(r"[USTL]\d+", numbers)
    }
    assert len(cited) > 20
    assert {each for each in cited if each[0] not in known} == set()


def test_files_that_pages_cite_are_there():
    """Paths of the repository, as they are typed in its root."""
    top = "Sources|Tests|Fuzz|Benchmarks|docs|examples|packaging|scripts|conf|deploy"
    cited = {
        (word.split()[0].rstrip("/"), page)
        for page in PAGES
        for word in words(page)
        if re.match(rf"(?:{top})/[\w./-]+", word)
    }
    made = {"docs/_build", "docs/_build/html", "Benchmarks/Load/results"}
    wrong = {
        (path, page) for path, page in cited
        if re.fullmatch(r"[\w./-]+", path) and not path.startswith(tuple(made)) and not (REPOSITORY / path).exists()
    }  # fmt: skip
    assert wrong == set()


def test_the_address_of_the_project_stands_in_one_place():
    """Whoever publishes it elsewhere changes docs/conf.py, or sets PROJECT_URL."""
    address = re.search(r'"PROJECT_URL", "https://([^"]+)"', text("docs/conf.py"))[1]
    listed = subprocess.run(["git", "grep", "-lF", address], cwd=REPOSITORY, capture_output=True, text=True).stdout
    assert set(listed.split()) <= {"docs/conf.py"}


def test_pages_are_in_the_site():
    """Each is in a group of the index, once."""
    listed = re.findall(
        r"^[\w-]+$", re.sub(r"^.*?```\{toctree\}", "", text("docs/index.md"), count=1, flags=re.S), re.M
    )
    pages = {path.stem for path in Path(REPOSITORY, "docs").glob("*.md")} - {"index"}
    assert sorted(listed) == sorted(pages)
