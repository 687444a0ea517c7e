#!/usr/bin/env python3
"""Checks the alerts: each is complete, has a runbook, and is seen to fire in one case of its tests and not to in another.

The tests themselves are run by promtool (infra/tools/prometheus.sh promtool). Where that cannot be had, this says so loudly and
succeeds with the rest, unless FIREWATCH_PROMTOOL=required.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "infra/compose"
RUNBOOKS = ROOT / "docs/runbooks"
SEVERITIES = {"critical", "warning", "none"}
SECTIONS = ["What it means", "What is affected", "Check", "What to do", "Verify"]


def rules():
    """Fields of each alert. A line each, but for expressions: this needs no YAML parser."""
    found, rule = [], {}
    for line in (HERE / "alerts.yml").read_text().splitlines():
        key, _, value = line.strip().removeprefix("- ").partition(":")
        if line.strip().startswith(("- alert:", "- record:")):
            rule = {key: value.strip()}
            if key == "alert":
                found.append(rule)
        elif key in ("for", "labels", "summary", "description", "runbook_url"):
            rule[key] = value.strip()
    return found


def problems_of(rule):
    name = rule["alert"]
    for field in ("for", "labels", "summary", "description", "runbook_url"):
        if not rule.get(field):
            yield f"{name} has no {field}"
    severity = re.search(r"severity: (\w+)", rule.get("labels", ""))
    if not severity or severity.group(1) not in SEVERITIES:
        yield f"{name} has none of the severities {', '.join(sorted(SEVERITIES))}"
    path = rule.get("runbook_url", "")
    runbook = ROOT / path
    if not path.startswith("docs/runbooks/") or not runbook.is_file():
        yield f"{name}: there is no {path}"
    elif f"`{name}`" not in runbook.read_text():
        yield f"{path} does not name {name}"


def problems_of_runbooks(linked):
    for runbook in sorted(RUNBOOKS.glob("*.md")):
        path = runbook.relative_to(ROOT).as_posix()
        if runbook.name == "README.md":
            continue
        if path not in linked:
            yield f"{path} belongs to no alert"
        headings = re.findall(r"^## (.*)$", runbook.read_text(), re.M)
        if headings != SECTIONS:
            yield f"{path} has other sections than {', '.join(SECTIONS)}"
        if f"({runbook.name})" not in (RUNBOOKS / "README.md").read_text():
            yield f"{path} is not in docs/runbooks/README.md"


def problems_of_tests(names):
    text = (HERE / "alerts_test.yml").read_text()
    fires, quiet = set(), set()
    for expression, samples in re.findall(r"expr: (.*)\n.*eval_time: .*\n.*exp_samples: (.*)", text):
        for pattern in re.findall(r'alertname=~?"([^"]*)"', expression):
            cases = {name for name in names if re.fullmatch(pattern, name)}
            if not cases:
                yield f"a test asks for an alert that does not exist: {pattern}"
            (quiet if samples == "[]" else fires).update(cases)
    for name in sorted(names - fires):
        yield f"no test sees {name} fire"
    for name in sorted(names - quiet):
        yield f"no test sees {name} not fire"


def promtool():
    found = subprocess.run([ROOT / "infra/tools/prometheus.sh", "promtool"], stdout=subprocess.PIPE, text=True)
    if found.returncode == 0:
        return found.stdout.strip()
    if os.environ.get("FIREWATCH_PROMTOOL") == "required":
        sys.exit("promtool is required")
    print("\n*** SKIPPED: the unit tests of the alert rules did not run, because there is no promtool ***\n", file=sys.stderr)
    return None


def main():
    alerts = rules()
    names = [rule["alert"] for rule in alerts]
    problems = [problem for rule in alerts for problem in problems_of(rule)]
    problems += [f"{name} is there twice" for name in sorted(set(names)) if names.count(name) > 1]
    problems += problems_of_runbooks({rule.get("runbook_url") for rule in alerts})
    problems += problems_of_tests(set(names))
    agents = subprocess.run([ROOT / "infra/agents"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    expected = re.findall(r'label_replace\(vector\(1\), "agent", "(\w+)"', (HERE / "alerts.yml").read_text())
    if sorted(agents) != sorted(expected):
        problems.append(f"firewatch:agents lists {expected}, and the agents are {agents}")
    for problem in problems:
        print(problem, file=sys.stderr)
    if not alerts or problems:
        sys.exit(1)
    tool = promtool()
    if tool:
        for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
            done = subprocess.run([tool, *arguments], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                sys.exit(done.stdout)
    print(f"{len(alerts)} alerts, each with a runbook" + (" and tested" if tool else ", not tested"))


if __name__ == "__main__":
    main()
