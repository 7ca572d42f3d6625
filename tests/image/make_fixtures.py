"""Make pictures.pack and resize.txt: small pictures and shapes with what Pillow makes of them.

    python make_fixtures.py

Needs Pillow 13 and numpy. Everything is seeded; the PNG files are written here chunk by chunk,
because Pillow itself writes few of the kinds that it reads.

pictures.pack  a line "NAME KIND WIDTH HEIGHT SIZE SHA256" and SIZE bytes, repeated. KIND is
               png    SHA256 is that of Image.convert("RGB"), row by row
               jpeg   the same; the next entry, of kind want, is those pixels as a PNG, since
                      another decoder may differ by one level
               bad    Pillow refuses it, so must we; SHA256 is "-"
resize.txt     "WIDTH HEIGHT OUT_WIDTH OUT_HEIGHT KIND SHA256" of the bicubic resize of a generated
               picture (make_picture here, make_picture in test_resize.c)
"""

import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
DEPTHS = {
    GRAY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GRAY_ALPHA: (8, 16),
    RGBA: (8, 16),
}
ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


class FirstFilter:
    """Stands for a generator where a picture shall compress well."""

    def integers(self, *_):
        return 0


FIRST = FirstFilter()


# ---- PNG -----------------------------------------------------------------------------------------


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pack_row(samples, depth):
    """samples: flat integers; big-endian, the leftmost in the high bits."""
    if depth == 16:
        return samples.astype(">u2").tobytes()
    if depth == 8:
        return samples.astype(np.uint8).tobytes()
    bits = ((samples[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8).ravel()
    return np.packbits(bits).tobytes()


def paeth(a, b, c):
    pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


def filter_row(kind, row, above, step):
    out = bytearray([kind])
    for i, value in enumerate(row):
        a = row[i - step] if i >= step else 0
        b = above[i]
        c = above[i - step] if i >= step else 0
        out.append((value - (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]) & 255)
    return bytes(out)


def filtered(samples, depth, rng):
    """One pass: [height, width, channels] -> rows, each with a filter drawn by chance."""
    step = max(1, samples.shape[2] * depth // 8)
    rows = [pack_row(row.ravel(), depth) for row in samples]
    above = bytes(len(rows[0]))
    out = b""
    for row in rows:
        out += filter_row(int(rng.integers(5)), row, above, step)
        above = row
    return out


def png(samples, kind, depth, interlaced, rng, before=b"", after=b"", split=0, level=9):
    """before: chunks between IHDR and IDAT; after: behind IDAT; split: bytes an IDAT, 0: all."""
    height, width = samples.shape[:2]
    if interlaced:
        passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        data = b"".join(filtered(p, depth, rng) for p in passes if p.size)
    else:
        data = filtered(samples, depth, rng)
    data = zlib.compress(data, level)
    step = split or len(data)
    idat = b"".join(chunk(b"IDAT", data[i : i + step]) for i in range(0, len(data), step))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + idat + after + chunk(b"IEND", b"")
    )


def draw(rng, width, height, kind, depth):
    samples = rng.integers(0, 1 << depth, (height, width, CHANNELS[kind]))
    if depth == 16 and kind == GRAY:  # around the point where 16-bit gray saturates
        samples[:, ::2] = rng.integers(0, 300, samples[:, ::2].shape)
    return samples


def palette_chunk(rng, entries):
    return chunk(b"PLTE", rng.integers(0, 256, 3 * entries, dtype=np.uint8).tobytes())


def transparency(rng, kind, depth):
    if kind == PALETTE:
        return chunk(b"tRNS", rng.integers(0, 256, 1 << depth, dtype=np.uint8).tobytes())
    values = rng.integers(0, 1 << depth, CHANNELS[kind])
    return chunk(b"tRNS", values.astype(">u2").tobytes())


def png_matrix(rng):
    """Every colour type, depth, interlace and transparency at sizes that meet Adam7's passes."""
    for kind, depths in DEPTHS.items():
        for depth in depths:
            for interlaced in (0, 1):
                for width, height in ((19, 11), (1, 1), (3, 2), (1, 7), (9, 1)):
                    for trns in (False, True) if kind in (GRAY, RGB, PALETTE) else (False,):
                        before = palette_chunk(rng, 1 << depth) if kind == PALETTE else b""
                        before += transparency(rng, kind, depth) if trns else b""
                        flags = "-adam7" * interlaced + "-trns" * trns
                        name = f"type{kind}-{depth}bit{flags}-{width}x{height}"
                        yield name, png(
                            draw(rng, width, height, kind, depth),
                            kind,
                            depth,
                            interlaced,
                            rng,
                            before,
                        )


def png_oddities(rng):
    rgb = draw(rng, 8, 6, RGB, 8)
    index = rng.integers(0, 5, (6, 8, 1))
    bomb = zlib.compress(bytes(1 << 20), 9)
    icc = chunk(b"iCCP", b"x\0\0" + bomb)
    yield "idat-bytes", png(rgb, RGB, 8, 0, rng, split=1)
    yield "idat-empty", png(rgb, RGB, 8, 0, rng, before=chunk(b"IDAT", b""))
    yield "stored", png(rgb, RGB, 8, 1, rng, level=0)
    yield "gamma", png(
        rgb, RGB, 8, 0, rng, chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sRGB", b"\0")
    )
    yield "background", png(rgb, RGB, 8, 0, rng, chunk(b"bKGD", struct.pack(">HHH", 1, 2, 3)))
    yield "significant-bits", png(rgb, RGB, 8, 0, rng, chunk(b"sBIT", b"\5\6\5"))
    yield "text-behind", png(rgb, RGB, 8, 0, rng, after=chunk(b"tEXt", b"a\0b"))
    yield "profile", png(rgb, RGB, 8, 0, rng, icc)
    yield "suggested-palette", png(rgb, RGB, 8, 0, rng, palette_chunk(rng, 7))
    yield "short-palette", png(index, PALETTE, 8, 0, rng, palette_chunk(rng, 5))
    yield "past-palette", png(index, PALETTE, 4, 0, rng, palette_chunk(rng, 3))
    yield "private-chunk", png(rgb, RGB, 8, 0, rng, chunk(b"prVt", b"123"))
    control = chunk(b"acTL", struct.pack(">II", 2, 0))
    frame = struct.pack(">IIIIHHBB", 8, 6, 0, 0, 1, 10, 0, 0)
    second = struct.pack(">I", 2) + zlib.compress(bytes(6 * 25))
    yield "bomb", png(np.zeros((3000, 3000, 1), int), GRAY, 1, 0, FIRST)
    yield "animated", png(
        rgb,
        RGB,
        8,
        0,
        rng,
        control + chunk(b"fcTL", struct.pack(">I", 0) + frame),
        chunk(b"fcTL", struct.pack(">I", 1) + frame) + chunk(b"fdAT", second),
    )


def bad_pngs(rng):
    good = png(draw(rng, 8, 6, RGB, 8), RGB, 8, 0, rng)
    data = good.index(b"IDAT")
    yield "bad-half.png", good[: len(good) // 2]
    yield "bad-signature-only.png", good[:8]
    yield "bad-header-checksum.png", good[:29] + bytes([good[29] ^ 1]) + good[30:]
    yield "bad-data.png", good[: data + 10] + bytes([good[data + 10] ^ 255] * 4) + good[data + 14 :]
    yield "bad-depth.png", good[:24] + b"\3" + good[25:29] + struct.pack(
        ">I", zlib.crc32(good[12:24] + b"\3" + good[25:29])
    ) + good[33:]
    yield "bad-no-data.png", good[: data - 4] + chunk(b"IEND", b"")


# ---- JPEG ----------------------------------------------------------------------------------------


def smooth(rng, width, height, mode):
    """Something like a photograph: a coarse random picture, enlarged."""
    bands = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
    coarse = rng.integers(0, 256, (3 + height // 9, 3 + width // 9, bands), dtype=np.uint8)
    image = Image.fromarray(coarse if bands > 1 else coarse[:, :, 0], mode)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def adobe_transform(data, value):
    """Claim another colour transform in the Adobe marker: CMYK is then read as YCCK."""
    at = data.index(b"Adobe") + 11
    return data[:at] + bytes([value]) + data[at + 1 :]


def without_marker(data, name):
    at = data.index(name) - 4
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0] :]


def jpegs(rng):
    exif = Image.Exif()
    exif[0x0112] = 6
    for width, height in ((33, 23), (1, 1), (1, 40), (40, 1), (16, 16)):
        size = f"{width}x{height}"
        for subsampling in (0, 1, 2):
            yield f"sub{subsampling}-{size}", jpeg(
                smooth(rng, width, height, "RGB"), quality=85, subsampling=subsampling
            )
        yield f"gray-{size}", jpeg(smooth(rng, width, height, "L"), quality=90)
        yield f"progressive-{size}", jpeg(
            smooth(rng, width, height, "RGB"), quality=80, progressive=True
        )
    yield "progressive-gray", jpeg(smooth(rng, 35, 21, "L"), quality=80, progressive=True)
    yield "restart", jpeg(smooth(rng, 60, 40, "RGB"), quality=80, restart_marker_blocks=2)
    yield "rgb", jpeg(smooth(rng, 30, 20, "RGB"), quality=90, keep_rgb=True)
    yield "exif", jpeg(smooth(rng, 30, 20, "RGB"), quality=80, exif=exif.tobytes())
    yield "profile", jpeg(smooth(rng, 30, 20, "RGB"), quality=80, icc_profile=bytes(3000))
    yield "quality5", jpeg(smooth(rng, 50, 30, "RGB"), quality=5)
    yield "quality100", jpeg(smooth(rng, 20, 30, "RGB"), quality=100)
    cmyk = jpeg(smooth(rng, 34, 22, "CMYK"), quality=85)
    yield "cmyk", cmyk
    yield "ycck", adobe_transform(cmyk, 2)
    yield "cmyk-no-adobe", without_marker(cmyk, b"Adobe")
    yield "cmyk-progressive", jpeg(smooth(rng, 34, 22, "CMYK"), quality=85, progressive=True)
    good = jpeg(smooth(rng, 48, 48, "RGB"), quality=80, restart_marker_blocks=1)
    yield "warning-trailing", good + b"trailing bytes"
    scan = good.index(b"\xff\xda") + 60
    yield "warning-flipped", good[:scan] + bytes([good[scan] ^ 4]) + good[scan + 1 :]
    yield "no-jfif", without_marker(good, b"JFIF")


def bad_jpegs(rng):
    good = jpeg(smooth(rng, 33, 23, "RGB"), quality=80)
    late = jpeg(smooth(rng, 33, 23, "RGB"), quality=80, progressive=True)
    frame = good.index(b"\xff\xc0")
    yield "bad-half.jpg", good[: len(good) // 2]
    yield "bad-no-end.jpg", good[:-2]
    yield "bad-progressive-no-end.jpg", late[:-2]
    yield "bad-start-only.jpg", good[:3]
    yield "bad-12bit.jpg", good[: frame + 4] + b"\x0c" + good[frame + 5 :]
    yield "bad-zero-width.jpg", good[: frame + 7] + b"\0\0" + good[frame + 9 :]
    scan = good.index(b"\xff\xda")
    yield "bad-two-components.jpg", (
        good[: frame + 2]
        + b"\0\x0e"
        + good[frame + 4 : frame + 9]
        + b"\2"
        + good[frame + 10 : frame + 16]
        + good[frame + 19 : scan + 2]
        + b"\0\x0a\2"
        + good[scan + 5 : scan + 9]
        + good[scan + 11 :]
    )


# ---- the files -----------------------------------------------------------------------------------


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def write_pack(path):
    rng = np.random.default_rng(3)
    out = io.BytesIO()

    def add(name, kind, data, rgb=None):
        height, width = (0, 0) if rgb is None else rgb.shape[:2]
        digest = "-" if rgb is None else hashlib.sha256(rgb.tobytes()).hexdigest()
        out.write(f"{name} {kind} {width} {height} {len(data)} {digest}\n".encode() + data)

    for name, data in [*png_matrix(rng), *png_oddities(rng)]:
        add(name, "png", data, pixels(data))
    for name, data in jpegs(rng):
        rgb = pixels(data)
        want = io.BytesIO()
        Image.fromarray(rgb).save(want, "PNG", optimize=True)
        add(name, "jpeg", data, rgb)
        add(name, "want", want.getvalue(), rgb)
    for name, data in [*bad_pngs(rng), *bad_jpegs(rng)]:
        try:
            pixels(data)
        except (OSError, SyntaxError):
            add(name, "bad", data)
        else:
            raise SystemExit(f"{name}: Pillow reads it")
    path.write_bytes(out.getvalue())


def make_picture(width, height, kind):
    """As make_picture in test_resize.c: noise, only black and white, or nearly white."""
    count = width * height * 3
    state = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(
        width * 31 + height
    )
    state ^= state >> np.uint32(15)
    state *= np.uint32(2246822519)
    noise = (state >> np.uint32(24)).astype(np.uint8)
    values = (noise, np.where(noise > 127, 255, 0), 240 + noise % 16)[kind]
    return values.astype(np.uint8).reshape(height, width, 3)


def write_shapes(path):
    rng = np.random.default_rng(4)
    sizes = [
        (1, 1, 224, 224),
        (1, 1, 1, 1),
        (1, 500, 224, 224),
        (500, 1, 224, 224),
        (3, 500, 224, 224),
        (500, 3, 224, 224),
        (640, 480, 224, 224),
        (480, 640, 364, 364),
        (224, 224, 224, 224),
        (224, 100, 224, 224),
        (100, 224, 224, 224),
        (2, 2, 300, 300),
        (300, 200, 1, 1),
        (223, 225, 224, 224),
        (30000, 3, 224, 224),
        (3, 30000, 224, 224),
        (65536, 1, 7, 5),
        (1, 65536, 5, 7),
        (333, 77, 112, 112),
        (448, 448, 224, 224),
        (75, 75, 196, 15),
        (300, 330, 224, 224),
        (300, 377, 224, 224),
        (300, 376, 224, 224),
    ]
    for _ in range(150):
        sizes.append(tuple(int(n) for n in np.exp(rng.uniform(0, 5.5, 4))))
    with path.open("w", newline="\n") as out:
        for i, (width, height, to_width, to_height) in enumerate(sizes):
            picture = Image.fromarray(make_picture(width, height, i % 3))
            result = np.array(picture.resize((to_width, to_height), Image.Resampling.BICUBIC))
            digest = hashlib.sha256(result.tobytes()).hexdigest()
            out.write(f"{width} {height} {to_width} {to_height} {i % 3} {digest}\n")


if __name__ == "__main__":
    write_pack(HERE / "pictures.pack")
    write_shapes(HERE / "resize.txt")
