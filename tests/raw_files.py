"""RAW files for tests, written from nothing: uncompressed DNG, Sony ARW and Fuji RAF that LibRaw reads back."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from runtime.raw import About

LETTERS = {"R": 0, "G": 1, "B": 2}


def cell(text):
    """A pattern from its letters, rows apart by a blank."""
    return tuple(tuple(LETTERS[letter] for letter in row) for row in text.split())


BAYER = {name: cell(name[:2] + " " + name[2:]) for name in ("RGGB", "GRBG", "GBRG", "BGGR")}
X_TRANS = cell("RBGBRG GGRGGB GGBGGR BRGRBG GGBGGR GGRGGB")
QUAD = cell("RRGG RRGG GGBB GGBB")
MATRIX = ((0.5838, -0.1430, -0.0246), (-0.3497, 1.1477, 0.2297), (-0.0748, 0.1885, 0.5778))  # XYZ to camera
POINTERS = (34665, 34853)  # to the directories of the exposure and of the place
NEUTRAL = (0.5, 1.0, 0.625)
ABOUT = About(
    make="Maker",
    model="Camera 1",
    lens="35mm f/2",
    exposure=0.04,
    iso=6400.0,
    aperture=2.0,
    focal_length=35.0,
    taken="2026:01:02 03:04:05",
    fraction="07",
    artist="Åsa",
    copyright="2026 Åsa",
    gps={0: b"\2\3\0\0", 1: "N", 2: ((52, 1), (31, 1), (1234, 100))},
    orientation=6,
)


def scene(height, width, *, pattern=BAYER["RGGB"], light=(0.3, 0.5, 0.2), black=512, white=16383, seed=0):
    """A mosaic in which red, green and blue shine with that much light, a little noise on it."""
    size = len(pattern)
    y, x = np.mgrid[:height, :width]
    level = black + np.array(light)[np.array(pattern)[y % size, x % size]] * (white - black)
    return np.clip(level + np.random.default_rng(seed).normal(0, 20, level.shape), 0, 65535).astype(np.uint16)


def dng(
    path,
    mosaic,
    *,
    pattern=BAYER["RGGB"],
    black=(512,),
    white=16383,
    neutral=NEUTRAL,
    matrix=MATRIX,
    about=ABOUT,
    area=None,
    planes="RGB",
    photometric=32803,
    extra=(),
):
    """A DNG: `area` is its ActiveArea, four levels of black are those of the 2 x 2 sites, None leaves a tag out."""
    dim = (len(pattern), len(pattern[0]))
    tags = [
        (33421, 3, 2, dim),
        (33422, 1, dim[0] * dim[1], bytes(sum(pattern, ()))),
        (50710, 1, len(planes), bytes({"R": 0, "G": 1, "B": 2, "C": 3, "M": 4, "Y": 5}[name] for name in planes)),
        (50713, 3, 2, (2, 2) if len(black) == 4 else (1, 1)),
        (50714, 3, len(black), tuple(black)),
        (50717, 4, 1, white),
        *extra,
    ]
    tags += [(50829, 4, 4, area)] if area else []
    tags += [(50728, 5, 3, _pairs(neutral))] if neutral else []
    _write_dng(path, mosaic, tags, matrix, about, photometric)


def linear(path, picture, *, about=ABOUT):
    """A linear DNG: three samples a pixel."""
    _write_dng(path, picture, [], MATRIX, about, 34892)


def monochrome(path, picture, *, about=ABOUT):
    """A DNG of a camera without colours."""
    _write_dng(path, picture, [], None, about, 32803)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["PhotometricInterpretation"].overwrite(34892)


def _write_dng(path, pixels, tags, matrix, about, photometric):
    tags = [
        (50706, 1, 4, bytes((1, 4, 0, 0))),
        (50708, 2, 0, f"{about.make} {about.model}"),
        *([(50721, 10, 9, _pairs(sum(matrix, ())))] if matrix else []),
        *tags,
    ]
    _tiff(path, pixels, tags, about, photometric)


def arw(path, mosaic, *, black=512, white=16383, gains=(2400, 1024, 1024, 1800), about=ABOUT):
    """An uncompressed Sony file."""
    tags = [
        (33421, 3, 2, (2, 2)),
        (33422, 1, 4, bytes((0, 1, 1, 2))),
        (0x7000, 3, 1, 0),
        (0x7310, 3, 4, (black,) * 4),
        (0x7313, 8, 4, gains),
        (0x787F, 3, 3, (white,) * 3),
    ]
    _tiff(path, mosaic, tags, about, 32803)


def _tiff(path, pixels, tags, about, photometric):
    """A TIFF with these tags, what it says of how it was taken hung behind the pixels."""
    texts = {271: about.make, 272: about.model, 315: about.artist, 33432: about.copyright}
    first = [(tag, 2, 0, text.encode()) for tag, text in texts.items() if text]
    first += [(274, 3, 1, about.orientation)]
    pointers = [(tag - 1, 4, 1, 0) for tag in POINTERS]  # tifffile keeps these tags for itself: renamed below
    extratags = [(*tag, True) for tag in [*first, *tags, *pointers]]
    with Path(path).open("wb") as file:
        tifffile.imwrite(file, pixels, photometric=photometric, extratags=extratags, metadata=None)
    data = bytearray(Path(path).read_bytes())
    photo = len(data) + len(data) % 2
    data = data.ljust(photo, b"\0") + directory(_photo(about), photo)
    place = len(data) + len(data) % 2
    data = data.ljust(place, b"\0") + directory(_place(about), place)
    Path(path).write_bytes(data)
    with tifffile.TiffFile(path) as file:
        places = [file.pages[0].tags[tag - 1].offset for tag in POINTERS]
    for tag, at, where in zip(POINTERS, places, (photo, place), strict=True):
        struct.pack_into("<HHII", data, at, tag, 4, 1, where)
    Path(path).write_bytes(data)


def _photo(about):
    numbers = {33434: about.exposure, 33437: about.aperture, 37386: about.focal_length}
    entries = [(tag, 5, struct.pack("<2I", *_pairs([number]))) for tag, number in numbers.items() if number is not None]
    texts = {36867: about.taken, 37521: about.fraction, 42036: about.lens}
    entries += [(tag, 2, text.encode() + b"\0") for tag, text in texts.items() if text]
    return entries + ([(34855, 3, struct.pack("<H", int(about.iso)))] if about.iso is not None else [])


def _place(about):
    for tag, value in about.gps.items():
        if isinstance(value, str):
            yield tag, 2, value.encode() + b"\0"
        elif isinstance(value, bytes):
            yield tag, 1, value
        else:
            yield tag, 5, b"".join(struct.pack("<2I", *pair) for pair in value)


def directory(entries, at, *, order="<"):
    """A TIFF directory that lies at `at`: entries are (tag, type, bytes)."""
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 13: 4}
    entries = sorted(entries)
    table, behind = struct.pack(order + "H", len(entries)), b""
    end = at + 2 + 12 * len(entries) + 4
    for tag, kind, data in entries:
        table += struct.pack(order + "HHI", tag, kind, len(data) // sizes[kind])
        if len(data) <= 4:
            table += data.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", end + len(behind))
            behind += data + b"\0" * (len(data) % 2)
    return table + bytes(4) + behind


def raf(path, mosaic, *, black=1022, gains=(604, 302, 483), about=ABOUT):
    """An uncompressed Fuji X-Trans file: a JPEG with its EXIF, a header, the mosaic in a TIFF of its own."""
    height, width = mosaic.shape
    jpeg = _jpeg(about)
    letters = bytes(reversed(sum(X_TRANS, ())))
    records = [
        (0x100, struct.pack(">2H", height, width)),
        (0x121, struct.pack(">2H", height, width)),
        (0x130, bytes((12, 12, 0, 0))),
        (0x131, letters),
        (0x2FF0, struct.pack(">4H", gains[1], gains[0], gains[1], gains[2])),
    ]
    header = struct.pack(">I", len(records)) + b"".join(struct.pack(">2H", tag, len(d)) + d for tag, d in records)
    pixels = 2048
    levels, balance = struct.pack("<36I", *([black] * 36)), struct.pack("<3I", gains[1], gains[0], gains[2])
    numbers = {0xF001: width, 0xF002: height, 0xF003: 14, 0xF007: pixels, 0xF008: height * width * 2}
    inner = [(tag, 4, struct.pack("<I", number)) for tag, number in numbers.items()]
    inner += [(0xF00A, 4, levels), (0xF00D, 4, balance), (0xF00E, 4, balance)]
    body = b"II*\0" + struct.pack("<I", 8) + directory([(0xF000, 13, struct.pack("<I", 26))], 8) + directory(inner, 26)
    body = body.ljust(pixels, b"\0") + mosaic.astype("<u2").tobytes()
    parts, at, places = [jpeg, header, body], 160, []
    data = b""
    for part in parts:
        places += [at + len(data), len(part)]
        data += part + b"\0" * (-len(part) % 16)
    head = (
        b"FUJIFILMCCD-RAW 0201FF000000" + b"X-T2".ljust(32, b"\0") + b"0100" + bytes(20) + struct.pack(">6I", *places)
    )
    Path(path).write_bytes(head.ljust(at, b"\0") + data)


def _jpeg(about):
    exif = Image.Exif()
    exif.endian = "<"  # LibRaw goes on to read the pixels in the same order
    exif.update({271: "FUJIFILM", 272: "X-T2", 274: about.orientation})
    photo = {33434: about.exposure, 34855: int(about.iso or 0), 36867: about.taken, 42036: about.lens}
    exif.get_ifd(34665).update({tag: value for tag, value in photo.items() if value})
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG")
    block = exif.tobytes()  # cameras put it first, where LibRaw looks for it
    start = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    return start + file.getvalue()[2:]


def _pairs(numbers):
    pairs = [Fraction(number).limit_denominator(1_000_000) for number in numbers]
    return tuple(part for pair in pairs for part in (pair.numerator, pair.denominator))


def retell(path, *, height, width):
    """Let the header of a TIFF-like file tell of another size; its pixels stay."""
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages[0].tags
        places = [(tags[tag].offset, size) for tag, size in ((256, width), (257, height), (278, height))]
    data = bytearray(Path(path).read_bytes())
    for at, size in places:
        struct.pack_into("<HII", data, at + 2, 4, 1, size)
    Path(path).write_bytes(data)
