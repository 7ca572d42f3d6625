"""How many blocks of a kernel an SM holds at once, by the documented limits.

"CUDA C++ Programming Guide", technical specifications per compute capability; how registers are
given out follows cuda_occupancy.h of the toolkit: to whole warps in units of 256, each quarter of
an SM having a quarter of them.
"""

import collections

# Of an SM: warps, blocks, bytes of shared memory.
Limits = collections.namedtuple("Limits", "warps blocks shared")
LIMITS = {
    80: Limits(64, 32, 164 << 10),
    86: Limits(48, 16, 100 << 10),
    89: Limits(48, 24, 100 << 10),
    90: Limits(64, 32, 228 << 10),
    100: Limits(64, 32, 228 << 10),
    120: Limits(48, 24, 100 << 10),
}
REGISTERS, QUARTERS, REGISTER_UNIT = 1 << 16, 4, 256
SHARED_UNIT, SHARED_OF_SYSTEM = 128, 1 << 10  # bytes that every block pays

Occupancy = collections.namedtuple("Occupancy", "blocks warps share limit")


def round_up(value, unit):
    return -(-value // unit) * unit


def occupancy(arch, threads, registers, shared):
    """Blocks and warps on an SM, their share of the warps it can hold, and what limits them."""
    limits = LIMITS[arch]
    warps = -(-threads // 32)
    of_warp = round_up(registers * 32, REGISTER_UNIT)
    by = {
        "warps": limits.warps // warps,
        "blocks": limits.blocks,
        "registers": REGISTERS // QUARTERS // of_warp * QUARTERS // warps,
        "shared": limits.shared // round_up(shared + SHARED_OF_SYSTEM, SHARED_UNIT),
    }
    blocks = min(by.values())
    limit = " and ".join(name for name, most in by.items() if most == blocks)
    return Occupancy(blocks, blocks * warps, blocks * warps / limits.warps, limit)
