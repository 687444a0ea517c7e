"""make.py LAB_DIR > expected.json: what the research code (numpy) says about small generated cases and streams.

The inputs are in the output, so that `reference.rs` reads them and needs no twin of the generator. Their figures are invented; faults of each kind are put in so that every term of the ranking is reached."""
import collections, json, math, sys

import numpy as np

sys.path.insert(0, sys.argv[1])
import flow, rca, stream

MINUTE = 60_000
ALERT = 1_700_000_000_000 // MINUTE * MINUTE + 20_000


class Dice:
    """Lehmer's generator, modulus 2^31 - 1, multiplier 48271."""

    def __init__(self, seed):
        self.seed = seed

    def draw(self):
        self.seed = self.seed * 48271 % 2147483647
        return self.seed / 2147483647.0

    def noise(self):
        return self.draw() + self.draw() + self.draw() + self.draw() - 2.0

    def whole(self, least, most):
        return least + int(self.draw() * (most - least + 1))


SERVICES = ["edge", "shop", "cart", "pay", "stock", "mail", "auth", "geo"]
EDGES = [["edge", "shop"], ["shop", "cart"], ["shop", "pay"], ["cart", "stock"], ["pay", "stock"], ["shop", "mail"], ["mail", "mail"], ["edge", "auth"], ["cart", "geo"]]
CALLERS = {"edge": [None], "shop": ["edge"], "cart": ["shop"], "pay": ["shop"], "stock": ["cart", "pay"], "mail": ["shop"], "auth": ["edge"], "geo": ["cart"]}
LEVELS = {"cpuusage_m": (200, 10), "memoryusage_mi": (500, 4), "podserverlatencyp95_s": (0.2, 0.02), "podclientlatencyp90_s": (0.3, 0.02),
          "podclientlatencyp99_s": (0.6, 0.05), "podsuccessrate": (99, 0.2), "podworkload_ops": (40, 2), "nodecpuusagerate": (50, 5)}


BESIDE_SPANS = ("cpuusage_m", "podclientlatencyp90_s", "podclientlatencyp99_s")


def rounded(value):
    return None if math.isnan(value) else float("%.3g" % value)


def metrics(dice, rows, window, fault, holes):
    """{(service, metric): (base, window)}; `fault` maps (service, metric) to a factor for the rows since the alert."""
    out = {}
    for s in SERVICES:
        for m, (level, spread) in LEVELS.items():
            if (s in ("mail", "auth", "geo") and m not in ("cpuusage_m", "podsuccessrate", "podworkload_ops")) or dice.draw() < 0.02:
                continue
            values = [level + spread * dice.noise() for _ in range(rows + window)]
            for i in range(rows + 3, rows + window):
                values[i] *= fault.get((s, m), 1.0)
            if holes:
                values = [math.nan if dice.draw() < holes else v for v in values]
            out[s, m] = ([rounded(v) for v in values[:rows]], [rounded(v) for v in values[rows:]])
    return out


def evidence(dice, minutes, last, fault):
    """Rows of spans and logs for `minutes` minutes that end with the minute `last`."""
    out = []
    for m in range(minutes):
        ts = last - (minutes - 1 - m) * MINUTE
        hit = fault if ts > ALERT - 30_000 else {}
        calls, below = {("edge", None): dice.whole(20, 30)}, collections.Counter()
        for s in SERVICES[1:]:
            for c in CALLERS[s]:
                n = sum(k for (u, _), k in calls.items() if u == c)
                calls[s, c] = max(0, n - hit.get(("stops", c, s), 0)) if s != "mail" else n // 2
        rows = []
        for s in reversed(SERVICES):
            for c in CALLERS[s]:
                n = calls[s, c]
                if not n:
                    continue
                waits = sum(below[s, v] for v in SERVICES) / sum(k for (u, _), k in calls.items() if u == s)
                mean = 8 + 2 * dice.noise() + waits + hit.get(("busy", s), 0)
                if c:
                    below[c, s] += n * (mean + hit.get(("delay", s), 0))
                rows.append({"type": "span", "ts_ms": ts, "service": s, "operation": "GET /" + s, "caller": c, "count": n,
                             "mean_ms": round(mean, 2), "p95_ms": round(2.5 * mean, 2)})
                if s == "cart":
                    rows[-1]["operation"] = "add"
            n = sum(k for (u, _), k in calls.items() if u == s)
            lines = n - hit.get(("silent", s), 0)
            if lines > 0:
                rows.append({"type": "log", "ts_ms": ts, "service": s, "level": "INFO", "template": f"{s.title()}Service#17: done <*>", "count": lines})
            if hit.get(("errors", s)):
                rows.append({"type": "log", "ts_ms": ts, "service": s, "level": "ERROR", "template": "cannot reserve <*>", "count": hit["errors", s]})
            if dice.draw() < 0.3:
                rows.append({"type": "log", "ts_ms": ts, "service": s, "level": "INFO", "template": "request failed, trying again", "count": 1})
        out += reversed(rows)
    return out


def case(name, seed, rows=30, window=6, fault=None, holes=0.0, minutes=0, known=0, spans=None, drop=()):
    dice = Dice(seed)
    table = {k: v for k, v in metrics(dice, rows, window, fault or {}, holes).items() if k[1] not in drop and (not minutes or k[1] in BESIDE_SPANS)}
    last = ALERT // MINUTE * MINUTE + MINUTE
    return {"name": name, "services": SERVICES, "edges": EDGES, "alert": {"ts_ms": ALERT, "service": "edge", "metric": None},
            "alert_row": 3, "series": [{"service": s, "metric": m, "base": b, "window": w} for (s, m), (b, w) in table.items()],
            "evidence": evidence(dice, minutes, last, spans or {}) if minutes else [],
            "history": evidence(dice, known, last - 9 * MINUTE, {}) if known else []}


def values(row):
    return np.array([math.nan if v is None else v for v in row], float)


def lab(one):
    """The case as the research code has it: stamps are only compared with the alert."""
    n = len(one["series"][0]["window"]) if one["series"] else 4
    stamps = [one["alert"]["ts_ms"] + (i - one["alert_row"]) * MINUTE for i in range(n)]
    rows = len(one["series"][0]["base"]) if one["series"] else 0
    return {"id": one["name"], "services": one["services"], "edges": [tuple(e) for e in one["edges"]], "alert": one["alert"],
            "base": (np.arange(rows), {(x["service"], x["metric"]): values(x["base"]) for x in one["series"]}),
            "win": (np.array(stamps), {(x["service"], x["metric"]): values(x["window"]) for x in one["series"]}),
            "evidence": one["evidence"]}


def hypotheses(one):
    ranking, _, _ = rca.rank(lab(one), rca.History(one["history"]), explain=True)
    return [{"service": s, "score": float(v), "delay_ms": float(d), "hypotheses": {k: float(x) for k, x in h.items()}} for v, s, _, h, d in ranking]


def blame(one):
    ranking = flow.rank(lab(one), explain=True)
    brief = flow.rank(lab(one))
    return {"metric": brief[0]["metric"], "confidence": brief[0]["confidence"],
            "services": [{"service": s, "score": float(v), "blame": float(b), "deviations": float(z), "extra": float(e)} for v, s, b, z, e in ranking]}


def flows():
    """Cases of blame flow: stand-ins, a callee that nobody used to call, series without a history."""
    services = ["site", "site_client", "search", "search_remote", "pets", "table", "fresh"]
    edges = [["site", "site_client"], ["site_client", "search"], ["search", "search_remote"], ["search_remote", "table"], ["site", "pets"], ["pets", "table"], ["pets", "fresh"]]
    for name, seed, metric, hit in (("slow table", 41, "latency_avg", {"table": 2.0, "search": 3.2, "site": 3.0, "pets": 1.8}), ("failing pets", 42, "availability_avg", {"pets": 0.9, "site": 0.8, "fresh": 0.6, "table": 0.96}),
                                    ("slow site", 43, "latency_p95", {"site": 1.5}), ("nothing", 44, "latency_avg", {})):
        dice, out = Dice(seed), []
        for s in services:
            for m, (level, spread) in {"availability_avg": (99.5, 0.1), "latency_avg": (0.2, 0.02), "latency_p95": (0.5, 0.05), "requests_sum": (300, 20)}.items():
                row = [level + spread * dice.noise() for _ in range(47)]
                for i in range(43, 47):
                    if m.split("_")[0] == metric.split("_")[0]:
                        row[i] *= hit.get(s, 1.0)
                if s == "fresh":
                    row = [math.nan] * 40 + row[40:]
                    if m == "requests_sum":
                        row[:40] = [0.0] * 40
                out.append({"service": s, "metric": m, "base": [rounded(v) for v in row[:40]], "window": [rounded(v) for v in row[40:]]})
        yield {"name": name, "services": services, "edges": edges, "alert": {"ts_ms": ALERT, "service": "site", "metric": metric}, "alert_row": 3,
               "series": out, "evidence": [], "history": []}


def streams():
    """Rows with faults that come, go, stay, and are too weak; the last of these lasts until it is the new normal."""
    for name, seed, faults in (("short and weak", 51, [(70, 80, "pay", "cpuusage_m", 1.5), (100, 101, "cart", "cpuusage_m", 2.0), (115, 140, "stock", "podserverlatencyp95_s", 1.6)]),
                               ("two, and one that stays", 52, [(70, 78, "mail", "podsuccessrate", 0.9), (85, 150, "shop", "cpuusage_m", 1.4), (120, 135, "mail", "podsuccessrate", 0.9)])):
        dice = Dice(seed)
        names = [(s, m) for s in SERVICES for m in ("cpuusage_m", "podserverlatencyp95_s", "podsuccessrate")]
        rows = []
        for i in range(150):
            row = []
            for s, m in names:
                level, spread = LEVELS[m]
                value = level + spread * dice.noise()
                for begin, end, who, what, factor in faults:
                    if (s, m) == (who, what) and begin <= i < end:
                        value *= factor
                row.append(rounded(math.nan if dice.draw() < 0.01 else value))
            rows.append(row)
        stamps = np.array([ALERT + i * MINUTE for i in range(len(rows))])
        cols = {k: values([row[j] for row in rows]) for j, k in enumerate(names)}
        got = stream.trace(stamps, cols, {"services": SERVICES, "edges": EDGES}, 60)
        yield {"name": name, "services": SERVICES, "edges": EDGES, "begin_ms": ALERT, "warm_up": 60, "series": names, "rows": rows,
               "expected": [{"ts_ms": x["ts_ms"], "score": x["score"], "services": x["services"], "ranking": [[r["service"], r["category"]] for r in x["ranking"]]} for x in got]}


CASES = [
    case("nothing", 1),
    case("busy cpu", 2, fault={("pay", "cpuusage_m"): 1.6, ("pay", "podserverlatencyp95_s"): 1.8, ("shop", "podclientlatencyp90_s"): 1.4, ("shop", "podclientlatencyp99_s"): 1.5, ("edge", "podserverlatencyp95_s"): 1.5}),
    case("memory and errors, with holes", 3, fault={("cart", "memoryusage_mi"): 1.5, ("cart", "podserverlatencyp95_s"): 2.0, ("shop", "podsuccessrate"): 0.9, ("mail", "podsuccessrate"): 0.8}, holes=0.1),
    case("shares of calls that do not fit", 6, fault={("shop", "podclientlatencyp99_s"): 1.5, ("cart", "podclientlatencyp90_s"): 1.3, ("cart", "podworkload_ops"): 0.9}),
    case("lost traffic", 4, fault={("stock", "podworkload_ops"): 0.3, ("shop", "podclientlatencyp99_s"): 2.0}),
    case("too little history", 5, rows=9, fault={("cart", "cpuusage_m"): 5.0}),
    case("delay before stock", 11, minutes=3, known=7, spans={("delay", "stock"): 80}, drop=("podclientlatencyp99_s",)),
    case("delay before pay, with client latency", 12, minutes=3, known=7, spans={("delay", "pay"): 60}, fault={("shop", "podclientlatencyp90_s"): 1.5, ("shop", "podclientlatencyp99_s"): 1.5}),
    case("busy cart", 13, minutes=4, known=3, spans={("busy", "cart"): 90}, fault={("cart", "cpuusage_m"): 1.4}),
    case("errors and lost calls", 14, minutes=3, known=7, spans={("errors", "pay"): 9, ("stops", "pay", "stock"): 9, ("silent", "pay"): 9}),
    case("a silent return", 15, minutes=3, known=7, spans={("silent", "cart"): 8}),
    case("a few new errors, calls and lines", 19, minutes=3, known=7, spans={("errors", "pay"): 2, ("stops", "cart", "geo"): 4, ("silent", "shop"): 1}),
    case("a break above a break", 20, minutes=3, known=7, spans={("silent", "pay"): 2, ("silent", "stock"): 3}),
    case("breaks everywhere", 18, minutes=3, known=6, spans={("silent", "cart"): 8, ("silent", "shop"): 6, ("silent", "pay"): 6}),
    case("only its own minutes", 16, minutes=6, known=0, spans={("errors", "mail"): 12, ("delay", "cart"): 40}),
    case("one minute of history", 17, minutes=2, known=1, spans={("stops", "shop", "cart"): 10, ("silent", "shop"): 10}),
]


def main():
    flowing = list(flows())
    out = {"hypotheses": [{**one, "expected": hypotheses(one)} for one in CASES], "blame": [{**one, "expected": blame(one)} for one in flowing],
           "streams": list(streams())}
    print("{")
    print(",\n".join(json.dumps(k) + ": [\n" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in v) + "\n]" for k, v in out.items()))
    print("}")


main()
