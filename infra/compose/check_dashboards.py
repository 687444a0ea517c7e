#!/usr/bin/env python3
"""Compares dashboards and alerts with the code: they ask only for metrics that exist, and every metric is on a panel.

Metric names are literals in the files called metrics.rs and in the folder shared/src/metrics, and in the simulator's
telemetry.rs. All begin with `firewatch_`, those of the simulator with `simulator_`.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r'"((?:firewatch|simulator)_[a-z_]+)"')
# what a histogram is asked for by
SUFFIX = re.compile(r"_(?:bucket|sum|count)$")
# made by Prometheus itself
BUILT_IN = {"up"}
# in an expression: what is no metric, to be taken out in this order
NOT_METRICS = [
    r'"[^"]*"',
    r"\{[^}]*\}",
    r"\[[^\]]*\]",
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)",
    r"\b[a-z_]+\s*(?=\()",
    r"\b(?:and|or|unless|by|bool|offset)\b",
]


def names_in_code():
    names = set()
    for crate in ["shared", "knowledge", "simulator", *sorted((ROOT / "services").iterdir())]:
        for file in (ROOT / crate / "src").rglob("*.rs"):
            if file.name in ("metrics.rs", "telemetry.rs") or file.parent.name == "metrics":
                names.update(NAME.findall(file.read_text()))
    return names


def names_of_the_shop():
    """What the simulated services report; the simulator names it in `Metric::name`."""
    text = (ROOT / "simulator/src/service.rs").read_text()
    return set(re.findall(r'Self::\w+ => "([a-z][a-z0-9]*_[a-z0-9_]+)"', text))


def names_in(expression):
    for pattern in NOT_METRICS:
        expression = re.sub(pattern, " ", expression)
    return set(re.findall(r"\b[a-z_:][a-z0-9_:]*", expression))


def panels(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def alerts():
    """Names and expressions of alerts and recorded series. An expression is on its line, or indented below `|`: this needs
    no YAML parser."""
    name, block = None, None
    for line in (ROOT / "infra/compose/alerts.yml").read_text().splitlines():
        indent = len(line) - len(line.lstrip())
        if block is not None and indent > block[0]:
            block[1].append(line)
            continue
        if block is not None:
            yield name, "\n".join(block[1])
            block = None
        key, _, value = line.strip().removeprefix("- ").partition(": ")
        if key in ("alert", "record"):
            name = value
        elif key == "expr" and value == "|":
            block = (indent, [])
        elif key == "expr":
            yield name, value


def main():
    code, shop = names_in_code(), names_of_the_shop()
    recorded = {name for name, _ in alerts() if ":" in name}
    shown, problems = set(), []
    for file in sorted((ROOT / "infra/compose/grafana/dashboards").glob("*.json")):
        for panel in panels(json.loads(file.read_text())):
            for target in panel.get("targets", []):
                for name in sorted(names_in(target["expr"]) - BUILT_IN - shop - recorded):
                    known = name if name in code else SUFFIX.sub("", name)
                    shown.add(known)
                    if known not in code:
                        problems.append(f"{file.name}, {panel['title']!r}: no code has {name}")
    for alert, expression in alerts():
        unknown = names_in(expression) - BUILT_IN - code - recorded
        unknown = {name for name in unknown if SUFFIX.sub("", name) not in code}
        problems += [f"alert {alert}: no code has {name}" for name in sorted(unknown)]
    problems += [f"no dashboard shows {name}" for name in sorted(code - shown)]
    problems += [f"{name} has another prefix" for name in sorted(code) if not NAME.fullmatch(f'"{name}"')]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not shown or not shop:
        sys.exit("no metrics found")
    if problems:
        sys.exit(1)
    print(f"{len(code)} metrics, all on a dashboard")


if __name__ == "__main__":
    main()
