# SPDX-License-Identifier: Apache-2.0
"""Where the sidecar does something else than Envoy has done.

Compared are of each probe: which backends were reached how often; of each answer its status, the backend that gave it,
what that has seen, the fields, and the body. Not compared, because it is meant to differ:

* the fields of `probe.TRAVEL`;
* the text of an answer that the proxy makes because it has no other, and the fields that say why (`OWN`);
* what `differs` in the scenario names, with `because`. Its `status`, `backend`, `body`, `saw`, `headers` and `hits`
  are what the sidecar does, `only: [delta]` says that it does so in this form of the protocol, `chance: true` that
  Envoy does now this, now that.

What chance decides is not compared but judged, for both proxies: `shares`, `least` and `most`.
"""

import json
import re
from collections import Counter

from . import FOLDER, scenario

# Texts of Envoy for failures that are no answer of a backend, nor one that was configured.
OWN = re.compile(
    "no healthy upstream|upstream connect error.*|upstream request timeout|downstream duration timeout|", re.DOTALL
)
OWN_FIELDS = {"content-type", "retry-after", "grpc-message"}


def recording(name):
    """What Envoy has done in a scenario."""
    return json.loads((FOLDER / "oracle" / f"{name}.json").read_text())


def stripped(probe, record):
    """A record without what is chance."""
    if "shares" in probe or probe.get("differs", {}).get("chance"):
        return {}
    out = {key: value for key, value in record.items() if key != "ms"}
    if probe.get("unordered") or probe.get("steady"):
        out = json.loads(json.dumps(out))
        if probe.get("steady"):
            out["hits"] = {"one of them": sum(out["hits"].values())} if len(out["hits"]) == 1 else out["hits"]
        for answer in out["answers"]:
            answer.pop("backend", None)
        out["answers"] = gathered(out["answers"])
    return out


def gathered(answers):
    """Equal answers as one, with their count."""
    out = []
    for answer in answers:
        for other in out:
            if {**answer, "count": 0} == {**other, "count": 0}:
                other["count"] += answer["count"]
                break
        else:
            out.append(dict(answer))
    return out


def judged(probe, record):
    """What is wrong with a record whoever made it."""
    out, total = [], sum(each["count"] for each in record["answers"])
    counts = Counter()
    for answer in record["answers"]:
        counts[answer.get("backend") or str(answer["status"])] += answer["count"]
    for key, share in probe.get("shares", {}).items():
        got = 100 * sum(counts[each] for each in str(key).split("|")) / total
        if abs(got - share) > probe.get("tolerance", 0):
            out.append(f"{key}: {got:.1f} %, wanted {share} ± {probe.get('tolerance', 0)} %, of {dict(counts)}")
    least, most = record["ms"]
    if least < probe.get("least", 0):
        out.append(f"answered after {least} ms, not before {probe['least']} ms")
    if most > probe.get("most", 10_000):
        out.append(f"answered after {most} ms, wanted within {probe['most']} ms")
    return out


def without_own(answer):
    """An answer without what the proxy says in its own words."""
    headers, text = answer.get("headers", {}), answer.get("body", "")
    if "grpc-status" in headers:
        text = headers.get("grpc-message", "")
    elif answer["status"] < 400:
        return answer
    return answer if answer.get("backend") or not OWN.fullmatch(text) else bare(answer)


def bare(answer):
    """An answer without body, and without the fields of `OWN_FIELDS`."""
    headers = {key: value for key, value in answer.get("headers", {}).items() if key not in OWN_FIELDS}
    out = {key: value for key, value in answer.items() if key not in ("body", "headers")}
    return {**out, "headers": headers} if headers else out


def is_same(wanted, got):
    """Whether two lists of answers are the same, order aside."""
    left = list(got)
    for answer in wanted:
        for other in left:
            if is_equal(answer, other):
                left.remove(other)
                break
        else:
            return False
    return not left


def is_equal(answer, other):
    """Whether an answer is the recorded one. Where Envoy is silent, only a failure with a reason may say something."""
    own = without_own(answer)
    other, reason = {key: value for key, value in other.items() if key != "error"}, other.get("error")
    is_silent = not answer.get("body") and "grpc-status" not in answer.get("headers", {})
    return other == answer if own is answer or is_silent and not reason else bare(other) == own


def meant(differs, record):
    """What is other than the scenario says of the sidecar."""
    out = []
    for answer in record["answers"]:
        for key in ("status", "backend", "body"):
            if key in differs and answer.get(key) != differs[key]:
                out.append(f"{key} {answer.get(key)!r} instead of {differs[key]!r}")
        for name, value in differs.get("headers", {}).items():
            if answer.get("headers", {}).get(name) != value:
                out.append(f"field {name} {answer.get('headers', {}).get(name)!r} instead of {value!r}")
        saw = answer.get("saw", {})
        for name, value in differs.get("saw", {}).items():
            got = saw.get("request") if name == "request" else saw.get("headers", {}).get(name)
            if got != value:
                out.append(f"the backend saw {name} {got!r} instead of {value!r}")
    if "hits" in differs and record["hits"] != differs["hits"]:
        out.append(f"tries {record['hits']} instead of {differs['hits']}")
    return out


def told(record):
    """A record for people: an answer a line."""
    lines = []
    for answer in record["answers"]:
        rest = {key: value for key, value in answer.items() if key not in ("count", "status", "backend")}
        who = answer.get("backend") or "the proxy"
        lines.append(f"{answer['count']}× {answer['status']} from {who} {json.dumps(rest)[:600]}")
    lines.append(f"tries {record['hits']}" + (f", last {json.dumps(record['last'])}" if "last" in record else ""))
    return lines


def asked(probe):
    """The request of a probe for people."""
    method = "gRPC" if probe.get("grpc") else probe.get("method", "GET")
    extra = {key: value for key, value in probe.items() if key in ("headers", "do", "count", "together", "body")}
    return f"{method} http://{probe['host']}{probe.get('path', '/')}" + (f" {json.dumps(extra)}" if extra else "")


def problem(where, probe, record, reasons, recorded=None):
    lines = [f"{where} / {probe['name']}", f"  asked:  {asked(probe)}", *(f"  wrong:  {each}" for each in reasons)]
    if recorded:
        lines += [f"  envoy:  {each}" for each in told(recorded)]
    if "differs" in probe:
        lines.append(f"  meant:  {json.dumps(probe['differs'])}")
    lines += [f"  got:    {each}" for each in told(record)]
    return "\n".join(lines)


def kept(run):
    """What is kept of a run of Envoy, and what is wrong with it."""
    out, problems = {}, [*run.violations]
    for (phase, _), result in zip(scenario.phases(scenario.read(run.name)), run.phases, strict=False):
        where = f"{run.name} / {result.name}"
        problems += [f"{where}: {each}" for each in result.problems]
        refused = sorted({*phase.get("refused", {}), *phase.get("envoy_refused", [])})
        if refused != result.refused:
            problems.append(f"{where}: refused {result.messages}, the scenario says {refused}")
        for probe in phase.get("probes", []):
            record = result.records[probe["name"]]
            if reasons := judged(probe, record):
                problems.append(problem(where, probe, record, reasons))
        probes = {probe["name"]: stripped(probe, result.records[probe["name"]]) for probe in phase.get("probes", [])}
        out[result.name] = {name: record for name, record in probes.items() if record}
    return out, problems


def differences(run):
    """What the sidecar has done otherwise than Envoy without being meant to, as texts."""
    recorded, form = recording(run.name), "delta" if run.form == "delta" else "sotw"
    out = [f"{run.name}: against the protocol: {each}" for each in run.violations]
    for (phase, _), result in zip(scenario.phases(scenario.read(run.name)), run.phases, strict=False):
        where = f"{run.name} ({run.form}) / {result.name}"
        out += [f"{where}: {each}" for each in result.problems]
        refused = phase.get("refused", {})
        if sorted(refused) != result.refused:
            out.append(f"{where}: refused {result.messages or 'nothing'}, wanted {sorted(refused) or 'nothing'}")
        for kind, names in refused.items():
            text = " ".join(result.messages.get(kind, []))
            if kind in result.messages and (missing := [name for name in names if name not in text]):
                out.append(f"{where}: the refusal of {kind} does not name {missing}: {text}")
        for probe in phase.get("probes", []):
            record = result.records[probe["name"]]
            reasons, old = judged(probe, record), None
            differs = probe.get("differs")
            if differs and form in differs.get("only", [form]):
                reasons += meant(differs, record)
            elif old := recorded[result.name].get(probe["name"]):
                got = stripped(probe, record)
                if not is_same(old["answers"], got["answers"]):
                    reasons.append("another answer")
                if old["hits"] != got["hits"]:
                    reasons.append(f"tries {got['hits']} instead of {old['hits']}")
                if old.get("last") != got.get("last"):
                    reasons.append("the last request of a backend is another")
            if "later" in probe:
                reasons = [] if reasons else ["the sidecar does as Envoy now: take `later` away"]
            if reasons:
                out.append(problem(where, probe, record, reasons, old))
    return out
