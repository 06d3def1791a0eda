"""Reads what an ELF file (64 bits, little-endian) asks of the libraries it is linked with; standard library only."""

import struct
from collections import namedtuple
from pathlib import Path

STRINGS, DYNAMIC, DYNSYM, VERSYM, VERNEED = 3, 6, 11, 0x6FFFFFFF, 0x6FFFFFFE
DT_NEEDED = 1

Section = namedtuple("Section", "name type flags address offset size link info align entry")
# library: file that has it; version: such as GLIBC_2.34; index: of its symbols; offset: of this record in the file
Version = namedtuple("Version", "library version index offset")


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(5) == b"\x7fELF\x02"


class ElfFile:
    def __init__(self, path):
        self.path = Path(path)
        self.bytes = bytearray(self.path.read_bytes())
        start, = struct.unpack_from("<Q", self.bytes, 0x28)
        size, count = struct.unpack_from("<HH", self.bytes, 0x3A)
        self.sections = [Section(*struct.unpack_from("<IIQQQQIIQQ", self.bytes, start + i * size)) for i in range(count)]

    def section(self, kind):
        return next((section for section in self.sections if section.type == kind), None)

    def text(self, strings, offset):
        start = strings.offset + offset
        return self.bytes[start:self.bytes.index(0, start)].decode()

    def needed(self):
        """Names of the libraries it is linked with, in the loader's order."""
        dynamic = self.section(DYNAMIC)
        if dynamic is None:
            return []
        entries = struct.iter_unpack("<QQ", self.bytes[dynamic.offset:dynamic.offset + dynamic.size])
        return [self.text(self.sections[dynamic.link], value) for tag, value in entries if tag == DT_NEEDED]

    def versions(self):
        """The versions of symbols that it asks for."""
        found, section = [], self.section(VERNEED)
        at = section.offset if section else 0
        for _ in range(section.info if section else 0):
            _, count, file, first, following = struct.unpack_from("<HHIII", self.bytes, at)
            record = at + first
            for _ in range(count):
                _, _, index, name, step = struct.unpack_from("<IHHII", self.bytes, record)
                strings = self.sections[section.link]
                found.append(Version(self.text(strings, file), self.text(strings, name), index, record))
                record += step
            at += following
        return found

    def symbols_of(self, version):
        """Names of the symbols that it takes in one of those versions."""
        symbols, indices = self.section(DYNSYM), self.section(VERSYM)
        names = []
        for i in range(symbols.size // 24):
            index, = struct.unpack_from("<H", self.bytes, indices.offset + 2 * i)
            if index & 0x7FFF == version.index:
                name, = struct.unpack_from("<I", self.bytes, symbols.offset + 24 * i)
                names.append(self.text(self.sections[symbols.link], name))
        return names

    def ask_for(self, version, other):
        """Asks for the symbols of `version` in the version of `other`, which the file names already; call save()."""
        for field in (0, 8):  # its hash and its name
            start, end = version.offset + field, version.offset + field + 4
            self.bytes[start:end] = self.bytes[other.offset + field:other.offset + field + 4]

    def save(self):
        self.path.write_bytes(self.bytes)
