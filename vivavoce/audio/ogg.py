"""Ogg pages (RFC 3533): their checksum, and files whose bytes do not change from run to run."""

from __future__ import annotations

import zlib

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def page_checksum(page: bytes) -> int:
    """Return the checksum of an Ogg page whose checksum field holds zeros.

    Ogg uses the polynomial 0x04C11DB7, most significant bit first, starting at 0. That is zlib's CRC-32 with the bits
    of each byte and of the result reversed.
    """
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)


def with_serial(sound: bytes, serial: int = 1) -> bytes:
    """Return an Ogg file of one stream with a fixed serial number; libsndfile draws a random one."""
    pages, at = [], 0
    while at < len(sound):
        segments = sound[at + 26]
        end = at + 27 + segments + sum(sound[at + 27 : at + 27 + segments])
        page = bytearray(sound[at:end])
        page[14:18] = serial.to_bytes(4, "little")
        page[22:26] = bytes(4)
        page[22:26] = page_checksum(bytes(page)).to_bytes(4, "little")
        pages.append(page)
        at = end
    return b"".join(pages)
