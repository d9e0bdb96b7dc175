"""What a file is that is not read: called by its name, with the way to convert it."""

from typing import IO, Optional, Tuple

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from cellgan_plugin.datasets.image_damage import jpeg_frame, unreadable_jpeg

_COMPRESSIONS = {
    1: 'none', 2: 'CCITT', 3: 'CCITT G3', 4: 'CCITT G4', 5: 'LZW', 6: 'old-style JPEG', 7: 'JPEG',
    8: 'Deflate', 32773: 'PackBits', 32946: 'Deflate', 33003: 'JPEG 2000 (Aperio)',
    33004: 'JPEG 2000 (Aperio)', 33005: 'JPEG 2000 (Aperio)', 34712: 'JPEG 2000',
    34887: 'LERC', 34892: 'lossy JPEG (DNG)', 34925: 'LZMA', 34933: 'PNG', 34934: 'JPEG XR',
    50000: 'Zstandard', 50001: 'WebP', 50002: 'JPEG XL', 52546: 'JPEG XL', 22610: 'JPEG XR',
}  # fmt: skip
_USUAL = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000}
LOSSY_COMPRESSIONS = {6, 7, 33003, 33004, 33005, 34712, 34892, 22610, 34934, 50001, 50002, 52546}
_KINDS_OF_NUMBERS = {1: 'unsigned', 2: 'signed', 3: 'float', 5: 'complex', 6: 'complex float'}


def _tiff_tags(file: IO[bytes]) -> Optional[dict]:
    """Tags of the first image of a TIFF that need not be readable otherwise."""
    file.seek(0)
    start = file.read(8)
    if start[:4] not in (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'):
        return None
    if start[2] == 43 or start[3] == 43:
        start += file.read(8)
    try:
        tags = ImageFileDirectory_v2(start)
        file.seek(tags.next)
        tags.load(file)
        found = dict(tags)
        return found if {256, 257} <= found.keys() else None
    except Exception:  # of a damaged directory; what Pillow says of it is what is told
        return None


def _largest(value: object) -> int:
    return max(value, default=1) if isinstance(value, tuple) else value


def compression_name(number: int) -> str:
    """What a number in a TIFF's compression tag stands for."""
    return _COMPRESSIONS.get(number, f'unknown ({number})')


def unreadable_tiff(file: IO[bytes]) -> Optional[Tuple[str, str]]:
    """Kind and reason for a TIFF that Pillow does not read, or None when it is no TIFF."""
    tags = _tiff_tags(file)
    if tags is None:
        return None
    compression = tags.get(259, 1)
    bits = _largest(tags.get(258, 1))
    numbers = _KINDS_OF_NUMBERS.get(_largest(tags.get(339, 1)), 'unknown')
    what = [f'{tags.get(277, 1)} x {bits}-bit {numbers} numbers']
    if compression != 1:
        what.append(f'{compression_name(compression)} compression')
    if compression in _USUAL and bits <= 16 and numbers == 'unsigned':
        return 'unreadable', (
            f'is a TIFF of {" in ".join(what)}, and its other tags are damaged or unknown. Copy it '
            'again, or save it anew as 8-bit RGB or grey'
        )
    return (
        'TIFF contents',
        f'is a TIFF of {" in ".join(what)}, which is not read. Convert it to 8-bit RGB or grey '
        'without loss: `pip install tifffile imagecodecs`, then '
        '`tifffile.imwrite("out.tif", tifffile.imread("in.tif"))`; of more than 8 bits or floats '
        'choose yourself which range becomes 0..255',
    )


FORMATS_TEXT = 'JPEG, PNG, BMP, TIFF or WebP'
# What lies in folders of images under other names: its first bytes, where they stand, its name.
_READ = {
    b'\xff\xd8\xff': 'JPEG', b'\x89PNG': 'PNG', b'BM': 'BMP', b'RIFF': 'WebP', b'II*\0': 'TIFF',
    b'MM\0*': 'TIFF',
}  # fmt: skip
_OTHERS = (
    (b'\0\0\0\x0cjP  ', 0, 'JPEG 2000; convert it to PNG'),
    (b'\xff\x4f\xff\x51', 0, 'JPEG 2000; convert it to PNG'),
    (b'ftyphei', 4, 'HEIC (of a phone); convert it to PNG'),
    (b'ftypavif', 4, 'AVIF; convert it to PNG'),
    (b'GIF8', 0, 'GIF; convert it to PNG'),
    (b'8BPS', 0, 'a Photoshop file; export it as PNG'),
    (b'%PDF', 0, 'a PDF; export its images'),
    (b'<', 0, 'text or a web page: the download failed'),
    (b'version https://git-lfs', 0, 'a pointer of Git LFS: `git lfs pull` gets the image'),
)


def what_it_is(path: str) -> Tuple[str, str]:
    """Kind and reason for a file that Pillow does not take for an image."""
    with open(path, 'rb') as file:
        start = file.read(64)
        kind, reason = unreadable_tiff(file) or ('unreadable', '')
        if start[:3] == b'\xff\xd8\xff':
            file.seek(0)
            frame = jpeg_frame(file.read())
            if frame.variant or frame.bits != 8:
                kind, reason = unreadable_jpeg(frame)
    if not reason:
        named = [name for mark, at, name in _OTHERS if start[at : at + len(mark)] == mark]
        reason = f'is not a {FORMATS_TEXT} image, whatever its name says'
        begun = next((name for mark, name in _READ.items() if start.startswith(mark)), None)
        if named:
            kind, reason = 'format', f'{reason}: it is {named[0]}'
        elif begun:
            reason = f'begins as {begun}, and what follows is damaged. Copy it again'
    return kind, reason
