"""make_bars.py LAB2_DIR > bars.json: what the research code of slow series says about four generated series, by its bars alone.

The series are those of `make.py`, and one that is zero most of the time; they are made of integers and the four operations alone, so
that `reference.rs` makes the same ones bit for bit."""
import json, sys

sys.path.insert(0, sys.argv[1])
import detector

EVERY = 10


def draws(seed):
    """Uniform numbers in 0..1 (Lehmer's generator, modulus 2^31 - 1, multiplier 48271)."""
    while True:
        seed = seed * 48271 % 2147483647
        yield seed / 2147483647.0


def series(shape, rows, interval, seed):
    draw = draws(seed)
    for i in range(rows):
        noise = next(draw) + next(draw) + next(draw) + next(draw) - 2.0
        part = i * interval % 86400 / 86400.0
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
        if shape == "sparse" and noise < 1.0 and i % 1700 != 1234:
            value = 0.0
        yield value


def main():
    out = []
    for shape, rows, seed in [("daily", 4000, 21), ("flat", 4000, 22), ("skewed", 3000, 23), ("sparse", 4000, 24)]:
        one = detector.Detector(rank=1e9, start_rows=24)
        scores, alarms = [], []
        for i, value in enumerate(series(shape, rows, 3600, seed)):
            score, alarm, _ = one.observe(1750000000000 + i * 3600000, value, 3600)
            scores.append(score)
            if alarm:
                alarms.append(i)
        out.append({"shape": shape, "rows": rows, "interval": 3600, "seed": seed, "every": EVERY, "alarms": alarms,
                    "score": [round(score, 5) for score in scores[::EVERY]]})
    print("[\n" + ",\n".join(json.dumps(one) for one in out) + "\n]")


main()
