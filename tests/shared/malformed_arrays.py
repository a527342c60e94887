"""Makes malformed `.npz` files: what people's tools, cut transfers and bad disks leave. Always the same ones."""

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

SHAPE = (12, 16, 16, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
LABELS = np.arange(12) % 3
MEAN, COVARIANCE = np.arange(4.0), np.diag([1.0, 2.0, 3.0, 4.0])
STEPS = 20


def npz(deflated: bool = False, **arrays: Any) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if deflated else np.savez)(stream, **arrays)
    return stream.getvalue()


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in members.items():
            file.writestr(name.replace("_npy", ".npy"), content)
    return stream.getvalue()


def header(text: str, content: bytes = b"", version: tuple[int, int] = (1, 0), name: str = "images") -> bytes:
    """An archive with an array of this header."""
    encoded = text.encode("latin1") + b" " * 20 + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(encoded))
    return archive(**{f"{name}_npy": b"\x93NUMPY" + bytes(version) + length + encoded + content})


def described(descr: str, shape: object, content: bytes = b"", order: str = "False") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}", content)


def patched(content: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Changes a field behind each signature of the archive's directory or of its members."""
    changed, place = bytearray(content), content.find(signature)
    while place >= 0:
        changed[place + offset : place + offset + len(value)] = value
        place = content.find(signature, place + 4)
    return bytes(changed)


LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def containers() -> Iterator[tuple[str, bytes]]:
    """Files that are no whole archive of arrays."""
    whole, deflated = npz(images=PIXELS), npz(deflated=True, images=PIXELS)
    flat = npz(deflated=True, images=np.zeros_like(PIXELS))
    yield "empty", b""
    yield "text", b"images: 12\n" * 40
    yield "html", b"<!DOCTYPE html><html>sign in</html>"
    yield "npy", npy(PIXELS)
    yield "pickle", pickle.dumps({"images": PIXELS})
    yield "gzip", b"\x1f\x8b" + zlib.compress(whole)
    yield "no arrays", archive()
    yield "no .npy", archive(images=PIXELS.tobytes())
    yield "empty member", archive(images_npy=b"")
    yield "text member", archive(images_npy=b"images")
    yield "other name", npz(samples=PIXELS)
    yield "folder of images", archive(images_npy=b"\x89PNG\r\n\x1a\n" + bytes(200))
    for step in range(STEPS):
        yield f"stored, cut at {step}/{STEPS}", whole[: len(whole) * step // STEPS]
        yield f"deflated, cut at {step}/{STEPS}", deflated[: len(deflated) * step // STEPS]
    yield "half of it zeros", whole[: len(whole) // 2] + bytes(len(whole) // 2)
    yield "pixel flipped", whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]
    place = flat.find(b"images.npy") + 60
    yield (
        "corrupt deflate",
        flat[:place] + bytes(x ^ 0x5A for x in flat[place : place + 8]) + flat[place + 8 :],
    )
    yield "encrypted", patched(whole, CENTRAL, 8, b"\x01\x00")
    yield "method 99", patched(whole, CENTRAL, 10, b"\x63\x00")
    yield "bzip2 that is none", patched(whole, CENTRAL, 10, b"\x0c\x00")
    yield "lzma that is none", patched(whole, CENTRAL, 10, b"\x0e\x00")
    yield "bzip2", archive(zipfile.ZIP_BZIP2, images_npy=npy(PIXELS))
    yield "bzip2 bomb", archive(zipfile.ZIP_BZIP2, images_npy=npy(np.zeros((2000, 100, 100, 1), np.uint8)))
    yield "directory of 4 GB", patched(whole, b"PK\x05\x06", 12, b"\xf0\xff\xff\xff")
    yield "checksum", patched(whole, CENTRAL, 16, b"\x01\x02\x03\x04")
    yield "claims 4 GB", patched(flat, CENTRAL, 24, b"\xf0\xff\xff\xff")
    yield "claims 1 byte", patched(flat, CENTRAL, 24, b"\x01\x00\x00\x00")
    yield "stored in 4 GB", patched(whole, CENTRAL, 20, b"\xf0\xff\xff\xff\xf0\xff\xff\xff")
    yield "member elsewhere", patched(whole, CENTRAL, 42, b"\xff\xff\x00\x00")
    yield "no member", patched(whole, LOCAL, 0, b"XXXX")
    yield "no directory", patched(whole, CENTRAL, 0, b"XXXX")
    yield "future version", patched(whole, CENTRAL, 6, b"\xff\x00")
    start = array_start((100_000, 100, 50, 1))
    claim = struct.pack("<I", len(start) + 500_000_000)
    held = archive(zipfile.ZIP_DEFLATED, images_npy=start + bytes(9000))
    yield "deflated, claims 500 MB", patched(held, CENTRAL, 24, claim)
    held = archive(images_npy=start + bytes(9000))
    yield "stored, claims 500 MB", patched(patched(held, CENTRAL, 24, claim), CENTRAL, 20, claim)
    held = archive(zipfile.ZIP_DEFLATED, images_npy=array_start((1000, 200, 100, 1)) + bytes(20_000_000))
    yield "deflated, claims less than there is", patched(held, CENTRAL, 24, struct.pack("<I", 900))


def array_start(shape: tuple[int, ...]) -> bytes:
    """What stands before the pixels of an array."""
    stream = io.BytesIO()
    fields = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def headers() -> Iterator[tuple[str, bytes]]:
    """Arrays whose header is damaged or absurd."""
    content = PIXELS.tobytes()
    yield "cut header", header("{'descr': '|u1', 'fortran_order'")
    yield "no header", header("")
    yield "list", header("[1, 2]")
    yield "call", header("__import__('os').system('true')")
    yield "nested", header("(" * 5000)
    yield "signs", header("-" * 5000 + "1")
    yield "long header", header("{" + " " * 20_000 + "}", version=(2, 0))
    yield "endless header", header("{'descr': '|u1'", version=(2, 0))[:100]
    yield "lacks shape", header("{'descr': '|u1', 'fortran_order': False}")
    yield "other key", header("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'x': 1}")
    yield "order", described("'|u1'", SHAPE, content, order="'C'")
    yield (
        "version 9",
        header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {SHAPE}}}", content, (9, 0)),
    )
    for name, shape in {
        "10^12 images": (10**12, 16, 16, 3),
        "10^40 images": (10**40, 16, 16, 3),
        "4,000 digits": f"({'9' * 4000}, 16, 16, 3)",
        "5,000 digits": f"({'9' * 5000}, 16, 16, 3)",
        "wide": (1, 10**6, 10**6, 3),
        "negative": (-12, 16, 16, 3),
        "two negative": (-12, -16, 16, 3),
        "fractional": (12.0, 16, 16, 3),
        "words": "('12', 16, 16, 3)",
        "number": 9216,
        "one more": (13, 16, 16, 3),
        "one fewer": (11, 16, 16, 3),
        "no images": (0, 16, 16, 3),
        "no rows": (12, 0, 16, 3),
        "no colours": (12, 16, 16, 0),
        "scalar": (),
        "flat": (9216,),
        "grey without axis": (12, 16, 48),
        "five axes": (1, 12, 16, 16, 3),
        "channels first": (12, 3, 16, 16),
        "two channels": (12, 16, 24, 2),
        "alpha": (12, 16, 12, 4),
        "true": "(12, 16, 48, True)",
        "40 axes": "(" + "1, " * 40 + "9216)",
    }.items():
        yield f"shape: {name}", described("'|u1'", shape, content)
    for descr in (
        *("'|O'", "'<f4'", "'<f8'", "'<i8'", "'<i4'", "'<u2'", "'>u2'", "'|i1'", "'|b1'", "'<c8'", "'|S3'"),
        *(
            "'<U2'",
            "'<M8[s]'",
            "'|V3'",
            "'|V0'",
            "'|S0'",
            "'x9'",
            "9",
            "None",
            "[('r', '|u1'), ('g', '|u1')]",
        ),
        *("('|u1', (3,))", "[('r', '|O')]", "'|u1, |u1'", "'|V2147483647'", "'99999999999u1'"),
    ):
        yield f"type {descr}", described(descr, SHAPE, content)


def others() -> Iterator[tuple[str, bytes]]:
    """Whole arrays that are no samples."""
    yield "floats from 0 to 1", npz(images=PIXELS / np.float32(255))
    yield "floats from -1 to 1", npz(images=PIXELS / np.float32(127.5) - 1)
    yield "not a number", npz(images=np.full(SHAPE, np.nan))
    yield "infinity", npz(images=np.full(SHAPE, np.inf, np.float16))
    yield "whole numbers of 64 bits", npz(images=PIXELS.astype(np.int64))
    yield "bool", npz(images=PIXELS > 127)
    yield "channels first", npz(images=PIXELS.transpose(0, 3, 1, 2))
    yield "objects", npz(images=PIXELS.astype(object))
    yield "list of images", npz(images=np.array([PIXELS[0], PIXELS[0, :8]], dtype=object))
    yield "words", npz(images=np.array(["a.png", "b.png"]))
    yield "one image", npz(images=PIXELS[0])
    yield "none", npz(images=PIXELS[:0])
    yield "no pixels", npz(images=PIXELS[:, :0])


def labels() -> Iterator[tuple[str, bytes]]:
    """Samples with labels that are none."""
    for name, values in {
        "2^31": LABELS + 2**31,
        "10^12": LABELS + 10**12,
        "2^63": LABELS.astype(np.uint64) + np.uint64(2**63),
        "largest": np.full(12, 2**63 - 1),
        "-1": LABELS - 1,
        "-2^63": np.full(12, -(2**63)),
        "one fewer": LABELS[:-1],
        "one more": np.append(LABELS, 0),
        "none": LABELS[:0],
        "one hot": np.eye(3, dtype=np.int64)[LABELS],
        "column": LABELS[:, None],
        "scalar": np.int64(3),
        "halves": LABELS + 0.5,
        "floats": LABELS.astype(np.float32),
        "not a number": np.full(12, np.nan),
        "bool": LABELS > 0,
        "words": np.array(["cat"] * 12),
        "objects": np.array([0, "cat"] * 6, dtype=object),
        "dates": LABELS.astype("M8[s]"),
        "complex": LABELS * 1j,
    }.items():
        yield f"labels: {name}", npz(images=PIXELS, labels=values)
    yield "labels: no array", archive(images_npy=npy(PIXELS), labels_npy=b"\x00\x01\x02")
    yield "labels: cut", archive(images_npy=npy(PIXELS), labels_npy=npy(LABELS)[:-1])


def statistics() -> Iterator[tuple[str, bytes]]:
    """Statistics that are none, for an extractor of 4 features."""
    whole = npz(mu=MEAN, sigma=COVARIANCE)
    for step in range(1, 10):
        yield f"cut at {step}/10", whole[: len(whole) * step // 10]
    yield "number flipped", patched(whole, b"mu.npy", 140, b"\x77")
    for name, (mean, covariance) in {
        "column": (MEAN[:, None], COVARIANCE),
        "scalar": (np.float64(0), COVARIANCE),
        "empty": (MEAN[:0], COVARIANCE[:0, :0]),
        "one fewer": (MEAN[:3], COVARIANCE[:3, :3]),
        "half of sigma": (MEAN, COVARIANCE[:2]),
        "diagonal": (MEAN, COVARIANCE.diagonal()),
        "swapped": (COVARIANCE, MEAN),
        "not a number": (MEAN * np.nan, COVARIANCE),
        "infinity": (MEAN, np.full((4, 4), np.inf)),
        "largest": (MEAN, COVARIANCE * 4e307),
        "largest mean": (MEAN * 5e307, COVARIANCE),
        "negative": (MEAN, -COVARIANCE),
        "asymmetric": (MEAN, COVARIANCE + np.triu(np.ones((4, 4)), 1)),
        "complex": (MEAN, COVARIANCE * (1 + 1j)),
        "words": (MEAN.astype(str), COVARIANCE),
        "dates": (MEAN.astype("M8[s]"), COVARIANCE),
        "objects": (MEAN.astype(object), COVARIANCE),
        "pair": (np.zeros(4, "f8,f8"), COVARIANCE),
    }.items():
        yield name, npz(mu=mean, sigma=covariance)
    yield "no sigma", npz(mu=MEAN)
    yield "no mu", npz(sigma=COVARIANCE)


def damaged(num: int) -> Iterator[tuple[str, bytes]]:
    """Whole files with some bytes changed, cut out or put in, at random places."""
    wholes = {
        "stored": npz(images=PIXELS, labels=LABELS),
        "deflated": npz(deflated=True, images=PIXELS, labels=LABELS),
        "small": npz(images=PIXELS[:2, :2, :2], labels=LABELS[:2]),  # nearly all of it headers and directory
    }
    for number in range(num):
        random = np.random.default_rng(number)
        kind = list(wholes)[number % 3]
        content = bytearray(wholes[kind])
        for _ in range(random.integers(1, 5)):
            place, length = int(random.integers(len(content))), int(random.integers(1, 9))
            replacement = random.bytes(length if random.integers(3) else 0)
            content[place : place + (length if random.integers(3) else 0)] = replacement
        yield f"{kind}, damage {number}", bytes(content)


def malformed_images() -> list[tuple[str, bytes]]:
    """Everything that may stand where samples are expected, and cannot be any."""
    return [*containers(), *headers(), *others(), *labels()]
