"""Tar shards, written whole and read sample by sample. Knows nothing about what the samples mean.

A sample is the files KEY.EXTENSION that stand together in the tar, as WebDataset has it: the key ends at the first dot
of the file's name. The same samples give the same bytes, whenever and wherever they are written.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

Files = dict[str, bytes]  # extension → content, of one sample


class DamagedShard(ValueError):
    """A tar that cannot be read to its end; what came before is good."""


class ShardWriter:
    """A tar that has its final name only when it is whole. Raises OSError where the disk is full or not writable."""

    def __init__(self, target: Path, work: Path) -> None:
        self.target, self.count, self.size = target, 0, 0  # samples, bytes of their files
        self._part = work / f"{target.name}.part"
        # plain names stay USTAR headers, others get a PAX one; nothing in either depends on the machine
        self._tar = tarfile.open(self._part, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def add(self, key: str, files: Files) -> None:
        with self._named():
            for extension, content in files.items():
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size = len(content)
                self._tar.addfile(member, io.BytesIO(content))
                self.size += len(content)
        self.count += 1

    def close(self) -> None:
        """Finish the tar and give it its name."""
        with self._named():
            self._tar.close()
            with open(self._part, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(self._part, self.target)

    def discard(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError):  # what is still buffered may find the disk full, too
            self._tar.close()
        self._part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """The system's errors with the file's name in them."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(self.target)) from None


def read_shard(path: Path) -> Iterator[tuple[str, Files, float]]:
    """Each sample's key, files (extensions in lower case) and the part of the tar that was read by then, 0 to 1.

    Raises DamagedShard, after what can be read, where the tar is broken; OSError where it cannot be opened.
    """
    size = max(1, path.stat().st_size)
    key, files, done = "", Files(), 0.0
    try:
        with tarfile.open(path, "r:*") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                folder, _, name = member.name.removeprefix("./").rpartition("/")
                stem, _, extension = name.partition(".")
                extension = extension.lower()
                if not stem or not extension:
                    continue
                this = f"{folder}/{stem}" if folder else stem
                if files and (this != key or extension in files):
                    yield key, files, done
                    files = {}
                file = tar.extractfile(member)
                assert file is not None  # a regular member has content
                key, files[extension] = this, file.read()
                done = min(1.0, (member.offset_data + member.size) / size)
                tar.members.clear()  # type: ignore[attr-defined]  # else each header of a large tar stays in memory
    except (tarfile.TarError, EOFError, zlib.error) as error:
        if files:
            yield key, files, done
        raise DamagedShard(f"{path}: damaged ({error})") from None
    if files:
        yield key, files, done


# ---- Ogg ------------------------------------------------------------------------------------------------------------

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_crc(data: bytes) -> int:
    """The checksum of an Ogg page (RFC 3533: polynomial 0x04C11DB7, most significant bit first, starting at 0).

    It is zlib's with the bits of each byte and of the result turned round.
    """
    crc = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)


def fixed_ogg(sound: bytes, serial: int = 1) -> bytes:
    """An Ogg file with one stream, under a serial number that is not, as libsndfile makes it, random."""
    pages, at = [], 0
    while at < len(sound):
        segments = sound[at + 26]
        end = at + 27 + segments + sum(sound[at + 27 : at + 27 + segments])
        page = bytearray(sound[at:end])
        page[14:18] = serial.to_bytes(4, "little")
        page[22:26] = bytes(4)  # the checksum is taken with its own place at zero
        page[22:26] = _ogg_crc(bytes(page)).to_bytes(4, "little")
        pages.append(page)
        at = end
    return b"".join(pages)
