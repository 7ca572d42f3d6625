"""The parts that ask whether it is right: environment, build, operations, golden cases, captions,
conformance of the software GPU, NVIDIA's sanitizer. Each returns (status, one line)."""
import platform
import re
import subprocess
import sys

import tools
from compare import compare_files, is_exact
from harness import DEVICE, FAIL, PARTIAL, PASS, ROOT, SKIPPED

CHECKS = re.compile(r"(\d+)%: Checks: (\d+), Failures: (\d+), Errors: (\d+)")
ONLY_VM = "only on the software GPU"
# The longest first.
CONFORMANCE = ("kernel_plain kernel_attention vm_float vm_compare vm_integer vm_convert vm_warp "
               "vm_kernels vm_control vm_memory vm_math vm_matrix vm_simple").split()
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
# The first must be answered; drivers differ in the second.
ASKED = ("name,driver_version,compute_cap,memory.total",
         "clocks.sm,clocks.max.sm,clocks.mem,power.draw,power.limit,temperature.gpu,"
         "persistence_mode,ecc.mode.current")


def read_checks(result):
    """Of a Check program: tests, failure lines that count, failure lines of the software GPU's own
    abilities. None where it did not come to its end."""
    found = CHECKS.search(result.out)
    if not found:
        return None
    lines = [line for line in result.out.splitlines() if re.search(r":[FE]:", line)]
    return (int(found.group(2)), [line for line in lines if ONLY_VM not in line],
            [line for line in lines if ONLY_VM in line])


def message(line):
    """Of a line of Check: what comes behind file and line."""
    return line.split(":", 2)[-1][:150]


def read_taps(path):
    """The same of a program that was stopped: what its log says of the tests before."""
    if not path.exists():
        return 0, [], []
    lines = path.read_text(errors="replace").splitlines()
    bad = [line for line in lines if line.startswith("not ok")]
    return (sum(line.startswith("ok") for line in lines) + len(bad),
            [line for line in bad if ONLY_VM not in line], [])


def run_checks(check, program, seconds, env=None):
    """In one process, which has one context of the GPU; where that fails, each test in a process of
    its own, since one bad kernel takes the context along."""
    env = dict(env or {})
    taps = check.work / f"{program.name}.tap"
    result = check.run([program], seconds, dict(env, CK_FORK="no", CK_TAP_LOG_FILE_NAME=str(taps)))
    checks = read_taps(taps) if result.timed_out else read_checks(result)
    if (checks is None or checks[1]) and not result.timed_out and check.left() > 10:
        env.pop("BLIP2_RECORD", None)
        forked = check.run([program], seconds, dict(env, CK_TIMEOUT_MULTIPLIER="15"))
        if read_checks(forked):
            return forked, read_checks(forked)
    return result, checks


# ---- 1 ------------------------------------------------------------------------------------------

def environment(check):
    check.tools = tools.find_tools(check.work)
    facts = check.facts
    facts["system"] = f"{platform.system()} {platform.release()}, glibc {platform.libc_ver()[1]}"
    facts["python"] = platform.python_version()
    for name in ("nvcc", "cc", "c++", "cmake", "ninja"):
        path = check.tools[name]
        facts[name] = f"{path} {tools.version_of([path, '--version'])}" if path else "missing"
    for name in ("compute-sanitizer", "pkg-config"):
        facts[name] = check.tools[name] or "missing"
    facts["gpu-deps"] = "there" if tools.DEPS.is_dir() else "missing"
    facts["commit"] = check.run(["git", "rev-parse", "HEAD"], 10).out.strip() or "unknown"
    if check.run(["git", "status", "--porcelain"], 10).out.strip():
        facts["commit"] += " and changes"
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    facts["cpu"] = model.group(1) if model else platform.machine()
    folders = tools.library_folders()
    if folders and not check.dry:  # the stand-ins' programs look for libraries too
        path = ":".join(folders + [check.env.get("LD_LIBRARY_PATH", "")]).rstrip(":")
        check.env["LD_LIBRARY_PATH"] = path
        facts["libraries"] = ":".join(folders)
    if (tools.DEPS / "lib" / "pkgconfig").is_dir():
        check.env["PKG_CONFIG_LIBDIR"] = str(tools.DEPS / "lib" / "pkgconfig")
    missing = [n for n in ("nvcc", "cmake", "cc", "c++", "pkg-config") if not check.tools[n]]
    if missing and not (check.light and missing == ["nvcc"]):
        return FAIL, f"missing: {', '.join(missing)}"
    return find_gpu(check)


def find_gpu(check):
    if check.dry:
        check.facts.update(gpu="none (dry run)", capability="90")
        return PASS, "tools are there; no GPU is asked for"
    if not check.tools["nvidia-smi"]:
        return FAIL, "nvidia-smi is missing: is there a driver?"
    gpu = {}
    for fields in ASKED:
        asked = check.run([check.tools["nvidia-smi"], "--id=0", f"--query-gpu={fields}",
                           "--format=csv,noheader"], 20)
        values = [v.strip() for v in asked.out.strip().split(",")]
        if asked.ok and len(values) == len(fields.split(",")):
            gpu.update(zip(fields.split(","), values))
        elif not gpu:
            return FAIL, f"nvidia-smi: {asked.why()}"
    check.figures["gpu"] = gpu
    check.facts["gpu"] = gpu["name"]
    check.facts["capability"] = gpu["compute_cap"].replace(".", "")
    others = check.run([check.tools["nvidia-smi"], "--query-compute-apps=pid,used_memory",
                        "--format=csv,noheader"], 20).out.strip()
    check.facts["other processes on the GPU"] = others.replace("\n", "; ") or "none"
    return PASS, f"{gpu['name']}, driver {gpu['driver_version']}, {gpu['memory.total']}"


# ---- 2 ------------------------------------------------------------------------------------------

def build(check):
    if check.light:
        return SKIPPED, f"what is in {check.build.name} is taken"
    command = [check.tools["cmake"], "-S", ROOT, "-B", check.build, "-DCMAKE_BUILD_TYPE=Release",
               "-DBLIP2_TESTS=ON", "-DBLIP2_CUDA=ON", "-DBLIP2_WERROR=OFF",
               f"-DBLIP2_CUDA_ARCHITECTURES={check.facts['capability']}",
               f"-DBLIP2_NVCC={check.tools['nvcc']}"] + tools.configure_options()
    if check.tools["ninja"]:
        command += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={check.tools['ninja']}"]
    if (tools.DEPS / "lib").is_dir():
        command.append(f"-DPKG_CONFIG_EXECUTABLE={check.tools['pkg-config']}")
    made = check.run(command, 60)
    if not made.ok:
        return FAIL, f"cmake: {made.why()}"
    # What most parts need first, so that a failure of the rest leaves it.
    targets = [["blip2_program", "blip2-bench", "test_ops"], ["vm_on_gpu"]]
    if check.dry:
        targets.append(["bench_on_vm"])
    failed = []
    for names in targets:
        made = check.run([check.tools["cmake"], "--build", check.build, "--parallel",
                          "--target", *names, *(["--", "-k0"] if check.tools["ninja"] else [])],
                         1800 if check.dry else 300)
        if not made.ok:
            failed.append(f"{' '.join(names)}: {made.why()}")
    return (FAIL, "; ".join(failed)) if failed else (
        PASS, f"Release for sm_{check.facts['capability']} in {check.build.name}")


# ---- 3 ------------------------------------------------------------------------------------------

def operations(check):
    program = check.build / "tests/ops/test_ops"
    if check.light:
        return SKIPPED, "left out of the light form: the default tests have it"
    if not program.exists():
        return FAIL, "tests/ops/test_ops was not built"
    if check.dry:
        listed = check.run([program], 300, {"BLIP2_TEST_DEVICE": "cpu:base"})
        return (PASS if listed.ok else FAIL,
                "the program runs on device cpu:base" if listed.ok else listed.why())
    result, checks = run_checks(check, program, 120, {"BLIP2_TEST_DEVICE": DEVICE})
    if checks is None:
        return FAIL, result.why()
    check.figures["operations"] = {"tests": checks[0], "failures": checks[1]}
    if checks[1]:
        return FAIL, f"{len(checks[1])} of {checks[0]} tests: {message(checks[1][0])}"
    if result.timed_out:
        return PARTIAL, f"{checks[0]} tests pass, then {result.why()}"
    return PASS, f"{checks[0]} tests"


# ---- 4, 5 ---------------------------------------------------------------------------------------

def bench_program(check):
    program = check.build / ("tests/cuda/bench_on_vm" if check.dry else "bench/blip2-bench")
    return program if program.exists() else None


def golden(check):
    program = bench_program(check)
    if program is None:
        return (SKIPPED if check.light else FAIL), "blip2-bench was not built"
    cases = ROOT / "tests/golden" / ("vit_eva_hd44" if check.dry else "")
    result = check.run([program, "verify", "--device", DEVICE, cases], 120)
    counts = re.search(r"(\d+) passed, (\d+) failed, (\d+) skipped", result.out)
    failed = [line for line in result.out.splitlines() if line.startswith("fail")]
    line = (f"f32: {counts.group(0) if counts else result.why()}" +
            (f" ({failed[0][:100]})" if failed else ""))
    check.figures["golden"] = [line]
    return PASS if counts and result.ok else FAIL, line


def demo(check):
    program = check.build / "blip2"
    if not program.exists():
        return (SKIPPED if check.light else FAIL), "blip2 was not built"
    pictures = ROOT / "models/demo/pictures"
    asked = [[], ["--prompt", "Question: how many shapes are there? Answer:"]]
    total, different = 0, []
    for extra in asked:
        wanted = check.run([program, "caption", pictures, "--device", "cpu", "--quiet", *extra], 60)
        if not wanted.ok:
            return FAIL, f"on the CPU: {wanted.why()}"
        if check.dry:
            total += len(wanted.out.splitlines())
            continue
        for compute in ("f32", "f16", "bf16"):
            got = check.run([program, "caption", pictures, "--device", DEVICE, "--quiet", *extra,
                             "--compute", compute], 60)
            if not got.ok:
                return FAIL, f"on the GPU: {got.why()}"
            total += len(wanted.out.splitlines())
            different += [f"{w} / {g}" for w, g in zip(wanted.out.splitlines(),
                                                       got.out.splitlines()) if w != g]
            if len(got.out.splitlines()) != len(wanted.out.splitlines()):
                different.append("not as many lines")
    check.figures["demo"] = {"texts": total, "different": different}
    if different:
        return FAIL, f"{len(different)} of {total} texts differ from the CPU's: {different[0]}"
    where = "on the CPU" if check.dry else "as on the CPU"
    return PASS, f"{total} texts {where}"


# ---- 6 ------------------------------------------------------------------------------------------

def run_pair(check, name, folder):
    """The test on the software GPU and on the GPU (dry: on the former twice)."""
    files, results = {}, {}
    for side in ("vm", "gpu"):
        program = folder / f"{'vm' if check.dry else side}_{name}"
        files[side] = check.work / f"{name}.{side}"
        env = {"BLIP2_RECORD": str(files[side])}
        if check.dry and side == "gpu":
            env["BLIP2_RECORD_PTX"] = str(check.work / "ptx")
        results[side] = run_checks(check, program, 300, env)
    table = compare_files(files["vm"], files["gpu"])
    for path in files.values():
        path.unlink(missing_ok=True)
    return results, table


def assembles(check):
    """Dry run: does the real assembler take every text of the tests?"""
    refused = []
    texts = sorted((check.work / "ptx").glob("*.ptx"))
    if not check.tools["ptxas"] or not texts:
        return None, "no ptxas"

    def one(path):
        done = subprocess.run([check.tools["ptxas"], "-arch=sm_90", str(path), "-o", "/dev/null"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            refused.append(f"{path.name}: {done.stdout.decode(errors='replace').strip()[:100]}")
    check.run_all({path: (lambda p=path: one(p)) for path in texts}, 2)
    return not refused, refused[0] if refused else f"ptxas takes all {len(texts)} texts"


def conformance(check):
    folder = check.build / "tests/vm_on_gpu"
    if check.light:
        return SKIPPED, "left out of the light form"
    names = [n for n in CONFORMANCE if (folder / f"gpu_{n}").exists()]
    if not names:
        return FAIL, "target vm_on_gpu was not built"
    (check.work / "ptx").mkdir(exist_ok=True)
    pairs = check.run_all({name: (lambda n=name: run_pair(check, n, folder)) for name in names},
                          1 if check.dry else 4)
    failed, cut, rows, tests = [], [], [], 0
    for name in names:
        results, table = pairs[name]
        for side, (result, checks) in results.items():
            if checks is None:
                failed.append(f"{name} ({side}): {result.why()}")
            else:
                tests += checks[0] if side == "gpu" else 0
                failed += [f"{name} ({side}): {message(line)}" for line in checks[1]]
                if result.timed_out:
                    cut.append(f"{name} ({side}) {result.why()}")
        rows += [dict(row, test=name) for row in table]
    wrong = [row for row in rows if row["different"] and is_exact(row)]
    check.figures["conformance"] = {"tests": tests, "failures": failed, "rows": rows}
    compared = sum(row["words"] for row in rows)
    line = (f"{tests} tests of {len(names)} programs, {compared} words compared, "
            f"{sum(row['different'] for row in rows)} differ")
    if check.dry:
        taken, text = assembles(check)
        line += "; " + text
        if taken is False:
            failed.append(text)
    if wrong:
        return FAIL, f"{line}; {len(wrong)} exact instructions differ: {wrong[0]['what']}"
    if failed:
        return FAIL, f"{line}; {len(failed)} failures: {failed[0]}"
    return (PARTIAL, f"{line}; {'; '.join(cut)}") if cut else (PASS, line)


# ---- 7 ------------------------------------------------------------------------------------------

def sanitize(check, program, tool):
    sanitizer = check.tools["compute-sanitizer"]
    command = [sanitizer, "--tool", tool, "--error-exitcode", "0" if tool == "initcheck" else "9",
               "--print-limit", "1000" if tool == "initcheck" else "20"]
    text = check.facts.get("sanitizer help", "")
    # Ours only: cuBLASLt's kernels are NVIDIA's matter. But initcheck must see what those write.
    if tool != "initcheck" and "--kernel-name" in text and "kns" in text:
        command += ["--kernel-name", "kns=b2_"]
    if "--report-api-errors" in text:  # tests ask for what must fail
        command += ["--report-api-errors", "no"]
    return check.run([*command, program], 120, {"BLIP2_TEST_DEVICE": DEVICE, "CK_FORK": "no"})


def sanitizer(check):
    program = check.build / "tests/ops/test_ops"
    if check.dry:
        there = "there" if check.tools["compute-sanitizer"] else "not on this machine"
        return SKIPPED, f"it needs a GPU; compute-sanitizer is {there}"
    if not check.tools["compute-sanitizer"]:
        return SKIPPED, "compute-sanitizer is missing"
    if not program.exists():
        return FAIL, "tests/ops/test_ops was not built"
    check.facts["sanitizer help"] = check.run([check.tools["compute-sanitizer"], "--help"], 20).out
    results = check.run_all({tool: (lambda t=tool: sanitize(check, program, t))
                             for tool in SANITIZERS}, len(SANITIZERS))
    check.facts.pop("sanitizer help")
    words, status = [], PASS
    for tool in SANITIZERS:
        result = results[tool]
        found = re.findall(r"=+ (?:ERROR SUMMARY: (\d+) errors?|RACECHECK SUMMARY: (\d+) hazards?)",
                           result.out + result.err)
        errors = sum(int(a or b) for a, b in found)
        if tool == "initcheck":  # a finding, and in the next line the kernel it is in
            errors = len(re.findall(r"=+ Uninitialized .*\n=+ +at .*\bb2_", result.out + result.err))
        marks = re.findall(r"=+ (Invalid .*|Error: .*|.*[Rr]ace reported.*|Uninitialized .*|"
                           r"Barrier error.*|Misaligned .*)", result.out + result.err)
        if errors or (marks and tool != "initcheck"):
            status = FAIL
            words.append(f"{tool}: {errors or len(marks)} errors ({(marks or [''])[0][:80]})")
        elif result.timed_out:
            status = PARTIAL if status == PASS else status
            words.append(f"{tool}: nothing found in {result.seconds:.0f} s, then stopped")
        elif not found or not result.ok:
            status = FAIL
            words.append(f"{tool}: {result.why()}")
        else:
            words.append(f"{tool}: 0 errors in {result.seconds:.0f} s")
    check.figures["sanitizer"] = words
    return status, "; ".join(words)


if __name__ == "__main__":
    sys.exit("start scripts/gpu-check")
