"""Makes an installed environment smaller for an image: no tests of libraries, no debug sections in shared objects.

    python requirements/slim.py ENVIRONMENT
    python requirements/slim.py --files FOLDER     # shared objects alone

What is taken out is never read while a node runs: the tests that wheels bring along, what builds C extensions, and the
part of a shared object after its last segment. A loader maps segments alone (ELF specification, program header); the
section table and the debug sections at the end of the file are for linkers and debuggers.
"""

import shutil
import struct
import sys
from pathlib import Path

NEVER_IMPORTED = (
    "numpy/**/tests",
    "numpy/f2py",
    "numpy/distutils",
    "numpy/_core/include",
    "numpy/_core/lib",
    "sqlalchemy/testing",
    "certifi/tests",
    "zstandard/_cffi*.so",  # the other backend is the one that CPython gets
)


def slim(packages: Path) -> int:
    """Take out what is never read below a folder of packages; the bytes that this saved."""
    before = _size(packages)
    for pattern in NEVER_IMPORTED:
        for path in list(packages.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    without_sections(packages)
    return before - _size(packages)


def without_sections(folder: Path) -> None:
    """Cut every shared object below a folder after its last segment."""
    for path in folder.rglob("*.so*"):
        if path.is_file() and not path.is_symlink():
            _cut(path)


def _cut(path: Path) -> None:
    """Cut a 64-bit little-endian ELF file after its last segment, and have it name no section."""
    data = bytearray(path.read_bytes())
    if data[:6] != b"\x7fELF\x02\x01":
        return
    table, size, count = (struct.unpack_from(form, data, at)[0] for form, at in (("<Q", 32), ("<H", 54), ("<H", 56)))
    ends = [table + size * count]
    for number in range(count):
        offset, _, _, in_file = struct.unpack_from("<4Q", data, table + size * number + 8)
        ends.append(offset + in_file)
    struct.pack_into("<Q", data, 40, 0)  # e_shoff
    struct.pack_into("<HH", data, 60, 0, 0)  # e_shnum, e_shstrndx
    path.write_bytes(data[: max(ends)])


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


if __name__ == "__main__":
    if sys.argv[1] == "--files":
        without_sections(Path(sys.argv[2]))
    else:
        for found in Path(sys.argv[1]).glob("lib/python3.*/site-packages"):
            print(f"{slim(found) / 1e6:.0f} MB taken out of {found}")
