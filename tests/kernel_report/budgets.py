"""What is allowed of each kernel (budgets.txt), and why some fill little of an SM (reasons.txt).

budgets.txt has a line for every kernel:

    kernel  threads  registers of each architecture  shared  HMMA  loads  stores

Registers: the most, in the units of 8 in which the hardware gives them out. shared: the most bytes
of static shared memory. HMMA: the least number of matrix instructions. loads, stores: how many
instructions, at least, move so many bits a lane or more: 128x4,64x10 are 4 of 16 bytes and 6 of 8
(half of what nvcc made when the line was written, as compilers unroll differently); narrower ones
are named only where there are no wide ones. Nothing spills and nothing has a stack frame: there is
no column for what is not allowed at all.

reasons.txt has paragraphs "pattern ...: reason", patterns of kernel names.
"""

import collections
import fnmatch
import re

ARCHITECTURES = (80, 86, 89, 90, 100, 120)
LOW = 0.5  # of the warps that an SM can hold: below this a reason is wanted

Budget = collections.namedtuple("Budget", "threads registers shared hmma loads stores")
HEAD = """\
# What is allowed of each kernel; tests/kernel_report/budgets.py says what the columns mean.
# Written by `scripts/kernel-report --budgets` from what nvcc made; look at what changes.
"""


def read_budgets(path):
    budgets = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.split("#")[0].split()
            if words:
                numbers = [int(word) for word in words[1:-2]]
                budgets[words[0]] = Budget(numbers[0], dict(zip(ARCHITECTURES, numbers[1:7])),
                                           numbers[7], numbers[8], *words[-2:])
    return budgets


def write_budgets(path, kernels, threads):
    """Of kernels with code for all architectures."""
    names = sorted({name for name, _ in kernels})
    titles = "".join(f"{'sm_%d' % arch:>7}" for arch in ARCHITECTURES)
    with open(path, "w", encoding="utf-8") as file:
        file.write(HEAD)
        file.write(f"# {'kernel':31} threads{titles}  shared  HMMA  loads         stores\n")
        for name in names:
            kinds = [kernels[name, arch] for arch in ARCHITECTURES]
            registers = "".join(f"{-(-k.registers // 8) * 8:7}" for k in kinds)
            loads, stores = widths(kinds, ("load", "copy")), widths(kinds, ("store",))
            file.write(f"{name:33} {threads[name]:7}{registers} {max(k.shared for k in kinds):7} "
                       f"{min(k.code['HMMA'] for k in kinds):5}  {loads:13} {stores}\n")


def moving(kernel, kinds, width):
    """Number of instructions that move at least `width` bits a lane."""
    return sum(kernel.code[kind, w] for kind in kinds for w in (8, 16, 32, 64, 128) if w >= width)


def widths(kernels, kinds):
    """What the kernel has on all architectures: all wide widths, or else the widest."""
    found, before = [], 0
    for width in (128, 64, 32, 16, 8):
        least = min(moving(kernel, kinds, width) for kernel in kernels)
        if least > before and (width >= 64 or not found):
            found.append(f"{width}x{-(-least // 2)}")
            before = least
    return ",".join(found) or "-"


# ---- checks: lists of complaints -----------------------------------------------------------------


def check_ptxas(kernels, budgets):
    complaints = [f"{name}: in budgets.txt, but not built"
                  for name in sorted(set(budgets) - {name for name, _ in kernels})]
    for (name, arch), kernel in sorted(kernels.items()):
        where = f"{name}, sm_{arch}"
        if name not in budgets:
            complaints.append(f"{where}: not in budgets.txt")
            continue
        if kernel.stack or kernel.spill_stores or kernel.spill_loads:
            complaints.append(f"{where}: {kernel.stack} bytes of stack, {kernel.spill_stores} and "
                              f"{kernel.spill_loads} bytes spilled; none is allowed")
        for what, used, most in (
                ("registers", kernel.registers, budgets[name].registers.get(arch)),
                ("bytes of shared memory", kernel.shared, budgets[name].shared)):
            if most is not None and used > most:
                complaints.append(f"{where}: {used} {what}, {most} are allowed")
    return complaints


def check_code(kernels, budgets, threads):
    complaints = []
    for (name, arch), kernel in sorted(kernels.items()):
        where, budget = f"{name}, sm_{arch}", budgets.get(name)
        if budget is None:
            continue  # check_ptxas says so
        if threads.get(name) != budget.threads:
            complaints.append(f"{where}: blocks of {threads.get(name)} threads, budgets.txt has "
                              f"{budget.threads}")
        if kernel.code["local"]:
            complaints.append(f"{where}: {kernel.code['local']} accesses to local memory")
        if kernel.code["HMMA"] < budget.hmma:
            complaints.append(f"{where}: {kernel.code['HMMA']} matrix instructions, at least "
                              f"{budget.hmma} are expected")
        for what, kinds, wanted in (("loads", ("load", "copy"), budget.loads),
                                    ("stores", ("store",), budget.stores)):
            for part in wanted.split(",") if wanted != "-" else []:
                width, least = map(int, part.split("x"))
                if moving(kernel, kinds, width) < least:
                    complaints.append(f"{where}: {moving(kernel, kinds, width)} {what} of {width} "
                                      f"bits a lane, at least {least} are expected")
    return complaints


# ---- reasons -------------------------------------------------------------------------------------


def read_reasons(path):
    """[(patterns, reason)]"""
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"^#.*\n", "", file.read(), flags=re.M)
    reasons = []
    for paragraph in text.split("\n\n"):
        names, colon, reason = " ".join(paragraph.split()).partition(": ")
        if colon:
            reasons.append((names.split(), reason))
    return reasons


def reason_for(reasons, name):
    for patterns, reason in reasons:
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            return reason
    return None


def check_reasons(shares, reasons):
    """shares: {(kernel, architecture): share of the SM's warps}"""
    low = sorted({name for (name, _), share in shares.items() if share < LOW})
    complaints = [f"{name}: fills less than {LOW:.0%} of an SM's warps, and reasons.txt does not "
                  "say why" for name in low if reason_for(reasons, name) is None]
    for patterns, _ in reasons:
        complaints += [f"reasons.txt: no kernel that fills less than {LOW:.0%} of an SM is called "
                       f"{pattern}" for pattern in patterns
                       if not any(fnmatch.fnmatchcase(name, pattern) for name in low)]
    return complaints
