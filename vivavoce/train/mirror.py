"""Copies of a run's checkpoints at a URL that fsspec reaches, so that a run can resume on another machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

from vivavoce.audio.files import part_file
from vivavoce.data.fetch import filesystem, reason

FILES = ("recipe.json", "log.jsonl", "checkpoints/best.pt")  # of OUT, beside the newest checkpoints


class Mirror:
    """The folder at `url`: the newest `keep` checkpoints of the run in `out`, and what they need.

    Raises ValueError for a URL that cannot be used.
    """

    def __init__(self, url: str, out: Path, keep: int) -> None:
        if "://" not in url:
            raise ValueError(f"checkpoints is {url!r}; it must be a URL such as s3://bucket/run")
        self.url, self.out, self.keep = url.rstrip("/"), out, keep
        self.store, root = filesystem(self.url)
        self.root = root.rstrip("/")

    def restore(self) -> int | None:
        """Copy the newest checkpoint to `out` if that has none as new, and return its step; None: nothing to do.

        Raises ValueError if the store fails: starting over would hide that.
        """
        stored, local = self._steps(), sorted((self.out / "checkpoints").glob("step-*.pt"))
        if not stored or (local and local[-1].name >= stored[-1]):
            return None
        newest = stored[-1]
        try:
            for name in FILES:
                with contextlib.suppress(FileNotFoundError):
                    self._get(name)
            self._get(f"checkpoints/{newest}")
        except Exception as error:  # each file system has its own
            raise ValueError(f"{self.url}/checkpoints/{newest}: cannot be read ({reason(error)})") from None
        return int(newest.removeprefix("step-").removesuffix(".pt"))

    def save(self) -> str:
        """Copy what is new in `out`, and delete old checkpoints. Returns the reason if the store fails, else ""."""
        local = sorted((self.out / "checkpoints").glob("step-*.pt"))
        try:
            self.store.makedirs(f"{self.root}/checkpoints", exist_ok=True)
            for name in FILES:
                if (self.out / name).exists():
                    self.store.put_file(str(self.out / name), f"{self.root}/{name}")
            for path in local[-1:]:
                self.store.put_file(str(path), f"{self.root}/checkpoints/{path.name}")
            for old in self._steps()[: -self.keep]:
                self.store.rm_file(f"{self.root}/checkpoints/{old}")
        except Exception as error:
            return f"{self.url}: the checkpoint was not copied ({type(error).__name__}: {reason(error)})"
        return ""

    def _steps(self) -> list[str]:
        """Return the names of the stored checkpoints, oldest first. Raises ValueError if they cannot be listed."""
        self.store.invalidate_cache()
        try:
            found = self.store.ls(f"{self.root}/checkpoints", detail=False)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise ValueError(f"{self.url}: cannot be listed ({type(error).__name__}: {reason(error)})") from None
        names = (str(path).rpartition("/")[2] for path in found)
        return sorted(name for name in names if name.startswith("step-") and name.endswith(".pt"))

    def _get(self, name: str) -> None:
        if not self.store.exists(f"{self.root}/{name}"):
            raise FileNotFoundError(name)
        target = self.out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with part_file(target) as part:
            self.store.get_file(f"{self.root}/{name}", str(part))
