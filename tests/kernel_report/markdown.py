"""docs/bench/kernels.md: what compilers made of the kernels, and what the software GPU counted."""

import collections
import re
import subprocess
import textwrap

from budgets import ARCHITECTURES, LOW, moving, reason_for
from occupancy import LIMITS, occupancy

MARGIN, COALESCED = 1.1, 0.9

Side = collections.namedtuple("Side", "requests coalesced sectors least")


class Case:
    """One shape of a kernel, as tests/cuda_kernels/counts.c wrote it."""

    def __init__(self, line):
        self.kernel, self.shape, self.bound, *rest = line.rstrip("\n").split("\t")
        numbers = [int(number) for number in rest]
        self.tables, self.blocks = numbers[:2]
        self.load, self.store = Side(*numbers[2:6]), Side(*numbers[6:10])
        self.passes, self.ideal, self.worst, self.mma = numbers[10:14]

    least = property(lambda self: self.load.least + self.store.least)
    moved = property(lambda self: 32 * (self.load.sectors + self.store.sectors) - self.tables)
    coalesced = property(lambda self: share((self.load, self.store)))
    ways = property(lambda self: self.passes / self.ideal if self.ideal else None)


def share(sides):
    """Of requests that are coalesced."""
    requests = sum(side.requests for side in sides)
    return sum(side.coalesced for side in sides) / requests if requests else 1.0


def table(titles, rows, left=1):
    lines = ["| " + " | ".join(titles) + " |",
             "|" + "|".join(["---"] * left + ["--:"] * (len(titles) - left)) + "|"]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows] + [""]


def span(values):
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def kilo(size):
    return f"{size / 1000:,.1f}"


def paragraph(text, indent=""):
    return textwrap.fill(text, 100, subsequent_indent=indent, break_on_hyphens=False,
                         break_long_words=False)


def widest(kernel, kinds):
    return next((w for w in (128, 64, 32, 16, 8) if moving(kernel, kinds, w)), None)


# ---- sections ------------------------------------------------------------------------------------


def head(arguments):
    version = subprocess.run([arguments.nvcc, "--version"], capture_output=True, text=True,
                             check=False).stdout
    release = re.search(r"release ([\d.]+), V([\d.]+)", version)
    release = release[2] if release else "?"
    return f"""# The kernels, as compilers made them and as the software GPU counted them

Written by `scripts/kernel-report` with nvcc {release}; run it after a change to a kernel. No GPU
has been asked: registers, spills and instructions are what ptxas and the disassembler say of the
images that the library holds; occupancy follows from the documented limits of an SM; bytes and
requests are counted by `tests/ptx_vm`, which executes the kernels' PTX. There are no times here:
those need hardware.

How to read it. Work on memory is counted in requests (one instruction of one warp) and sectors (32
bytes, the least that moves). *Moved* is sectors against the least bytes, which is every byte that
the kernel touches once: 1.00 cannot be beaten, {MARGIN} is allowed. *Coalesced* are requests that
move no sector more than their bytes need; {100 * COALESCED:.0f} % are wanted. *Ways* is how many
passes a request to shared memory takes for one; {MARGIN} is allowed in attention. The same limits
are tests: `kernel_counts`, `kernel_ptxas` and `kernel_code` under ctest, against
`tests/kernel_report/budgets.txt` and `reasons.txt`.
"""


def summary(kernels, threads, cases):
    rows = []
    for name in sorted(threads):
        kinds = [kernels[name, arch] for arch in ARCHITECTURES]
        warps = [occupancy(k.arch, threads[name], k.registers, k.shared) for k in kinds]
        of_kernel = [case for case in cases if case.kernel == name]
        worst = max(of_kernel, key=lambda case: case.moved / case.least, default=None)
        moved = "-" if worst is None else f"{worst.moved / worst.least:.2f}"
        if worst is not None and worst.bound != "memory":
            moved += f" ({worst.bound})"
        coalesced = min((case.coalesced for case in of_kernel), default=None)
        rows.append([
            f"`{name}`", span([k.registers for k in kinds]), max(k.shared for k in kinds),
            span([round(100 * w.share) for w in warps]) + " %",
            span([k.code["HMMA"] for k in kinds]),
            "/".join(str(widest(kinds[0], of) or "-") for of in (("load", "copy"), ("store",))),
            moved, "-" if coalesced is None else f"{coalesced:.0%}"])
    spilling = sum(1 for k in kernels.values() if k.stack or k.spill_stores or k.spill_loads)
    text = (f"{len(threads)} kernels on sm_" + ", sm_".join(map(str, ARCHITECTURES)) + ". "
            + (f"{spilling} of {len(kernels)} spill or have a stack frame." if spilling else
               "None spills, none has a stack frame.")
            + " Ranges are over architectures. Counts are of the worst of a kernel's shapes "
              "(below; other types of it run the same code on other widths); *moved* says in brackets what "
              "else than memory a kernel is bound by.")
    return ["## Summary", "", paragraph(text), ""] + table(
                ["kernel", "registers", "shared, bytes", "warps of an SM", "HMMA",
                 "widest load/store, bits", "moved", "coalesced"], rows)


def occupancy_reasons(kernels, threads, reasons):
    groups = collections.defaultdict(list)
    for name in sorted(threads):
        shares = [occupancy(arch, threads[name], kernels[name, arch].registers,
                            kernels[name, arch].shared).share for arch in ARCHITECTURES]
        if min(shares) < LOW:
            groups[reason_for(reasons, name)].append(name)
    lines = ["## Why some kernels fill little of an SM", "",
             f"Kernels below {LOW:.0%} of an SM's warps on some architecture.", ""]
    for reason, names in groups.items():
        names = ", ".join(f"`{name}`" for name in names)
        lines.append(paragraph(f"* {names}: {reason}", "  "))
    return lines + [""]


REMARKS = """\
Kernels bound by memory move what they must. *Tables* are bytes read again of vectors of a few KB
that all blocks use (gamma, biases, angles): they come from the L1 cache, which the software GPU
does not have, and are not in *moved*. Three kinds do not meet the line, and why:

* `b2_resize_rows` reads the weights of a row of pixels for every row (30 KB beside 2 KB of photo);
  `b2_resize_cols` reads each row of 672 bytes for every output row that it has a part in. Both
  re-read from the L1 and L2 caches (a photo of 640 x 480 is 0.9 MB), all requests are coalesced,
  and each byte of the photo and of the results moves once between them and memory.
* Prefill reads keys and values once for every 64 rows of queries, from the L2 cache; it is bound by
  its tensor cores. A row of ViT-g's heads is 176 bytes, five sectors and a half, so six have to
  move. Four lanes copy a row in three requests; the third asks for a sector and a half of each of
  eight rows and counts as not coalesced, as does every store. A row a request would count as
  coalesced, and take nearly three times the requests for the same sectors.
* The exact fp32 kernel reads keys once for every 16 rows; it is bound by arithmetic.

`b2_rope` is counted with Vicuna's heads of 128. Heads of 80 are not: a half of one is two sectors
and a half, so three would move, but OPT, whose heads these are, looks its positions up."""


def counts(cases):
    rows = []
    for case in cases:
        rows.append([f"`{case.kernel}`", case.shape, case.bound, case.blocks, kilo(case.least),
                     f"{case.moved / case.least:.2f}", kilo(case.tables) if case.tables else "-",
                     f"{share([case.load]):.0%}", f"{share([case.store]):.0%}",
                     "-" if case.ways is None else f"{case.ways:.2f}", case.mma or "-"])
    return ["## Counted on true shapes", "", REMARKS, ""] + table(
        ["kernel", "shape", "bound by", "blocks", "least, KB", "moved", "tables, KB",
         "loads coalesced", "stores coalesced", "ways", "mma"], rows, left=3)


def whole_model(lines, layers):
    phases = {"picture": "A picture and its prompt", "step": "A step of decoding"}
    text = ["## Counted in a whole model", "",
            paragraph("BLIP-2 with OPT-2.7b in fp16, true widths, random weights, "
                      f"{layers} layers each of ViT-g, Q-Former and OPT: a picture of the demo "
                      "through the engine as users run it. *Read again* is what requests move against the "
                      "bytes touched, tables included."), ""]
    for phase, title in phases.items():
        rows = []
        for words in (line.split("\t") for line in lines):
            if words[0] != phase:
                continue
            if words[1] == "host":
                launches, graphs, waits, copies, allocations, pinned = map(int, words[2:])
                continue
            numbers = [int(word) for word in words[3:]]
            load, store = Side(*numbers[:4]), Side(*numbers[4:])
            least = load.least + store.least
            rows.append([f"`{words[1]}`", words[2], kilo(least) if least else "-",
                         f"{32 * (load.sectors + store.sectors) / least:.2f}" if least else "-",
                         f"{share([load, store]):.0%}" if least else "-"])
        around = launches - 7 * layers
        words = (f"**{title}**: {launches} kernels" + (f" from {graphs} graph" if graphs else "")
                 + f", {allocations} allocations on the device and {pinned} of pinned memory, "
                   f"{copies} copies, {waits} wait for the device (for the chosen tokens).")
        if phase == "step":
            words += (f" These are 7 for each of {layers} layers (norm, QKV, attention with its "
                      f"append, output, norm, FFN up and down) and {around} around them. What attention "
                      "reads again are index arrays, a sector for each four bytes, beside so few keys; "
                      "with 100 keys and more (above) they do not count.")
        text += [paragraph(words), ""]
        text += table(["kernel", "launches", "least, KB", "read again", "coalesced"], rows)
    return text


def details(kernels, threads):
    text = ["## Every kernel on every architecture", "",
            paragraph("*Blocks x warps* fit on an SM at once; *limit* is what keeps more away. "
                      "`LDG`, `STG` and `LDGSTS` (cp.async) by bits a lane; narrow ones beside wide ones are "
                      "index arrays and the paths for rows that do not start at whole units."), ""]
    for arch in ARCHITECTURES:
        limits = LIMITS[arch]
        rows = []
        for name in sorted(threads):
            kernel = kernels[name, arch]
            fits = occupancy(arch, threads[name], kernel.registers, kernel.shared)
            code = kernel.code
            loads = [str(code["load", w]) for w in (128, 64, 32)]
            loads.append(str(code["load", 16] + code["load", 8]))
            stores = [str(code["store", w]) for w in (128, 64, 32, 16, 8)]
            rows.append([f"`{name}`", kernel.registers, kernel.shared, kernel.stack,
                         f"{kernel.spill_stores}/{kernel.spill_loads}",
                         f"{fits.blocks} x {threads[name] // 32}", f"{fits.share:.0%}", fits.limit,
                         code["all"], code["HMMA"], code["LDSM"], code["copy", 128],
                         " ".join(loads), " ".join(stores)])
        text += [f"### sm_{arch}", "",
                 f"An SM holds {limits.warps} warps, {limits.blocks} blocks, "
                 f"{limits.shared >> 10} KB of shared memory.", ""]
        text += table(["kernel", "registers", "shared", "stack", "spills, stores/loads",
                       "blocks x warps", "warps", "limit", "instructions", "HMMA", "LDSM",
                       "LDGSTS.128", "LDG 128 64 32 less", "STG 128 64 32 16 8"], rows)
    return text


def write(arguments, kernels, threads, reasons):
    with open(arguments.counts, encoding="utf-8") as file:
        cases = [Case(line) for line in file]
    cases.sort(key=lambda case: (case.kernel, case.shape))
    with open(arguments.model, encoding="utf-8") as file:
        model = file.read().splitlines()
    text = [head(arguments)] + summary(kernels, threads, cases)
    text += occupancy_reasons(kernels, threads, reasons) + counts(cases)
    text += whole_model(model, arguments.layers) + details(kernels, threads)
    with open(arguments.output, "w", encoding="utf-8") as file:
        file.write("\n".join(text))
