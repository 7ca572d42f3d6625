"""Build SentencePiece's precompiled_charsmap for a few keys, for the scripts beside."""

import base64
import struct


def charsmap(table):
    """The bytes for {key: text}. Children of a node lie at its base xor their byte, its value at the
    base itself; bases are the first that fit."""
    root, texts = {}, b""
    for key, text in table.items():
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node["place"] = len(texts)
        texts += text.encode() + b"\0"
    units, bases = {0: 0}, set()

    def put(node, at, label):
        children = [b for b in node if b != "place"]
        base = next(
            b
            for b in range(1, 1 << 20)
            if b not in bases and not any(b ^ c in units for c in children + [0])
        )
        bases.add(base)
        leaf = "place" in node
        units[at] = label | (base ^ at) << 10 | (0x100 if leaf else 0)
        units[base] = node.get("place", 0) | 1 << 31
        units.update({base ^ c: 0 for c in children})
        for c in children:
            put(node[c], base ^ c, c)

    put(root, 0, 0)
    count = max(units) // 256 * 256 + 256  # the root's unit may lead anywhere near
    trie = struct.pack(f"<{count}I", *(units.get(i, 0) for i in range(count)))
    return struct.pack("<I", len(trie)) + trie + texts


def in_base64(table):
    return base64.b64encode(charsmap(table)).decode()
