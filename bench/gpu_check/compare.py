"""Compares two records of tests/vm_on_gpu/record.c word by word.

A record is a list of (kernel, instruction, bytes). Those of one kernel and instruction are taken
together, the first of one side with the first of the other: a test that ends early on one side does
not disturb the others. NaN are equal whatever their bits are: PTX leaves them open."""
import re
import struct
from array import array

APPROXIMATE = re.compile(r"\b(ex2|lg2|sin|cos|tanh|rcp|rsqrt|sqrt|div)\.(approx|full)")
INTEGER_WORDS = re.compile(r"\.(b16|b32|b64|u8|u16|u32|u64|s8|s16|s32|s64|pred)\b")
FORMATS = {"f16": (2, 0x7c00, 0x3ff), "bf16": (2, 0x7f80, 0x7f), "f32": (4, 0x7f800000, 0x7fffff),
           "f64": (8, 0x7ff << 52, (1 << 52) - 1)}
CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def read_record(path):
    """[(kernel, instruction, data)]"""
    out = []
    try:
        data = open(path, "rb").read()
    except OSError:
        return out
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        fields = data[at:end].decode(errors="replace").split("|")
        if end < 0 or len(fields) != 3 or not fields[2].isdigit():
            break  # cut off
        size = int(fields[2])
        out.append((fields[0], fields[1], data[end + 1:end + 1 + size]))
        at = end + 1 + size
    return out


def type_of(kernel, instruction):
    """f16, bf16, f32, f64, or None: bits. Of a word that is read back."""
    if instruction:
        opcode = instruction.split("%")[0]
        types = re.findall(r"\.(b?f16x2|b?f16|f32|f64|[bus]\d+)", opcode)
        if opcode.startswith(("set", "testp", "mma", "ldmatrix", "stmatrix")) or not types:
            return None
        kind = types[0] if opcode.startswith("cvt") else types[-1]
        return kind if kind.replace("x2", "") in FORMATS else None
    for kind in ("bf16", "f16"):
        if re.search(rf"_{kind}(_|$)", kernel):
            return kind
    return "f32"


def ordered(word, kind):
    """Numbers in the order of their values, 1 a unit in the last place; None: NaN."""
    size, exponent, mantissa = FORMATS[kind]
    sign = 1 << (8 * size - 1)
    low = word & (sign | (sign - 1))
    if low & exponent == exponent and low & mantissa:
        return None
    return -(low & (sign - 1)) if low & sign else low


def distance(x, y, kind):
    """Units in the last place between two words; None: both are NaN, or equal."""
    if kind.endswith("x2"):
        pairs = [(x & 0xffff, y & 0xffff), (x >> 16 & 0xffff, y >> 16 & 0xffff)]
        far = [distance(a, b, kind[:-2]) for a, b in pairs if a != b]
        return max((d for d in far if d is not None), default=None)
    p, q = ordered(x, kind), ordered(y, kind)
    if p is None or q is None:
        return None if p is q else 1 << 62
    return abs(p - q)


def words_of(data, size):
    usable = len(data) // size * size
    out = array(CODES[size])
    out.frombytes(data[:usable])
    return out


def compare_words(a, b, kind, op):
    """(words, different, most ulps, first difference) of two pieces of memory."""
    size = 8 if op else FORMATS[kind][0] if kind else 4
    count = min(len(a), len(b)) // size
    if a[:count * size] == b[:count * size]:
        return count, 0, 0, None
    different, most, first = 0, 0, None
    for x, y in zip(words_of(a[:count * size], size), words_of(b[:count * size], size)):
        if x == y:
            continue
        if kind:
            far = distance(x, y, kind)
            if far is None:
                continue
            most = max(most, far)
        different += 1
        first = first or f"{x:#x} / {y:#x}"
    return count, different, most, first


def compare_files(vm, gpu):
    """Rows {"kernel", "what", "words", "different", "ulps", "first", "missing"}."""
    groups = {}
    for side, path in enumerate((vm, gpu)):
        for kernel, instruction, data in read_record(path):
            groups.setdefault((kernel, instruction), ([], []))[side].append(data)
    rows = []
    for (kernel, instruction), (left, right) in groups.items():
        kind = type_of(kernel, instruction)
        row = {"kernel": kernel, "what": instruction or kernel, "type": kind or "bits", "words": 0,
               "different": 0, "ulps": 0, "first": None, "missing": abs(len(left) - len(right))}
        for a, b in zip(left, right):
            # op_support.c gives every result 64 bits
            words, different, most, first = compare_words(a, b, kind, kernel == "op")
            row["words"] += words
            row["different"] += different
            row["ulps"] = max(row["ulps"], most)
            row["first"] = row["first"] or first
        rows.append(row)
    return rows


def is_exact(row):
    """Must both give the same bits? One instruction that is not approximate, yes; kernels of many
    are compared, but judged by their tests."""
    return row["kernel"] == "op" and not APPROXIMATE.search(row["what"])


def self_test():
    """For the dry run: a difference is found and counted in units in the last place."""
    one, two = struct.pack("<Q", 0x3f800000), struct.pack("<Q", 0x3f800003)
    assert compare_words(one, two, "f32", True)[1:3] == (1, 3)
    assert compare_words(struct.pack("<Q", 0x7fffffff), struct.pack("<Q", 0x7fc00000), "f32",
                         True)[1] == 0
    assert compare_words(struct.pack("<Q", 0x80000000), struct.pack("<Q", 0), "f32", True)[1:3] == \
        (1, 0)
    assert type_of("op", "cvt.rn.f16.f32 %d, %a;") == "f16"
    assert distance(0x3c007e00, 0x3c017fff, "f16x2") == 1
    assert type_of("op", "cvt.rn.bf16x2.f32 %d, %a, %b;") == "bf16x2"
    assert type_of("op", "add.u32 %d, %a, %b;") is None
    assert type_of("b2_norm_bf16", "") == "bf16"
    assert not is_exact({"kernel": "op", "what": "ex2.approx.ftz.f32 %d, %a;"})
    assert is_exact({"kernel": "op", "what": "add.rn.f32 %d, %a, %b;"})
