"""scripts/gpu-check: the parts in order of worth, each within its share of the time, then the
summary. A part that fails or hangs does not keep the others from running."""
import argparse
import shutil
import sys
from pathlib import Path

import compare
import measure
import parts
import report
from harness import FAIL, ROOT, Check, Part, stop

# Shares of the time that is left: what a part does not take, those after it may.
PARTS = [
    Part("environment", 15, parts.environment),
    Part("build", 170, parts.build),
    Part("operations", 50, parts.operations),
    Part("golden", 30, parts.golden),
    Part("demo", 15, parts.demo),
    Part("conformance", 60, parts.conformance),
    Part("sanitizer", 50, parts.sanitizer),
    Part("kernels", 70, measure.kernels),
    Part("end to end", 80, measure.end_to_end),
]


def read_options():
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="scripts/gpu-check")
    parser.add_argument("--dry-run", action="store_true", help="no GPU: all but execution")
    parser.add_argument("--light", action="store_true", help="dry run of what --build has")
    parser.add_argument("--out", default=None, metavar="DIR", help="default: docs/bench")
    parser.add_argument("--build", default=None, metavar="DIR", help="default: build-gpu")
    parser.add_argument("--minutes", type=float, default=None, help="default: 9; dry run: 60")
    parser.add_argument("--only", default=",".join(names), metavar="PART,...",
                        help=f"of {', '.join(names)} (the first two always run)")
    options = parser.parse_args()
    options.light = options.light and options.dry_run
    options.minutes = options.minutes or (60 if options.dry_run else 9)
    options.build = options.build or ROOT / ("build-gpu-dry" if options.dry_run else "build-gpu")
    unknown = set(options.only.split(",")) - set(names)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return options


def check_scripts():
    """Dry run: everything written in Python compiles."""
    for path in sorted((ROOT / "bench").glob("*/*.py")):
        compile(path.read_text(), str(path), "exec")
    compare.self_test()


def run_parts(check, wanted):
    check.model_maker = None
    shares = sum(part.share for part in wanted)
    for part in wanted:
        check.run_part(part, shares)
        shares -= part.share
        if part.name == "environment" and check.results[-1]["status"] == FAIL:
            print("   the parts after it try all the same", flush=True)
        if part.name == "build" and not check.light and "end to end" in [p.name for p in wanted]:
            check.model_maker = measure.prepare_model(check)


def main():
    options = read_options()
    check = Check(options)
    wanted = [p for p in PARTS if p.name in ("environment", "build") or
              p.name in options.only.split(",")]
    if check.dry:
        check_scripts()
    try:
        run_parts(check, wanted)
    finally:
        if check.model_maker is not None and check.model_maker.poll() is None:
            stop(check.model_maker)
        shutil.rmtree(check.work / "model", ignore_errors=True)
    out = Path(options.out) if options.out else check.work if check.dry else ROOT / "docs/bench"
    path = report.write(check, out)
    if options.out:
        shutil.copy(check.work / "log", path.with_suffix(".log"))
    print("\nSummary" + (" of the dry run" if check.dry else ""))
    for row in check.results:
        print(f"{row['status']:8} {row['part']:12} {row['line']}")
    print(f"Report: {path}; log: {check.work / 'log'}")
    return 1 if any(row["status"] == FAIL for row in check.results) else 0


if __name__ == "__main__":
    sys.exit(main())
