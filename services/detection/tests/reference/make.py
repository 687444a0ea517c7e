"""make.py LAB_DIR > expected.json: what the research code (numpy, numba) says about three generated series.

The series are made of integers and the four operations alone, so that `reference.rs` makes the same ones bit for bit. When rarity and records make an alarm is the service's own rule."""
import json, math, pathlib, shutil, sys, tempfile

import numpy as np

# where the service differs by intention: a sample pulls the mean of its half hour eight usual residuals at most, and the
# seasonal residual of a single sample keeps a record too, in place of the hour of the week
VISIT = ("bs += xi;", "bs += day[hod] + min(max(xi - day[hod], -8.0 * erd), 8.0 * erd) if dayn[hod] >= 2 and nd > 100 else xi;")
DAY = ("Z[7] = abs(ad) / max(erd * 1.25 , floor) / 0.36", "Z[7] = abs(ad) / max(erd * 1.25, floor) / 0.36; Z[8] = abs(rd) / max(erd * 1.25, floor)")
WEEK = ("Z[8] = abs(aw) / max(erw * 1.25, floor) / 0.36\n                Z[7] = 0.0", "pass")
BAR = ("if f == 7 or f == 8: base = zs", "if f == 7: base = zs\n            if f == 8: base = 9.0")
PATCHES = {"detector.py": [VISIT, DAY, WEEK, BAR], "evidence.py": [VISIT]}


def patched(lab):
    """Copies the research code, with the patches in it, and returns where it is."""
    copy = pathlib.Path(tempfile.mkdtemp())
    for source in pathlib.Path(lab).glob("*.py"):
        shutil.copy(source, copy)
    for name, patches in PATCHES.items():
        text = (copy / name).read_text()
        for old, new in patches:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        (copy / name).chmod(0o600)
        (copy / name).write_text(text)
    return str(copy)


sys.path.insert(0, patched(sys.argv[1]))
import detector, evidence, union

MASK = union.MASKL.copy()
MASK[8] = True

SCORES = {"spread16", "season", "hourctx"}
RECORDS = {"zm": 8.0}
EVERY = 40


def draws(seed):
    """Uniform numbers in 0..1 (Lehmer's generator, modulus 2^31 - 1, multiplier 48271)."""
    while True:
        seed = seed * 48271 % 2147483647
        yield seed / 2147483647.0


def series(shape, rows, interval, seed):
    draw = draws(seed)
    out = []
    for i in range(rows):
        second = i * interval
        noise = next(draw) + next(draw) + next(draw) + next(draw) - 2.0
        part = second % 86400 / 86400.0
        day = 1.0 - abs(2.0 * part - 1.0)
        block = i // 250
        value = 100.0 + 3.0 * noise
        if shape == "daily":
            value += 60.0 * day
        if shape == "skewed":
            value = 20.0 + 30.0 * (noise + 2.0) * (noise + 2.0) * (noise + 2.0)
        if block % 7 == 5 and i % 250 < 40:
            value += 4.0 * (i % 250)
        if block % 11 == 8 and i % 250 < 90:
            value = 100.0 if shape == "skewed" else 120.0
        if block % 13 == 3 and i % 250 < 60:
            value += 30.0 * noise
        if i % 1700 == 1234:
            value += 400.0
        out.append(value)
    return np.arange(rows) * float(interval) + 1750000000.0, np.array(out)


def main():
    out = []
    for shape, rows, interval, seed in [("daily", 10000, 300, 11), ("flat", 20000, 20, 12), ("skewed", 3000, 3600, 13)]:
        t, x = series(shape, rows, interval, seed)
        use = np.array([name in SCORES for name in evidence.SC])
        setting = {**union.LEAN, "inw": 1.0, "refire": 0.0}
        _, rarity, effect = evidence.detect(t, x, evidence.params(**setting), use)
        # and a record is forgotten by the clock where more than a sample comes in five minutes
        haste = max(math.log10(300.0 / interval), 0.0)
        records = detector.detect(t, x, detector.params(hl=10000.0 * 10.0**haste, **RECORDS), MASK)[0]
        out.append({
            "shape": shape, "rows": rows, "interval": interval, "seed": seed, "every": EVERY,
            "records": np.flatnonzero(records).tolist(),
            "rarity": [round(float(v), 5) for v in rarity[::EVERY]],
            "effect": [round(float(v), 5) for v in effect[::EVERY]],
        })
    print("[\n" + ",\n".join(json.dumps(one) for one in out) + "\n]")


main()
