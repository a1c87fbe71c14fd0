# SPDX-License-Identifier: Apache-2.0
"""Dashboard, alert rules and the page about metrics name what sidecars really tell, and Prometheus can read them."""

import json
import re
import subprocess

import pytest
import yaml

from everything import Everything, families
from harness import REPOSITORY

ALERTS = REPOSITORY / "packaging/prometheus/alerts.yml"
DASHBOARD = REPOSITORY / "packaging/grafana/dashboard.json"
# Names and forms that dashboards of the original know, whatever promtool thinks of them.
FROZEN = re.compile(r"(Consumer|Provider|scb|status)_")
# What the scraper adds.
ADDED = {"job", "instance"}
WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool"}


@pytest.fixture(scope="module")
def observed():
    """What two sidecars that have met everything say to a scraper."""
    world = Everything()
    yield world
    world.stop()


@pytest.fixture(scope="module")
def text(observed):
    return observed.text()


def series(text):
    """The names of all labels of each name that a sample may have, `_bucket` and its kind included."""
    found = {}
    for name, labels in re.findall(r"^([a-zA-Z_]\w*)(?:\{(.*)\})? ", text, re.M):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def alerts():
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def queries():
    """Every expression of both files, with values in place of the dashboard's variables."""
    found = [(rule["alert"], rule["expr"]) for rule in alerts()]
    found += [(panel["title"], target["expr"]) for panel in panels() for target in panel.get("targets", [])]
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    for variable in variables:
        if matched := re.fullmatch(r"label_values\((.*), (\w+)\)", str(variable.get("definition", ""))):
            found.append((variable["name"], f"count by ({matched[2]}) ({matched[1]})"))
    return [(title, expression.replace("$__rate_interval", "5m").replace("$", "x")) for title, expression in found]


def selectors(expression):
    """The metrics of an expression, each with the labels that it is selected by."""
    plain = re.sub(r'"[^"]*"', '""', expression)
    plain = re.sub(r"\[[^\]]*\]", "", plain)
    plain = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", plain)
    found = re.findall(r"([a-zA-Z_]\w*)(?!\w)\s*(?!\s*\()(?:\{([^}]*)\})?", plain)
    return [
        (name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels)))
        for name, labels in found
        if name not in WORDS and not re.search(rf"\b{name}\s*\(", plain)
    ]


def grouping(expression):
    """The labels that an expression groups by."""
    return {label for labels in re.findall(r"\bby\s*\(([^)]*)\)", expression) for label in re.findall(r"\w+", labels)}


@pytest.mark.parametrize(("title", "expression"), [pytest.param(*query, id=query[0]) for query in queries()])
def test_metrics_and_labels_exist(text, title, expression):
    known = series(text)
    used = selectors(expression)
    assert used or "vector" in expression
    for name, labels in used:
        assert name in known, f"{title}: no sidecar has {name}"
        assert labels <= known[name] | ADDED, f"{title}: {name} has no {labels - known[name] - ADDED}"
        assert grouping(expression) <= known[name] | ADDED, f"{title}: {name} cannot be grouped so"


def promtool(*arguments, **options):
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=30, **options)


def test_alert_rules_are_well_formed():
    checked = promtool("check", "rules", str(ALERTS))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]


def test_dashboard_is_well_formed(tmp_path):
    # A rule is an expression with a name: promtool parses one for each query.
    rules = [{"record": f"panel:{number}", "expr": expression} for number, (_, expression) in enumerate(queries())]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = promtool("check", "rules", str(tmp_path / "queries.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    taken = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells
        references = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(references)) == len(references), panel["title"]


def test_page_has_all_families(text):
    """Neither is one missing in the page, nor does it tell of one that does not exist."""
    page = (REPOSITORY / "docs/metrics.md").read_text()
    told = set(re.findall(r"`((?:mesher|process|scb|status|Consumer|Provider)_\w+)`", page))
    real = families(text)
    assert {name for name in real if f"`{name}`" not in page} == set()
    # There is no control plane here.
    absent = {name for name in told if name.startswith(("mesher_control_plane_", "mesher_istio_"))}
    assert told - real.keys() == absent
    rows = dict(re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram|summary)\b", page, re.M))
    assert {name: kind for name, kind in rows.items() if name not in absent and real[name] != kind} == {}


def test_page_has_all_limits(text):
    section = (REPOSITORY / "docs/metrics.md").read_text().split("## Limits\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)} - {"limit"}
    assert told == set(re.findall(r'^mesher_limit_hits_total\{limit="(\w+)"\}', text, re.M))


def test_promtool_has_nothing_against_the_metrics(observed):
    for said in (observed.text_of(observed.web), observed.text_of(observed.lost)):
        checked = promtool("check", "metrics", input=said)
        complaints = (checked.stdout + checked.stderr).splitlines()
        assert [line for line in complaints if not FROZEN.match(line)] == []


def test_both_formats_have_the_same_families(observed):
    plain = families(observed.text())
    open_metrics = families(observed.text("Accept: application/openmetrics-text; version=1.0.0"))
    for name, kind in plain.items():
        if kind != "counter":
            assert open_metrics[name] == kind
        elif name.endswith("_total"):
            assert open_metrics[name.removesuffix("_total")] == kind
        else:
            assert open_metrics[name] == "unknown"
