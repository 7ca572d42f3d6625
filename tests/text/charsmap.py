"""Build SentencePiece's precompiled_charsmap for a few keys, for the scripts beside."""

import base64
import struct


def charsmap(table):
    """The bytes for {key: text}. Each node has a block of 256 units of its own, so that nothing
    collides."""
    root, texts = {}, b""
    for key, text in table.items():
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node["place"] = len(texts)
        texts += text.encode() + b"\0"
    units, blocks = {}, [0]

    def put(node, at, label):
        blocks[0] += 1
        children = 256 * blocks[0]
        leaf = "place" in node
        units[at] = label | (children ^ at) << 10 | (0x100 if leaf else 0)
        if leaf:
            units[children] = node["place"] | 1 << 31
        for byte in [b for b in node if b != "place"]:
            put(node[byte], children ^ byte, byte)

    put(root, 0, 0)
    count = 256 * (blocks[0] + 1)
    trie = struct.pack(f"<{count}I", *(units.get(i, 0) for i in range(count)))
    return struct.pack("<I", len(trie)) + trie + texts


def in_base64(table):
    return base64.b64encode(charsmap(table)).decode()
