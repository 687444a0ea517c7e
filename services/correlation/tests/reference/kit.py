"""kit.py LAB_DIR OUT: what the research code (numpy) says about the dev parts of its evaluation kit, case by case.

Writes OUT/<mode>.jsonl for `examples/causes`, one case a line. Modes: `flow` (PetShop), `causal`, `iso` and `folder` (Nezha: spans and
logs of earlier cases are known, only the normal minutes are, none are), and `as_read`, which is `folder` with history and window cut as
`firewatch backtest cause` cuts them: three rows before the alert. OUT/<stream>.jsonl are the incidents of a stream. Nothing of it is checked in."""
import json, pathlib, sys

import numpy as np

sys.path.insert(0, sys.argv[1])
import data, flow, rca, run, stream

OUT = pathlib.Path(sys.argv[2])


def cut(case, before):
    """The case with history and window cut `before` rows before the alert."""
    stamps = np.concatenate([case["base"][0], case["win"][0]])
    names = list(dict.fromkeys([*case["base"][1], *case["win"][1]]))
    least = max(int(np.searchsorted(stamps, case["alert"]["ts_ms"], "right")) - 1 - before, 0)
    none = [np.full(len(part[0]), np.nan) for part in (case["base"], case["win"])]
    cols = {k: np.concatenate([case["base"][1].get(k, none[0]), case["win"][1].get(k, none[1])]) for k in names}
    win = {k: v[least:] for k, v in cols.items() if np.isfinite(v[least:]).any()}
    return {**case, "base": (stamps[:least], {k: v[:least] for k, v in cols.items()}), "win": (stamps[least:], win)}


def rows(ranking):
    return [{"service": s, "category": c, "score": float(v)} for v, s, c, _, _ in ranking]


def write(name, lines):
    with open(OUT / f"{name}.jsonl", "w") as sink:
        sink.writelines(json.dumps(line) + "\n" for line in lines)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    pet, nezha = data.load("petshop"), data.load("nezha")
    score = lambda out: [{"service": s, "score": float(v)} for v, s, *_ in out]
    write("flow", ({"case_id": c["id"], "ranking": score(flow.rank(c, explain=True))} for c in pet))
    write("flow_as_read", ({"case_id": c["id"], "ranking": score(flow.rank(cut(c, 3), explain=True))} for c in pet))
    for mode in ("causal", "iso"):
        write(mode, ({"case_id": c["id"], "ranking": rows(rca.rank(c, h, explain=True)[0])} for c, h in run.histories(nezha, mode)))
    write("folder", ({"case_id": c["id"], "ranking": rows(rca.rank(c, rca.History(), explain=True)[0])} for c in nezha))
    write("as_read", ({"case_id": c["id"], "ranking": rows(rca.rank(cut(c, 3), rca.History(), explain=True)[0])} for c in nezha))
    for name, sheet, pieces in data.kit.streams(data.PARTS["nezha"]):
        stamps, cols = stream.flat(pieces)
        skip = int(np.searchsorted(stamps, sheet["scored_from_ms"]))
        write(name, stream.trace(stamps, cols, sheet["topology"], skip - 60 if skip > 120 else skip))
        write(name + "_warm_up_100", stream.trace(stamps, cols, sheet["topology"], 100))


main()
