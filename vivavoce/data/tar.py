"""Tar shards: written atomically, read sample by sample. Knows nothing about what the samples mean.

A sample is a run of files KEY.EXTENSION in the tar, as in WebDataset: the key ends at the first dot of the file's name.
The same samples give the same bytes, whenever and wherever they are written.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from vivavoce.audio.files import part_name, put

Files = dict[str, bytes]  # extension -> content, of one sample
LARGEST_MEMBER = 1 << 30  # bytes; a damaged header may claim any size


class DamagedShard(ValueError):
    """A tar that cannot be read to its end. The samples before the damage are good."""


class Sample(NamedTuple):
    """One sample of a tar."""

    key: str
    files: Files  # extensions in lower case
    end: int  # bytes of the (uncompressed) tar up to the end of the sample


class ShardWriter:
    """A tar that gets its final name only when it is complete. Raises OSError if the disk is full or read-only.

    work: the folder of the unfinished file, on the file system of `target`; None: beside it.
    """

    def __init__(self, target: Path, work: Path | None = None) -> None:
        self.target, self.count, self.size = target, 0, 0  # samples, bytes of their files
        self._part = part_name((work or target.parent) / target.name)
        # Plain names have USTAR headers, others a PAX one. Neither depends on the machine.
        self._tar = tarfile.open(self._part, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def add(self, key: str, files: Files) -> None:
        """Append a sample."""
        with self._named():
            for extension, content in files.items():
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size = len(content)
                self._tar.addfile(member, io.BytesIO(content))
                self.size += len(content)
        self.count += 1

    def close(self) -> None:
        """Finish the tar and give it its final name."""
        with self._named():
            self._tar.close()
            with open(self._part, "rb+") as file:
                os.fsync(file.fileno())
            put(self._part, self.target)

    def discard(self) -> None:
        """Delete the unfinished file."""
        with contextlib.suppress(OSError):  # flushing may find the disk full
            self._tar.close()
        self._part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Put the file's name into the system's errors."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(self.target)) from None


class _Member(tarfile.TarInfo):
    """A member whose header must be valid: tarfile takes any damaged header but the first for the end of the tar."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Member:
        at = tar.offset  # type: ignore[attr-defined]
        try:
            member = super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # a block of zeros: the end
            _check_end(tar.fileobj, at)  # type: ignore[arg-type]
            raise
        except tarfile.HeaderError as error:
            if at == 0:
                raise
            early = isinstance(error, tarfile.EmptyHeaderError)  # type: ignore[attr-defined]
            what = "the end-of-archive blocks are missing" if early else str(error)
            raise DamagedShard(f"{what} at byte {at}") from None
        if member.size > LARGEST_MEMBER:
            raise DamagedShard(f"the header at byte {at} claims {member.size} bytes")
        return member  # type: ignore[return-value]


def _check_end(stream: IO[bytes], at: int) -> None:
    """Raise DamagedShard if the block of zeros at byte `at` is not the first of two with nothing but zeros after them.

    Damage can put zeros where a header should be. Tarfile stops there, and the members that follow would be lost.
    """
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # type: ignore[attr-defined]
        raise DamagedShard(f"a single block of zeros at byte {at}, where a header or the end should be")
    while rest := stream.read(1 << 16):
        if rest.strip(b"\0"):
            raise DamagedShard(f"more data after the end-of-archive blocks at byte {at}")


def read_tar(stream: IO[bytes]) -> Iterator[Sample]:
    """Yield the samples of a tar, which may be compressed, from a stream that need not be seekable.

    Raises DamagedShard, after what can be read, for a header or a compression that is damaged, and for a tar that ends
    early. The message says where.
    """
    try:
        tar = tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Member)  # noqa: SIM115 (closed below)
    except DamagedShard as error:
        raise DamagedShard(f"damaged: {error}") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DamagedShard(f"not a tar file ({error})") from None
    key, files, end = "", Files(), 0
    try:
        with tar:
            for member in tar:
                tar.members.clear()  # type: ignore[attr-defined]  # or the headers of a large tar fill the memory
                name = _sample_name(member)
                if name is None:
                    continue
                this, extension = name
                if files and (this != key or extension in files):
                    yield Sample(key, files, end)
                    files = {}
                file = tar.extractfile(member)
                assert file is not None  # a regular member has content
                key, files[extension] = this, file.read()
                end = member.offset_data + member.size
    except (DamagedShard, tarfile.TarError, EOFError, zlib.error) as error:
        if files:
            yield Sample(key, files, end)
        where = "" if isinstance(error, DamagedShard) else f" after byte {end}"
        raise DamagedShard(f"damaged: {error}{where}") from None
    if files:
        yield Sample(key, files, end)


def read_shard(path: Path) -> Iterator[Sample]:
    """Yield the samples of a tar file. Raises DamagedShard, naming it, as `read_tar`; OSError if it does not open."""
    try:
        with open(path, "rb") as stream:
            yield from read_tar(stream)
    except DamagedShard as error:
        raise DamagedShard(f"{path}: {error}") from None


def _sample_name(member: tarfile.TarInfo) -> tuple[str, str] | None:
    """Return a member's key and extension, None for what belongs to no sample."""
    if not member.isfile():
        return None
    folder, _, name = member.name.removeprefix("./").rpartition("/")
    stem, _, extension = name.partition(".")
    if not stem or not extension:
        return None
    return (f"{folder}/{stem}" if folder else stem), extension.lower()
