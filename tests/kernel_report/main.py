"""main.py COMMAND: what the compilers made of the kernels (scripts/kernel-report, ctest).

ptxas    registers, shared memory and spills against budgets.txt, occupancy against reasons.txt
code     matrix instructions and widths of accesses against budgets.txt; 77 without disassembler
budgets  write budgets.txt anew
report   write docs/bench/kernels.md
"""

import argparse
import os
import sys

import budgets as rules
import facts
import markdown
from occupancy import occupancy

HERE = os.path.dirname(os.path.abspath(__file__))
BUDGETS, REASONS = os.path.join(HERE, "budgets.txt"), os.path.join(HERE, "reasons.txt")
SKIPPED = 77


def shares_of(kernels, budgets):
    return {key: occupancy(kernel.arch, budgets[kernel.name].threads, kernel.registers,
                           kernel.shared).share
            for key, kernel in kernels.items() if kernel.name in budgets}


def check(arguments, kernels, images):
    budgets = rules.read_budgets(BUDGETS)
    if arguments.command == "code":
        try:
            threads = facts.add_code(kernels, images, arguments.tools)
        except facts.Missing as missing:
            print(f"skipped: {missing}")
            return SKIPPED
        complaints = rules.check_code(kernels, budgets, threads)
    else:
        complaints = rules.check_ptxas(kernels, budgets)
        # A reason is stale only if no architecture of the product needs it.
        if {arch for _, arch in kernels} >= set(rules.ARCHITECTURES):
            complaints += rules.check_reasons(shares_of(kernels, budgets),
                                              rules.read_reasons(REASONS))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    print(f"{len(kernels)} kernels looked at, {len(complaints)} complaints")
    return 1 if complaints else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["ptxas", "code", "budgets", "report"])
    parser.add_argument("--images", action="append", required=True, metavar="FOLDER")
    parser.add_argument("--tools", default="", metavar="FOLDER", help="of the disassembler")
    parser.add_argument("--nvcc", default="nvcc", help="that made the images")
    parser.add_argument("--counts", metavar="FILE", help="what the software GPU counted")
    parser.add_argument("--model", metavar="FILE", help="the same in a whole model")
    parser.add_argument("--layers", type=int, help="of that model's parts")
    parser.add_argument("--output", metavar="FILE")
    arguments = parser.parse_args()
    try:
        images = facts.images_in(arguments.images)
        kernels = facts.read_logs(images)
        if arguments.command in ("ptxas", "code"):
            return check(arguments, kernels, images)
        lacking = set(rules.ARCHITECTURES) - {arch for _, arch in kernels}
        if lacking:
            raise facts.Missing("images for sm_" + ", sm_".join(map(str, sorted(lacking))))
        threads = facts.add_code(kernels, images, arguments.tools)
        if arguments.command == "budgets":
            rules.write_budgets(BUDGETS, kernels, threads)
            return 0
        markdown.write(arguments, kernels, threads, rules.read_reasons(REASONS))
        return 0
    except facts.Missing as missing:
        print(f"kernel_report: {missing}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
