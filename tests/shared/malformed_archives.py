"""Archives of images that are damaged in every way that could be thought of, each a pure function of its number."""

import io
import json
import lzma
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

FORMATS = (
    "png",
    "jpeg",
    "gif",
    "tiff",
    "webp",
    "bmp",
    "ppm",
    "tga",
    "ico",
    "jpeg2000",
    "pcx",
    "sgi",
    "dds",
    "qoi",
)
NAMES = [f"{number // 4:05d}/img{number:08d}.png" for number in range(8)]
LABELS = {"labels": [[name, number % 2] for number, name in enumerate(NAMES)]}
EXTREMES = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF)
FIELDS = {
    b"PK\3\4": [(4, 2), (6, 2), (8, 2), (10, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)],
    b"PK\1\2": [
        (4, 2),
        (6, 2),
        (8, 2),
        (10, 2),
        (16, 4),
        (20, 4),
        (24, 4),
        (28, 2),
        (30, 2),
        (32, 2),
        (34, 2),
        (42, 4),
    ],
    b"PK\5\6": [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)],
}
"""Offset and bytes of each field of a local header, an entry of the directory, and the directory's end."""


@cache
def picture(file_format: str, number: int = 0) -> bytes:
    """Returns a picture of 8 x 8 of noise."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format)
    return file.getvalue()


def archive(
    files: list[tuple[str, bytes]], labels: object = LABELS, method: int = zipfile.ZIP_STORED
) -> bytes:
    """Returns a zip archive; `labels` are JSON, or bytes as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that come twice
        for name, content in files:
            made.writestr(zipfile.ZipInfo(name), content, method)
        if labels is not None:
            content = labels if isinstance(labels, bytes) else json.dumps(labels).encode()
            made.writestr(zipfile.ZipInfo("dataset.json"), content, method)
    return file.getvalue()


def whole(draw: random.Random) -> bytearray:
    """Returns a good archive of eight pictures with labels."""
    method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    files = [(name, picture(draw.choice(FORMATS), number)) for number, name in enumerate(NAMES)]
    return bytearray(archive(files, draw.choice((LABELS, None)), method))


def flipped(draw: random.Random) -> bytes:
    content = whole(draw)
    for _ in range(draw.choice((1, 1, 3, 30))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(content)


def cut(draw: random.Random) -> bytes:
    content = whole(draw)
    return bytes(content[: draw.choice((0, 1, 21, 22, draw.randrange(len(content)), len(content) - 1))])


def spliced(draw: random.Random) -> bytes:
    content = whole(draw)
    first, last = sorted(draw.randrange(len(content)) for _ in range(2))
    middle = (b"", content[first:last] * 2, draw.randbytes(last - first), bytes(last - first))[
        draw.randrange(4)
    ]
    return bytes(content[:first] + middle + content[last:])


def with_wrong_fields(draw: random.Random) -> bytes:
    content = whole(draw)
    for _ in range(draw.choice((1, 1, 2, 5))):
        signature = draw.choice(list(FIELDS))
        places = [place for place in range(len(content)) if content.startswith(signature, place)]
        offset, size = draw.choice(FIELDS[signature])
        value = draw.choice((*EXTREMES, draw.randrange(1 << 32))) % (1 << (8 * size))
        for place in places if draw.random() < 0.5 else [draw.choice(places)]:
            content[place + offset : place + offset + size] = value.to_bytes(size, "little")
    return bytes(content)


def with_odd_names(draw: random.Random) -> bytes:
    """Renames members in the directory and in their headers alike, to the same length."""
    content = whole(draw)
    for name in draw.sample(NAMES, draw.choice((1, 3))):
        old = name.encode()
        beginning = draw.choice(
            (
                b"/etc/",
                b"../../",
                b"..\\",
                b"C:\\",
                b"\0",
                b"a\0b",
                b"\xff\xfe",
                b"\n\x1b[2J",
                b"//",
                b".",
                b" ",
                b"\x80",
            )
        )
        odd = (
            (beginning + old)[-len(old) :]
            if draw.random() < 0.2
            else (beginning + old)[: len(old) - 4] + b".png"
        )
        content = content.replace(old, odd if len(odd) == len(old) else old)
        if draw.random() < 0.5:  # said to be UTF-8
            for signature, offset in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
                place = content.find(signature)
                while place >= 0:
                    content[place + offset] |= 8
                    place = content.find(signature, place + 4)
    return bytes(content)


def with_same_names(draw: random.Random) -> bytes:
    files = [(draw.choice(NAMES[:6]), picture("png", number)) for number in range(8)]
    return archive(files, draw.choice((LABELS, None)))


def with_odd_labels(draw: random.Random) -> bytes:
    value = draw.choice(
        (
            -1,
            2**31,
            2**63,
            10**30,
            0.5,
            1.0,
            True,
            None,
            "cat",
            "",
            "-3",
            "1e9",
            [1],
            {"a": 1},
            float("nan"),
            1e300,
        )
    )
    pairs = [[name, draw.choice((0, 1, value))] for name in NAMES]
    labels = draw.choice(
        (
            {"labels": pairs},
            {"labels": dict(pairs)},
            {"labels": [*pairs, [NAMES[0], 5]]},
            {"labels": pairs[1:]},
            {"labels": [*pairs, [1], 5, None]},
            {
                "labels": pairs,
                "class_names": draw.choice((["a"], ["a", "a"], "ab", {"a": 0}, [[]], [1, None], 7)),
            },
            {"labels": draw.choice((5, "x", [], {}, [[]], [[[], 0]], False))},
            pairs,
            None,
            value,
        )
    )
    return archive([(name, picture("png", number)) for number, name in enumerate(NAMES)], labels)


def with_odd_label_files(draw: random.Random) -> bytes:
    good = json.dumps(LABELS).encode()
    content = draw.choice(
        (
            b"[" * 200_000,
            b'{"labels":' * 100_000,
            good[: draw.randrange(len(good))],
            b"",
            b"\xff\xfe" + good.decode().encode("utf-16-le"),
            b"\xef\xbb\xbf" + good,
            draw.randbytes(200),
            b'{"labels": [["00000/img00000000.png", ' + b"9" * 5000 + b"]]}",
            b'{"labels": null, "labels": []}',
            bytes(1000),
            b"file_name,label\n"
            + b"".join(f"{name},{draw.choice(('cat', '1', '0.5', ''))}\n".encode() for name in NAMES),
            b'file_name,label\n"00000/img00000000.png,1\n',
            b"file_name;label\n\xff;1\n",
            b"label\n1\n",
            b"file_name,text\nimg.png,a cat\n",
            b"file_name,label\n" + b"x" * 200_000 + b",1\n",
            b"".join(
                json.dumps({"file_name": name, "label": draw.choice((0, "a"))}).encode() + b"\n"
                for name in NAMES
            ),
            b'{"file_name": 5, "label": 1}\n',
            b'{"label": 1}\n{"file_name": "a"\n',
            b"[1]\n",
        )
    )
    name = draw.choice(
        ("dataset.json", "metadata.csv", "metadata.jsonl", "00000/dataset.json", "top/metadata.csv")
    )
    files = [(name, picture("png", number)) for number, name in enumerate(NAMES)]
    return archive([*files, (name, content)], None, draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def with_broken_pictures(draw: random.Random) -> bytes:
    files = []
    for number, name in enumerate(NAMES):
        content = bytearray(picture(draw.choice(FORMATS), number))
        for _ in range(draw.choice((0, 1, 5))):
            content[draw.randrange(len(content))] = draw.randrange(256)
        if draw.random() < 0.3:
            content = content[: draw.randrange(len(content))]
        files.append((name, bytes(content)))
    return archive(files)


def with_bombs(draw: random.Random) -> bytes:
    """What is small and claims, or becomes, much."""
    return _bomb(draw, zipfile.ZIP_DEFLATED, _deflated_zeros(draw.choice((64, 300, 2000)) << 20))


def with_lzma_bombs(draw: random.Random) -> bytes:
    """As the one before, but such that Python's reader unpacks it all, whatever its size is said to be."""
    return _bomb(draw, zipfile.ZIP_LZMA, _lzma_zeros())


def _bomb(draw: random.Random, method: int, stored: bytes) -> bytes:
    name = draw.choice((NAMES[0], "dataset.json"))
    made = bytearray(archive([(name, stored), (NAMES[1], picture("png"))], None))
    for signature, offset, sizes in ((b"PK\3\4", 8, 22), (b"PK\1\2", 10, 24)):  # of the first member
        place = made.find(signature)
        made[place + offset : place + offset + 2] = struct.pack("<H", method)
        made[place + sizes : place + sizes + 4] = struct.pack("<I", draw.choice((300 << 20, 1000)))
    return bytes(made)


def _deflated_zeros(size: int) -> bytes:
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = block.compress(bytes(1 << 20)) + block.flush(zlib.Z_FULL_FLUSH)
    return zeros * (size >> 20) + b"\3\0"


@cache
def _lzma_zeros() -> bytes:
    """Returns 600 MB of zeros as a member of an archive has them."""
    options = {"id": lzma.FILTER_LZMA1, "preset": 0}
    packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[options])
    packed = [packer.compress(bytes(1 << 24)) for _ in range(36)]
    properties = struct.pack(
        "<BBHBI", 9, 4, 5, 93, 1 << 18
    )  # preset 0: lc 3, lp 0, pb 2, a dictionary of 256 KiB
    return b"".join([properties, *packed, packer.flush()])


def with_members_within_another(draw: random.Random) -> bytes:
    """Lets all entries of the directory share the bytes of the first."""
    content = whole(draw)
    place = content.find(b"PK\1\2")
    offset = content[place + 42 : place + 46]
    while place >= 0:
        content[place + 42 : place + 46] = offset
        place = content.find(b"PK\1\2", place + 4)
    return bytes(content)


def no_archive(draw: random.Random) -> bytes:
    return draw.choice(
        (
            b"",
            b"PK",
            b"PK\5\6" + bytes(18),
            b"PK\5\6" + b"\xff" * 18,
            picture("png"),
            draw.randbytes(5000),
            b"<html>404</html>",
            bytes(100_000),
            b"PK\6\6" + draw.randbytes(52) + b"PK\6\7" + bytes(16) + b"PK\5\6" + b"\xff" * 16 + bytes(2),
            b"PK\1\2" * 5000 + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 5000, 5000, 20000, 0, 0),
        )
    )


KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    *(flipped, cut, spliced, with_wrong_fields, with_odd_names, with_same_names, with_odd_labels),
    *(with_odd_label_files, with_broken_pictures, with_bombs, with_members_within_another, no_archive),
    with_lzma_bombs,  # the last, because one takes seconds to make
)


def malformed(number: int) -> tuple[str, bytes]:
    """Returns the kind and the content of one archive; every kind comes in turn."""
    kind = KINDS[number % len(KINDS)]
    return kind.__name__, kind(random.Random(number))
