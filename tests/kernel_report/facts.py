"""What compilers say of the kernels: ptxas's own words, and the machine code itself.

Images are what the product holds: NAME.fatbin with machine code for each architecture and PTX, and
NAME.fatbin.log, what ptxas said when it was made. Machine code is read with NVIDIA's cuobjdump and
nvdisasm (scripts/get-disassembler).
"""

import collections
import concurrent.futures
import functools
import os
import re
import subprocess
import tempfile


class Missing(Exception):
    """Something that a run needs is not there."""


class Kernel:
    """One kernel on one architecture."""

    def __init__(self, name, arch, image):
        self.name, self.arch, self.image = name, arch, image
        self.registers = self.shared = self.stack = self.spill_stores = self.spill_loads = 0
        self.code = None  # Counter of instructions (Code), once disassembled


# ---- ptxas ---------------------------------------------------------------------------------------

ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)\w*'")
SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def parse_log(text, image):
    """The kernels of one log."""
    kernels, kernel = [], None
    for line in text.splitlines():
        if match := ENTRY.search(line):
            kernel = Kernel(match[1], int(match[2]), image)
            kernels.append(kernel)
        elif kernel and (match := SPILLS.search(line)):
            kernel.stack, kernel.spill_stores, kernel.spill_loads = map(int, match.groups())
        elif kernel and (match := USED.search(line)):
            kernel.registers = int(match[1])
            shared = SHARED.search(line)
            kernel.shared = int(shared[1]) if shared else 0
    return kernels


def images_in(folders):
    """Paths of all images, by name."""
    paths = {}
    for folder in folders:
        for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if file.endswith(".fatbin"):
                paths[file.removesuffix(".fatbin")] = os.path.join(folder, file)
    if not paths:
        raise Missing("no image of kernels in " + ", ".join(folders))
    return paths


def read_logs(images):
    """{(kernel, architecture): Kernel} of all images."""
    kernels = {}
    for name, path in images.items():
        try:
            with open(path + ".log", encoding="utf-8") as log:
                found = parse_log(log.read(), name)
        except FileNotFoundError:
            raise Missing(f"{path}.log: what ptxas said is not there; build again") from None
        if not found or any(k.registers == 0 for k in found):
            raise Missing(f"{path}.log: no kernels, or no registers, in what ptxas said")
        kernels.update({(k.name, k.arch): k for k in found})
    return kernels


# ---- machine code --------------------------------------------------------------------------------

FUNCTION = re.compile(r"^\s*\.text\.(\w+):", re.M)
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?"  # address, predicate
                         r"([A-Z][A-Z0-9_]*(?:\.[A-Za-z0-9_]+)*)")
WIDTH = re.compile(r"\.(?:[US])?(8|16|64|128)(?:\.|$)")
MEMORY = {"LDG": "load", "STG": "store", "LDGSTS": "copy"}


def width_of(mnemonic):
    """Bits that a lane moves with a memory instruction."""
    match = WIDTH.search(mnemonic)
    return int(match[1]) if match else 32


def count_code(text):
    """Counter of instructions that matter: HMMA, LDSM, ("load", 128), local memory, all."""
    counts = collections.Counter()
    for mnemonic in INSTRUCTION.findall(text):
        base = mnemonic.partition(".")[0]
        counts["all"] += 1
        if base in MEMORY:
            counts[MEMORY[base], width_of(mnemonic)] += 1
        elif base in ("LDL", "STL"):
            counts["local"] += 1
        elif base in ("HMMA", "LDSM", "BAR", "SHFL"):
            counts[base] += 1
    return counts


def tool(folder, name):
    """A program of the disassembler: in its folder or in PATH."""
    for place in [folder] + os.environ.get("PATH", "").split(os.pathsep):
        path = os.path.abspath(os.path.join(place, name)) if place else ""
        if path and os.access(path, os.X_OK):
            return path
    raise Missing(f"{name} is missing; scripts/get-disassembler fetches it")


def run(*command, cwd=None):
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Missing(f"{os.path.basename(command[0])} failed: {result.stderr.strip()[:300]}")
    return result.stdout


def disassemble(tools, path):
    """[(kernel, architecture, Counter)] and {kernel: threads of a block} of an image."""
    codes, threads = [], {}
    for name, body in re.findall(r"\.entry (\w+)\((.*?)\{", run(tools[0], "-ptx", path), re.S):
        if match := re.search(r"\.maxntid (\d+)", body):
            threads[name] = int(match[1])
    with tempfile.TemporaryDirectory() as cubins:
        run(tools[0], "-xelf", "all", os.path.abspath(path), cwd=cubins)
        for cubin in sorted(os.listdir(cubins)):
            arch = int(re.search(r"sm_(\d+)", cubin)[1])
            parts = FUNCTION.split(run(tools[1], "-c", os.path.join(cubins, cubin)))
            codes += [(name, arch, count_code(text))
                      for name, text in zip(parts[1::2], parts[2::2])]
    return codes, threads


def add_code(kernels, images, folder):
    """Disassembles all images and gives every kernel its code; {kernel: threads of a block}."""
    tools = tool(folder, "cuobjdump"), tool(folder, "nvdisasm")
    threads = {}
    # nvdisasm takes a third of a second to start, once for each image and architecture.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for codes, of_image in pool.map(functools.partial(disassemble, tools), images.values()):
            threads.update(of_image)
            for name, arch, code in codes:
                if (name, arch) in kernels:
                    kernels[name, arch].code = code
    for kernel in kernels.values():
        if not kernel.code:
            raise Missing(f"{kernel.name}: no machine code for sm_{kernel.arch} was found")
    return threads
