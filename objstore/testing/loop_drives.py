"""Directories that fail as drives do: each is an ext4 filesystem of its own, in a file, behind a loop device.

    with LoopDrives(base, count=6) as drives:
        drives.freeze(0)        # every write and every fsync hangs in the kernel, for good
        drives.thaw(0)

Nothing here is simulated: the kernel gives the errors. It takes root, loop devices and the tools of ext4; `why_not` says
what is missing. Leaving the block thaws, unmounts and detaches everything, whatever the test did.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Collection
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Self

__all__ = ["LoopDrives", "why_not"]

_SIZE_MIB: Final = 192
_TOOLS: Final = ("mkfs.ext4", "mount", "umount", "losetup", "fsfreeze", "e2fsck")
_AGAIN_S: Final = 0.05
_FILLER: Final = "somebody-elses-file"


class LoopDrives:
    """Some directories, each the root of a small filesystem."""

    def __init__(self, base: Path, *, count: int, size_mib: int = _SIZE_MIB) -> None:
        self._base = base
        self._size_mib = size_mib
        self._frozen: set[int] = set()
        self.directories = [base / f"d{number}" for number in range(count)]

    def __enter__(self) -> Self:
        try:
            for number, directory in enumerate(self.directories):
                directory.mkdir()
                with self._image(number).open("wb") as image:
                    image.truncate(self._size_mib << 20)
                _run("mkfs.ext4", "-q", "-m0", str(image.name))
                self.mount(number)
                shutil.rmtree(directory / "lost+found")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give everything back."""
        self.thaw_all()
        for directory in self.directories:
            while os.path.ismount(directory):
                _run("umount", "-l", str(directory))

    def mount(self, number: int) -> None:
        """Put the filesystem in its place, as after a repair of the drive."""
        options = "loop,errors=remount-ro"
        _run("mount", "-o", options, str(self._image(number)), str(self.directories[number]))

    def unmount(self, number: int) -> None:
        """Take the filesystem away under those who use it."""
        _run("umount", "-l", str(self.directories[number]))

    def freeze(self, number: int) -> None:
        """Let every write, fsync and new file hang until `thaw`; what is in memory can be read."""
        self._frozen.add(number)
        _run("fsfreeze", "-f", str(self.directories[number]))

    def thaw(self, number: int) -> None:
        """Let go on what hangs."""
        self._frozen.discard(number)
        _run("fsfreeze", "-u", str(self.directories[number]))

    def thaw_all(self) -> None:
        """Let go on whatever hangs."""
        for number in sorted(self._frozen):
            self.thaw(number)

    def fail_read_only(self, number: int) -> None:
        """Report an error to the filesystem, which makes itself read-only: what a drive does that goes bad."""
        device = self._device(number)
        Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error").write_text("1")

    def repair(self, number: int) -> None:
        """Check a filesystem that failed, and mount it again. Whoever had files open in it must have let go."""
        _run("umount", str(self.directories[number]), tries=100)
        _run("e2fsck", "-fy", str(self._image(number)), well=(0, 1))
        self.mount(number)

    def fill(self, number: int, *, leaving_bytes: int = 0) -> None:
        """Take all of the room but that much."""
        directory = self.directories[number]
        with (directory / _FILLER).open("ab", buffering=0) as file:
            size = 1 << 20
            while size >= 512:
                status = os.statvfs(directory)
                if leaving_bytes and status.f_bavail * status.f_frsize < leaving_bytes + size:
                    size //= 2
                    continue
                try:
                    file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def make_room(self, number: int) -> None:
        """Give the room back."""
        (self.directories[number] / _FILLER).unlink()

    def wipe(self, number: int) -> None:
        """Remove everything in the directory, as a person with a wrong command does."""
        for entry in list(self.directories[number].iterdir()):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)

    def _image(self, number: int) -> Path:
        return self._base / f"d{number}.img"

    def _device(self, number: int) -> str:
        listed = _run("losetup", "-n", "-O", "NAME", "-j", str(self._image(number)))
        return listed.split()[0]


@cache
def why_not() -> str:
    """Return why drives cannot be made on this machine; empty where they can."""
    if os.geteuid() != 0:
        return "it takes root"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    with TemporaryDirectory() as base:
        try:
            with LoopDrives(Path(base), count=1, size_mib=16):
                return ""
        except (OSError, subprocess.SubprocessError) as error:
            return f"no loop mounts: {error}"


def _run(*command: str, tries: int = 1, well: Collection[int] = (0,)) -> str:
    for left in reversed(range(tries)):
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)  # noqa: S603 - no input of others
        if done.returncode in well:
            return done.stdout
        if not left:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
        time.sleep(_AGAIN_S)  # whoever still uses it lets go soon
    return ""
