"""The report: Markdown for people, JSON with every figure and command."""
import json
import re
import time
from pathlib import Path

from harness import ROOT


def table(head, rows):
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    out += ["| " + " | ".join(str(v).replace("|", "/") for v in row) + " |" for row in rows]
    return out + [""]


def file_name(check):
    gpu = "dry-run" if check.dry else check.facts.get("gpu", "unknown")
    gpu = re.sub(r"(?i)^nvidia ", "", gpu)
    return "gpu-check-" + re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")


def micro(seconds):
    return f"{seconds * 1e6:.1f}" if seconds < 1e-2 else f"{seconds * 1e6:.0f}"


def measure_of(rows, name, compute, field):
    for row in rows:
        if row.get("name") == name and row.get("compute") == compute and field in row:
            return row[field]
    return None


def shape_text(row):
    if row["op"] == "attention":
        kind = " causal" if row["causal"] else ""
        return (f"{row['segments']} x [{row['n']} on {row['m']}], {row['heads']} x "
                f"{row['head_size']}{kind}{', paged' if row['paged'] else ''}, "
                f"{row['activations']}")
    return f"{row['n']} x {row['m']} x {row['k']}, {row['activations']}"


def kernel_tables(rows, peers):
    out = []
    copy = next((r["gb_per_s"] for r in rows if r.get("name") == "copy" and "seconds" in r), None)
    for compute in dict.fromkeys(r["compute"] for r in rows):
        own = [r for r in rows if r["compute"] == compute and "seconds" in r]
        peak = measure_of(rows, "gemm.peak", compute, "tflop_per_s")
        out += [f"### Operations, compute type {compute}", ""]
        body = []
        for r in own:
            body.append([r["name"], r["batch"], shape_text(r), micro(r["seconds"]),
                         micro(r["best_seconds"]), f"{r['gb_per_s']:.0f}",
                         f"{r['gb_per_s'] / copy:.2f}" if copy else "",
                         f"{r['tflop_per_s']:.1f}" if r["flops"] else "",
                         f"{r['tflop_per_s'] / peak:.2f}" if r["flops"] and peak else "",
                         r["sets"]])
        out += table(["operation", "batch", "shape", "us, median", "us, best", "GB/s", "of copy",
                      "TFLOP/s", "of peak", "sets"], body)
        out += peer_table(own, [p for p in peers if p.get("compute") == compute], compute)
        failed = [r for r in rows if r["compute"] == compute and "error" in r]
        out += [f"* {r['name']}, batch {r['batch']}: {r['error']}" for r in failed] + [""]
    return out


def peer_table(own, peers, compute):
    times = {}
    for p in peers:
        if "seconds" in p:
            times.setdefault((p["name"], p["batch"]), {})[p["backend"]] = p["seconds"]
    backends = [b for b in ("flash", "cudnn", "efficient", "math", "linear", "default")
                if any(b in t for t in times.values())]
    body = []
    for r in own:
        found = times.get((r["name"], r["batch"]))
        if found:
            body.append([r["name"], r["batch"], micro(r["seconds"])] +
                        [f"{micro(found[b])} ({found[b] / r['seconds']:.2f})" if b in found else ""
                         for b in backends])
    if not body:
        return []
    return [f"### Beside PyTorch, compute type {compute}", "",
            "Microseconds; in brackets how many times as long PyTorch takes.", ""] + \
        table(["operation", "batch", "blip2"] + backends, body)


def caption_table(captions):
    body = []
    for row in captions["ours"]:
        peer = next((p for p in captions["transformers"]
                     if p.get("batch") == row["batch"] and "seconds" in p), {})
        if "error" in row:
            body.append([row["batch"], row["error"], "", "", "", "", "", ""])
            continue
        memory = row.get("sampled", {}).get("memory used (MiB)", [None])[-1]
        body.append([row["batch"], f"{row['captions_per_s']:.2f}",
                     f"{peer['captions_per_s']:.2f}" if peer else "",
                     f"{row['captions_per_s'] / peer['captions_per_s']:.2f}" if peer else "",
                     f"{row['encode_s_per_image'] * 1e3:.2f}",
                     f"{row['decode_tokens_per_s']:.0f}", memory or "",
                     f"{peer['peak_bytes'] / 2**20:.0f}" if peer else ""])
    return table(["batch", "captions/s", "transformers", "ratio", "encode, ms a picture",
                  "decode, tokens/s", "GPU memory used, MiB (nvidia-smi)",
                  "transformers' peak, MiB (its allocator)"], body)


def conformance_tables(figures):
    rows = [r for r in figures["rows"] if r["different"] or r["missing"]]
    rows.sort(key=lambda r: (r["kernel"] != "op", -r["ulps"]))
    equal = len(figures["rows"]) - len(rows)
    out = [f"{equal} of {len(figures['rows'])} instructions and kernels gave the same bits "
           "everywhere. The others:", ""]
    body = [[r["what"], r["test"], r["type"], r["words"], r["different"],
             "" if r["type"] == "bits" else "NaN or not" if r["ulps"] >= 1 << 62 else r["ulps"],
             r["first"] or "", r["missing"] or ""] for r in rows]
    return out + table(["instruction or kernel", "test", "type", "words", "different", "most ulps",
                        "first: software / hardware", "records on one side only"], body)


def markdown(check):
    facts, figures = check.facts, check.figures
    title = "dry run: no GPU was there" if check.dry else facts.get("gpu", "unknown GPU")
    out = [f"# GPU check: {title}", "",
           f"Written by `scripts/gpu-check` on {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"
           "; what the numbers mean is in [README.md](README.md).", ""]
    out += table(["part", "result", "", "s"], [[r["part"], r["status"], r["line"], r["seconds"]]
                                               for r in check.results])
    out += ["## Machine and versions", ""]
    out += table(["", ""], list(facts.items()) + list(figures.get("gpu", {}).items()))
    for name in ("operations", "golden", "sanitizer"):
        value = figures.get(name)
        if value:
            lines = value if isinstance(value, list) else value["failures"]
            out += [f"## {name.capitalize()}", ""]
            out += [f"* {line}" for line in lines] or ["No failure."]
            out.append("")
    if "conformance" in figures:
        out += ["## The software GPU beside the hardware", ""]
        out += [f"* {line}" for line in figures["conformance"]["failures"]]
        out += conformance_tables(figures["conformance"])
    if figures.get("kernels"):
        out += ["## Speed of operations", ""] + kernel_tables(figures["kernels"], figures["peers"])
        for name, value in figures.get("clocks, kernels", {}).items():
            out.append(f"* {name}, least / median / most while measuring: "
                       f"{' / '.join(map(str, value))}")
        out.append("")
    if "captions" in figures:
        out += ["## Captions a second", ""] + caption_table(figures["captions"])
    out += ["## Commands", ""]
    out += table(["part", "command", "rc", "s"],
                 [[c["part"], f"`{c['command']}`", c["rc"], c["seconds"]] for c in check.commands])
    return "\n".join(out)


def without_paths(text, check):
    """Folders of this machine say nothing to a reader."""
    for folder, name in ((check.build, "build"), (ROOT, "."), (Path.home(), "~")):
        text = text.replace(f"{folder}/", "" if name == "." else f"{name}/")
        text = text.replace(str(folder), name)
    return text


def write(check, folder):
    folder.mkdir(parents=True, exist_ok=True)
    name = file_name(check)
    data = {"dry_run": check.dry, "facts": check.facts, "results": check.results,
            "figures": check.figures, "commands": check.commands}
    (folder / f"{name}.md").write_text(without_paths(markdown(check), check))
    (folder / f"{name}.json").write_text(without_paths(json.dumps(data, indent=1), check) + "\n")
    return folder / f"{name}.md"
