"""What was measured, in tables and in files."""

import json
import os
import platform
import statistics
import time

import measure
import plot

# What a case is compared with, in the same rounds.
ANCHORS = ("pingora", "nginx", "before")


def facts(lab, options):
    """What was measured with what, and where."""
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "rate": options.rate,
        "kernel": platform.release().split("-")[0],
        "processor": model,
        "cores": os.cpu_count(),
        "versions": {
            name: proxy.version(lab) for name, proxy in measure.PROXIES.items() if name not in options.without
        },
    }


def of_case(case, proxies):
    """A case as it is written: what was asked of whom, the medians, every round."""
    shape = {name: getattr(case, name) for name in ("transport", "connections", "threads", "unix")}
    if case.is_http2:
        shape["streams"] = case.streams
    found = {"name": case.name, "what": case.what, **shape, "proxies": proxies}
    return {**found, "medians": summarize(found)}


def summarize(case):
    """The medians of a case, by proxy."""
    measured = {name: each for name, each in case["proxies"].items() if not each["failure"] and each["rounds"]}
    return {name: _medians(each, measured) for name, each in measured.items()}


def _medians(subject, measured):
    rounds = subject["rounds"]

    def median(value):
        return statistics.median(value(each) for each in rounds)

    summary = {
        "cpu_us": [median(lambda each, at=at: each["cpu_us"][at]) for at in range(3)],
        "switches": median(lambda each: each["switches"]),
        "rate": median(lambda each: each["requests"] / each["seconds"]),
        "memory_idle": subject["memory_idle"],
        "memory_after": subject["memory_after"],
    }
    for anchor in ANCHORS:
        if anchor in measured:
            summary[f"to_{anchor}"] = _ratio(rounds, measured[anchor]["rounds"])
    if all("latency" in each for each in rounds):
        for name in ("p50", "p99"):
            summary[f"{name}_us"] = median(lambda each, name=name: each["latency"][f"{name}_us"])
    return summary


def _ratio(rounds, others):
    """The median over rounds: what disturbs one proxy disturbs the one a moment later, too."""
    pairs = zip(rounds, others)
    return statistics.median(one["cpu_us"][0] / other["cpu_us"][0] for one, other in pairs)


def _anchors(results):
    return [anchor for anchor in ANCHORS if anchor in results["facts"]["versions"]]


def head(results):
    """The first lines of the table."""
    anchors = [f"× {anchor}" for anchor in _anchors(results)]
    columns = ["CPU µs/request", "user", "system", *anchors, "requests/s", "p50 ms", "p99 ms", "MiB idle", "after"]
    names = f"| case | proxy | {' | '.join(columns)} |"
    return f"\n{names}\n| --- | --- |{' ---: |' * len(columns)}"


def rows(results, case):
    """Lines of the table."""
    ratios = [f"to_{anchor}" for anchor in _anchors(results)]
    for name, each in summarize(case).items():
        total, user, system = each["cpu_us"]
        cells = [
            case["name"],
            name,
            _number(total),
            _number(user),
            _number(system),
            *(f"{each[ratio]:.2f}" if ratio in each else "" for ratio in ratios),
            f"{each['rate']:.0f}",
            *(f"{each[name] / 1e3:.2f}" if name in each else "" for name in ("p50_us", "p99_us")),
            f"{each['memory_idle'] / 2**20:.1f}",
            f"{each['memory_after'] / 2**20:.1f}",
        ]
        yield f"| {' | '.join(cells)} |"


def _number(value):
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def short(results):
    """The table of docs/performance.md: a line for each case, the CPU time of bare pingora as 1."""
    lines = [
        "| the same request through | Sidegate | bare pingora | nginx | HAProxy | Envoy |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case in results["cases"]:
        summary = summarize(case)
        cells = [_best(summary, kind) for kind in ("sidegate", "pingora", "nginx", "haproxy", "envoy")]
        lines.append(f"| {case['what']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _best(summary, kind):
    """Where a proxy was measured with and without a cache, the better one."""
    found = [each for name, each in summary.items() if name.split(" ")[0] == kind]
    ratios = [each["to_pingora"] for each in found if "to_pingora" in each]
    return f"{min(ratios):.2f}" if ratios else ""


def with_versions(results):
    """One line."""
    versions = ", ".join(results["facts"]["versions"].values())
    what = results["facts"]
    return (
        f"{what['date']}: {versions}; {what['rounds']} rounds of {what['seconds']} s; "
        f"{what['cores']} cores ({what['processor']}), Linux {what['kernel']}"
    )


def write(folder, results):
    """The raw data, the table and the plot."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    table = [with_versions(results), head(results), *(row for case in results["cases"] for row in rows(results, case))]
    (folder / "results.md").write_text("\n".join([*table, "", short(results), ""]))
    (folder / "results.svg").write_text(plot.draw(results, summarize, with_versions(results)))
