"""The rules by themselves: each of them complains about what it is there for."""

import collections
import os
import tempfile
import unittest

import budgets as rules
import facts
from occupancy import occupancy

LOG = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'b2_a' for 'sm_80'
ptxas info    : Function properties for b2_a
    {stack} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads
ptxas info    : Used {registers} registers, used 1 barriers, 1024 bytes smem, 560 bytes cmem[0]
"""
CODE = """\
        /*0000*/                   LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
        /*0010*/              @!P0 LDG.E.U16 R8, [R2.64] ;
        /*0020*/              @P1  LDGSTS.E.BYPASS.128 [R3], [R2.64] ;
        /*0030*/                   HMMA.16816.F32 R8, R4, R6, R8 ;
        /*0040*/                   STG.E R4, desc[UR4][R2.64] ;
        /*0050*/             @UP0  STL.64 [R1], R4 ;
"""


def kernels_of(registers=32, stack=0, stores=0, loads=0, code=CODE):
    kernels = {}
    for kernel in facts.parse_log(LOG.format(**locals()), "a"):
        kernel.code = facts.count_code(code)
        kernels[kernel.name, kernel.arch] = kernel
    return kernels


def budget(**changes):
    base = rules.Budget(128, {80: 32}, 1024, 1, "128x2", "32x1")
    return {"b2_a": base._replace(**changes)}


class Rules(unittest.TestCase):
    def complains(self, complaints, text):
        self.assertEqual(len(complaints), 1, complaints)
        self.assertIn(text, complaints[0])

    def test_reads(self):
        kernel = kernels_of()["b2_a", 80]
        self.assertEqual((kernel.registers, kernel.shared), (32, 1024))
        self.assertEqual(kernel.code, collections.Counter({
            "all": 6, ("load", 128): 1, ("load", 16): 1, ("copy", 128): 1, "HMMA": 1,
            ("store", 32): 1, "local": 1}))

    def test_ptxas(self):
        self.assertEqual(rules.check_ptxas(kernels_of(), budget()), [])
        self.complains(rules.check_ptxas(kernels_of(stack=8), budget()), "8 bytes of stack")
        self.complains(rules.check_ptxas(kernels_of(stores=4), budget()), "spilled")
        self.complains(rules.check_ptxas(kernels_of(registers=33), budget()), "33 registers")
        self.complains(rules.check_ptxas(kernels_of(), budget(shared=512)), "1024 bytes of shared")
        self.complains(rules.check_ptxas(kernels_of(), {}), "not in budgets.txt")
        self.complains(rules.check_ptxas(kernels_of(), budget() | {"b2_b": None}), "not built")

    def test_code(self):
        threads, clean = {"b2_a": 128}, CODE.replace("STL.64", "STS.64")
        right = kernels_of(code=clean)
        self.assertEqual(rules.check_code(right, budget(), threads), [])
        self.complains(rules.check_code(kernels_of(), budget(), threads), "local memory")
        self.complains(rules.check_code(right, budget(hmma=2), threads), "1 matrix instructions")
        self.complains(rules.check_code(right, budget(loads="128x3"), threads), "2 loads of 128")
        self.complains(rules.check_code(right, budget(stores="64x1"), threads), "0 stores of 64")
        self.complains(rules.check_code(right, budget(), {"b2_a": 256}), "blocks of 256 threads")

    def test_widths(self):
        kinds = list(kernels_of().values()) * 2
        self.assertEqual(rules.widths(kinds, ("load", "copy")), "128x1")
        self.assertEqual(rules.widths(kinds, ("store",)), "32x1")

    def test_reasons(self):
        reasons = [(["b2_low_*"], "because")]
        shares = {("b2_low_a", 80): 0.2, ("b2_low_a", 90): 0.6, ("b2_high", 80): 0.5}
        self.assertEqual(rules.check_reasons(shares, reasons), [])
        self.complains(rules.check_reasons(shares | {("b2_more", 80): 0.4}, reasons), "b2_more")
        self.complains(rules.check_reasons(shares, reasons + [(["b2_high"], "")]), "b2_high")

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "budgets.txt")
            kernels = {("b2_a", arch): kernel for arch in rules.ARCHITECTURES
                       for kernel in kernels_of(registers=33).values()}
            rules.write_budgets(path, kernels, {"b2_a": 128})
            written = rules.read_budgets(path)["b2_a"]
            self.assertEqual(written.registers, {arch: 40 for arch in rules.ARCHITECTURES})
            self.assertEqual(written[2:], (1024, 1, "128x1", "32x1"))
            self.assertEqual(written.threads, 128)

    # Against cudaOccMaxActiveBlocksPerMultiprocessor of CUDA 13.0 with these SMs' properties.
    def test_occupancy(self):
        for arch, threads, registers, shared, blocks in KNOWN:
            with self.subTest(arch=arch, threads=threads, registers=registers, shared=shared):
                self.assertEqual(occupancy(arch, threads, registers, shared).blocks, blocks)


KNOWN = [
    (80, 128, 168, 32768, 3), (80, 128, 164, 49152, 3), (80, 128, 234, 35332, 2),
    (80, 256, 80, 64, 3), (80, 256, 41, 24592, 5), (80, 1024, 64, 16648, 1),
    (80, 64, 20, 3000, 32), (86, 128, 168, 32768, 3), (86, 128, 164, 49152, 2),
    (86, 128, 234, 35332, 2), (86, 256, 80, 64, 3), (86, 256, 41, 24592, 3),
    (86, 1024, 64, 16648, 1), (86, 64, 20, 3000, 16), (90, 128, 168, 32768, 3),
    (90, 128, 164, 49152, 3), (90, 128, 234, 35332, 2), (90, 256, 80, 64, 3),
    (90, 256, 41, 24592, 5), (90, 1024, 64, 16648, 1), (90, 64, 20, 3000, 32),
    (120, 128, 168, 32768, 3), (120, 128, 164, 49152, 2), (120, 128, 234, 35332, 2),
    (120, 256, 80, 64, 3), (120, 256, 41, 24592, 3), (120, 1024, 64, 16648, 1),
    (120, 64, 20, 3000, 24),
]

if __name__ == "__main__":
    unittest.main()
