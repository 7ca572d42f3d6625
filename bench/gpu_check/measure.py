"""The parts that ask how fast it is: single operations beside PyTorch's, captions a second beside
transformers'. Figures are kept as they come: a part that is stopped has those before."""
import json
import subprocess
import sys
import threading

from harness import DEVICE, FAIL, PARTIAL, PASS, ROOT, SKIPPED
from parts import bench_program

COMPUTES = ("bf16", "f16", "f32", "tf32")
PEERED = ("bf16", "f16")
PATCHES = ("gemm", "cudnn")
BATCHES = (1, 8, 32)
MODEL, NEW_TOKENS, PROMPT = "blip2-opt-2.7b", 30, "a photo of"
PICTURE = ROOT / "models/demo/pictures/007.png"
SAMPLED = "clocks.sm,clocks.mem,power.draw,temperature.gpu,memory.used,clocks_event_reasons.active"


def json_lines(text):
    out = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                out.append(json.loads(line))
            except ValueError:  # cut off
                pass
    return out


class Sampler:
    """What nvidia-smi says, twice a second, while something runs."""

    def __init__(self, check):
        self.rows, self.process = [], None
        smi = check.tools.get("nvidia-smi")
        if smi and not check.dry:
            self.process = subprocess.Popen(
                [smi, "--id=0", f"--query-gpu={SAMPLED}", "--format=csv,noheader,nounits", "-lms",
                 "500"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True)
            self.thread = threading.Thread(target=self.read, daemon=True)
            self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.rows.append([v.strip() for v in line.split(",")])

    def stop(self):
        """{"sm clock (MHz)": [least, median, most], ...} while it was busy."""
        if self.process is None:
            return {}
        self.process.terminate()
        self.process.wait()
        self.thread.join(timeout=2)
        out = {}
        names = ("SM clock (MHz)", "memory clock (MHz)", "power (W)", "temperature (C)",
                 "memory used (MiB)")
        for i, name in enumerate(names):
            values = sorted(float(row[i]) for row in self.rows
                            if len(row) > i and row[i].replace(".", "", 1).isdigit())
            if values:
                out[name] = [values[0], values[len(values) // 2], values[-1]]
        reasons = sorted({row[5] for row in self.rows if len(row) > 5})
        if reasons:
            out["clock event reasons"] = reasons
        return out


# ---- 8 ------------------------------------------------------------------------------------------

def has(check, module):
    if check.light:
        return False
    return check.run([sys.executable, "-c", f"import {module}"], 60).ok


def kernels(check):
    program = bench_program(check)
    if program is None:
        return (SKIPPED if check.light else FAIL), "blip2-bench was not built"
    tiny = ["--tiny", "--samples", "2"] if check.dry else []
    tiny += ["--only", "norm"] if check.light else []  # the default tests have the rest
    computes = COMPUTES[:1] if check.light else COMPUTES
    sampler, rows, problems = Sampler(check), [], []
    files = {}
    jobs = [(compute, []) for compute in computes]
    if not check.light:
        jobs += [("f16", ["--patch", path, "--only", "patch_embed"]) for path in PATCHES]
    for compute, extra in jobs:
        result = check.run([program, "kernels", "--device", DEVICE, "--compute", compute, *extra,
                            *tiny], 60)
        lines = json_lines(result.out)
        check.figures.setdefault("device", lines[0] if lines else {})
        rows += lines[1:]
        problems += [f"{r['name']} ({compute}): {r['error']}" for r in lines[1:] if "error" in r]
        if not result.ok:
            problems.append(f"{compute}: {result.why()}")
        if extra:
            continue
        files[compute] = check.work / f"kernels.{compute}.jsonl"
        files[compute].write_text(result.out)
    check.figures["kernels"] = rows
    check.figures["clocks, kernels"] = sampler.stop()
    peers, text = peers_of(check, files)
    check.figures["peers"] = peers
    measured = [r for r in rows if "seconds" in r]
    line = f"{len(measured)} shapes measured; {text}"
    if not measured or any("error" not in p and "exit code" in p for p in problems):
        return FAIL, f"{line}; {problems[0] if problems else 'nothing was measured'}"
    return (PARTIAL, f"{line}; {len(problems)} failed: {problems[0]}") if problems else (
        PASS, line + ("" if check.dry else headline(check.figures)))


def peers_of(check, files):
    if not has(check, "torch"):
        return [], "PyTorch is not here" if not check.light else "PyTorch is left out"
    device = ["--device", "cpu", "--samples", "1"] if check.dry else []
    out = []
    for compute in PEERED:
        if compute in files:
            result = check.run([sys.executable, ROOT / "bench/peers/sdpa.py", *device,
                                files[compute]], 120)
            out += json_lines(result.out)
            if not result.ok:
                return out, f"sdpa.py ({compute}): {result.why()}"
    return out, f"{sum('seconds' in row for row in out)} times of PyTorch"


def headline(figures):
    """The two measures that others are divided by."""
    words = []
    for row in figures["kernels"]:
        if "seconds" in row and row["name"] == "copy" and not words:
            words.append(f"; copy {row['gb_per_s']:.0f} GB/s")
        if "seconds" in row and row["name"] == "gemm.peak":
            words.append(f", {row['compute']} {row['tflop_per_s']:.0f} TFLOP/s")
    return "".join(words)


# ---- 9 ------------------------------------------------------------------------------------------

def prepare_model(check):
    """A checkpoint of true shapes, written while other parts run (main.py)."""
    program = bench_program(check)
    if program is None:
        return None
    folder = check.work / "model"
    shape = ["--shape", "tiny"] if check.dry else ["--shape", MODEL]
    check.model = folder
    return subprocess.Popen([str(program), "make-model", *shape, "--dtype", "f16", str(folder)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, start_new_session=True)


def ours(check, program, batch, compute):
    command = [program, "run", "--model", check.model, "--image", PICTURE, "--device", DEVICE,
               "--compute", compute, "--requests", batch, "--new-tokens", 3 if check.dry else
               NEW_TOKENS, "--repeat", 1 if check.dry else 3, "--prompt", PROMPT, "--json"]
    sampler = Sampler(check)
    result = check.run(command, max(20, check.left() / 3))
    sampled = sampler.stop()
    lines = json_lines(result.out)
    if not result.ok or not lines:
        return {"batch": batch, "compute": compute, "error": result.why()}
    return dict(lines[0], batch=batch, sampled=sampled)


def theirs(check, compute, batches):
    extra = ["--device", "cpu", "--new-tokens", 3, "--repeat", 1] if check.dry else []
    sampler = Sampler(check)
    result = check.run([sys.executable, ROOT / "bench/peers/captions.py", check.model, PICTURE,
                        "--compute", "f32" if check.dry else compute, "--batches",
                        ",".join(map(str, batches)), "--prompt", PROMPT, *extra], 150)
    return json_lines(result.out), sampler.stop(), None if result.ok else result.why()


def end_to_end(check):
    program = bench_program(check)
    if program is None or check.light:
        return (SKIPPED if check.light else FAIL), "blip2-bench is not asked for it"
    maker = check.model_maker
    try:
        _, error = maker.communicate(timeout=max(1, check.left()))
    except subprocess.TimeoutExpired:
        return FAIL, "the checkpoint was not written in time"
    if maker.returncode != 0:
        return FAIL, f"make-model: {error.decode(errors='replace').strip()[:160]}"
    batches = BATCHES[:2] if check.dry else BATCHES
    # The same order for both, one after the other: neither has the GPU to warm up for the other.
    mine = [ours(check, program, batch, "f16") for batch in batches]
    peers, sampled, problem = [], {}, "transformers is not here"
    if has(check, "transformers, PIL"):
        peers, sampled, problem = theirs(check, "f16", batches)
    check.figures["captions"] = {"ours": mine, "transformers": peers,
                                 "transformers sampled": sampled}
    words = []
    for row in mine:
        peer = next((p for p in peers if p.get("batch") == row["batch"] and "seconds" in p), None)
        if "error" in row:
            words.append(f"batch {row['batch']}: {row['error']}")
        else:
            rate = f"batch {row['batch']}: {row['captions_per_s']:.1f} captions/s"
            if peer and not check.dry:  # of a GPU in software that would say nothing
                rate += f" ({row['captions_per_s'] / peer['captions_per_s']:.2f} of transformers)"
            words.append(rate)
    line = "; ".join(words) + (f"; {problem}" if problem else "")
    bad = [row for row in mine if "error" in row]
    return (FAIL if len(bad) == len(mine) else PARTIAL if bad or problem else PASS), line
