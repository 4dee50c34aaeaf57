#!/usr/bin/env python3
"""Holds the dashboard and the alerts against a real cluster.

    scripts/metrics.py http://127.0.0.1:9090

asks the Prometheus there, which must have scraped nodes that did some work: every metric that the files in deploy/ name must be known
to it, and every query of the dashboard must be understood and find something. Then it asks for a metric that does not exist, and must
be told so."""

import json
import pathlib
import re
import sys
import urllib.parse
import urllib.request

DEPLOY = pathlib.Path(__file__).parent.parent / "deploy"
METRIC = re.compile(r"\b(?:restate|classify)_[a-z0-9_]+\b|\bup\b(?=\{)")


def ask(prometheus, path, **query):
    url = f"{prometheus.rstrip('/')}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        return {"error": json.load(error)["error"]}


def queries():
    """Panel and query of everything on the dashboards."""
    for file in sorted((DEPLOY / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", []):
                yield f"{file.name}: {panel['title']}", target["expr"]


def alerts():
    """The alerts' expressions, by promtool's own rule that each is on the lines after `expr:`."""
    text = (DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8")
    for name, rest in re.findall(r"- alert: (\w+)\n(.*?)\n\s+for:", text, re.S):
        yield f"alerts.yml: {name}", rest.split("expr:", 1)[1]


def problems(prometheus, shown, watched):
    known = set(ask(prometheus, "label/__name__/values"))
    for where, query in [*shown, *watched]:
        for metric in sorted(set(METRIC.findall(query)) - known):
            yield f"{where}: no node has the metric {metric}"
    for where, query in shown:
        answer = ask(prometheus, "query", query=query)
        if "error" in answer:
            yield f"{where}: {answer['error']}"
        elif not answer["result"]:
            yield f"{where}: nothing to show for {query}"


def main():
    prometheus = sys.argv[1]
    shown, watched = list(queries()), list(alerts())
    if not shown or not watched:
        sys.exit("no dashboard or no alerts were found")
    found = list(problems(prometheus, shown, watched))
    if not list(problems(prometheus, [("self-test", "restate_no_such_metric")], [])):
        found.append("self-test: a metric that does not exist was not noticed")
    print("\n".join(found), file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"{len(shown)} queries of the dashboard show something; {len(watched)} alerts name real metrics")


main()
