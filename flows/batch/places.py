"""Where a job's files are, here or in a bucket: found, read, and written whole or not at all.

What was found here is opened by its real path, and no link on the way is followed: whoever swaps one in after a place
was allowed has nothing read and nothing written elsewhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

import pyarrow as pa
from pyarrow import fs

from flows.batch.errors import BatchRefused
from service.files import replace, replacing
from service.s3 import arrow_options

TABLES: Final = (".csv", ".tsv", ".tab", ".parquet", ".jsonl", ".ndjson", ".xlsx", ".xlsm", ".zip", ".gz")
"""What is taken from a folder, in any case; a file that is named itself may have any name: its content decides."""
REFUSED_ROWS: Final = ".refused.csv"
BUCKET_SCHEME: Final = "s3://"
_DESCRIPTORS: Final = Path("/proc/self/fd")
"""A file or folder that is open, by its number, whatever its name is worth by now."""
_PASS: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without blocking: a pipe in a file's place keeps nobody waiting.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class ResultPlace(NamedTuple):
    """A folder or file, here or in a bucket, as Arrow reaches it."""

    system: fs.FileSystem
    path: str

    @classmethod
    def of(cls, address: str) -> ResultPlace:
        """What `address` names: a path, or s3://bucket/key by the usual AWS variables of this process."""
        if not address.startswith(BUCKET_SCHEME):
            return cls(fs.LocalFileSystem(), os.path.abspath(address))
        return cls(fs.S3FileSystem(**arrow_options(os.environ)), address.removeprefix(BUCKET_SCHEME))

    def at(self, name: str) -> ResultPlace:
        """What is called `name` in here."""
        return ResultPlace(self.system, f"{self.path.rstrip('/')}/{name}")

    def names(self) -> set[str]:
        """Names of the files in here; none if the folder does not exist."""
        infos = self.system.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return {info.base_name for info in infos if info.is_file}

    def read(self) -> bytes:
        """The bytes of the file."""
        with self.system.open_input_stream(self.path) as file:
            return bytes(file.read())

    def write(self, content: bytes | pa.Buffer) -> None:
        """Put the file there whole or not at all: an object appears when it is complete, a file is renamed."""
        if not isinstance(self.system, fs.LocalFileSystem):
            with self.system.open_output_stream(self.path) as stream:
                stream.write(content)
            return
        replace(Path(self.path), memoryview(content))

    @contextmanager
    def writing(self) -> Iterator[IO[bytes]]:
        """A stream of bytes; the file is there when the block ends well."""
        if not isinstance(self.system, fs.LocalFileSystem):
            with self.system.open_output_stream(self.path) as stream:
                yield stream
            return
        # pylint: disable-next=contextmanager-generator-missing-cleanup  # files.replacing ends what is begun here
        with replacing(Path(self.path)) as draft:
            with draft.open("r+b") as file:
                yield file


class Source(NamedTuple):
    """One file of a job: where, how large, and when it changed."""

    address: str
    size_bytes: int
    modified_ns: int
    path: str = ""  # where it really was when it was found, its links followed; empty in a bucket

    @contextmanager
    def opened(self) -> Iterator[ResultPlace]:
        """The file as long as the block lasts, by whatever name.

        Raises:
            OSError: it is not there as it was found: another kind of file, or a link on its way.
        """
        if not self.path:
            yield ResultPlace.of(self.address)
            return
        place, name = os.path.split(self.path)
        here = _passed(place)
        try:
            descriptor = os.open(name, _READ, dir_fd=here)
        finally:
            os.close(here)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("what was a file is none")
            yield ResultPlace(fs.LocalFileSystem(), _open_path(descriptor, self.path))
        finally:
            os.close(descriptor)


def real(address: str) -> str:
    """The address with its links followed, as it is opened: `a/link/../b` is `a/b`, wherever the link leads."""
    return address if address.startswith(BUCKET_SCHEME) else os.path.realpath(os.path.abspath(address))


@contextmanager
def folder(address: str) -> Iterator[ResultPlace]:
    """A folder for results, made where it is missing; what is written in the block is written there.

    Args:
        address: from `real`, so that no link is on the way, or of a bucket.

    Raises:
        OSError: it cannot be made, or there is a link on the way.
    """
    if address.startswith(BUCKET_SCHEME):
        yield ResultPlace.of(address)
        return
    descriptor = _passed(address, make=True)
    try:
        yield ResultPlace(fs.LocalFileSystem(), _open_path(descriptor, address))
    finally:
        os.close(descriptor)


def _passed(path: str, *, make: bool = False) -> int:
    """Descriptor of a folder that was reached name by name, so that no link was followed."""
    here = os.open("/", _PASS)
    for name in filter(None, path.split("/")):
        try:
            inside = _inside(here, name, make=make)
        finally:
            os.close(here)
        here = inside
    return here


def _inside(here: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _PASS, dir_fd=here)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # another worker was quicker
        os.mkdir(name, dir_fd=here)
    return os.open(name, _PASS, dir_fd=here)


def _open_path(descriptor: int, path: str) -> str:
    """How Arrow reaches what is open: by the descriptor, or where the system shows none, by the path just looked at."""
    return str(_DESCRIPTORS / str(descriptor)) if _DESCRIPTORS.is_dir() else path


def sources(address: str) -> list[Source]:
    """The files at `address`: itself, or all of a known kind below it, in order of their names.

    Raises:
        BatchRefused: there is none, or the address cannot be reached.
    """
    place = ResultPlace.of(address)
    try:
        info = place.system.get_file_info(place.path)
        if info.type is fs.FileType.NotFound:
            raise BatchRefused(f"there is no file {address}: give a table, a folder or s3://bucket/prefix")
        entries = [info] if info.is_file else place.system.get_file_info(fs.FileSelector(place.path, recursive=True))
    except OSError as error:
        raise BatchRefused(f"{address} cannot be reached: {system_words(error)}; check address and rights") from error
    scheme = BUCKET_SCHEME if address.startswith(BUCKET_SCHEME) else ""
    files = [
        Source(scheme + one.path, one.size, one.mtime_ns, "" if scheme else real(one.path))
        for one in sorted(entries, key=lambda one: str(one.path))
        if one.is_file and (info.is_file or _is_table(one.path.removeprefix(place.path)))
    ]
    if not files:
        raise BatchRefused(f"{address} holds no table: its name ends in {', '.join(TABLES)}")
    return files


def changed(files: Sequence[Source]) -> bool:
    """True if a file is no longer as it was when the job began."""
    for one in files:
        try:
            with one.opened() as place:
                info = place.system.get_file_info(place.path)
        except OSError:
            return True
        if not info.is_file or (info.size, info.mtime_ns) != (one.size_bytes, one.modified_ns):
            return True
    return False


def short(address: str) -> str:
    """The file's own name, for messages."""
    return address.rpartition("/")[2]


def system_words(error: OSError) -> str:
    """What the system says of a failure to read or write, in its own words; never a part of a file."""
    return error.strerror or next(iter(str(error).splitlines()), "") or "the system gives no reason"


def _is_table(path: str) -> bool:
    """True if a file below a folder is input: programs hide their own files or folders."""
    *folders, name = path.strip("/").split("/")
    hidden = name.startswith((".", "_", "~")) or any(folder.startswith(".") for folder in folders)
    return name.lower().endswith(TABLES) and not hidden and not name.endswith(REFUSED_ROWS)
