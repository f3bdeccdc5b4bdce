"""What is installed: the wheel holds the whole package and nothing else, and the papers agree with each other."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_WHEEL_BYTES = 100_000_000
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    wheels = pytest.importorskip("hatchling.builders.wheel")
    builder = wheels.WheelBuilder(str(root))
    return Path(next(builder.build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])))


@pytest.fixture(scope="module")
def constraints(root: Path) -> list[Requirement]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def test_wheel_holds_every_file_of_the_package_and_nothing_else(root: Path, wheel: Path) -> None:
    package = root / "vivavoce"
    expected = {
        path.relative_to(root).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected
    assert "vivavoce/py.typed" in found


def test_wheel_is_small_enough(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_WHEEL_BYTES


def test_wheel_has_the_command_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        points = next(n for n in names if n.endswith(".dist-info/entry_points.txt"))
        assert "vivavoce = vivavoce.cli.main:main" in archive.read(points).decode()
        licence = next(n for n in names if n.endswith("/LICENSE"))
        assert archive.read(licence).decode().startswith("MIT License")


def test_every_file_of_weights_has_its_model_card(root: Path) -> None:
    """Weights without a word on what they were trained on must not ship."""
    assets = root / "vivavoce" / "assets"
    folders = {path.parent for path in assets.rglob("*.safetensors")} - {assets / "voices"}  # recordings, not weights
    assert folders
    for folder in sorted(folders):
        assert (folder / "MODEL_CARD.md").is_file(), f"{folder.relative_to(root)} has weights but no MODEL_CARD.md"


def test_changelog_has_this_version(root: Path, project: dict[str, Any]) -> None:
    version = re.escape(project["project"]["version"])
    assert re.search(rf"^## {version}\b", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)


def test_stated_pythons_are_those_of_requires_python(project: dict[str, Any]) -> None:
    stated = {c.rsplit(" ", 1)[1] for c in project["project"]["classifiers"] if re.search(r"Python :: 3\.\d", c)}
    assert stated == set(PYTHONS)
    assert project["project"]["requires-python"] == ">=3.10,<3.14"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_every_dependency_is_pinned_once_within_its_bounds(
    project: dict[str, Any], constraints: list[Requirement], python: str, system: str
) -> None:
    where = {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": system}

    def applies(marker: Marker | None) -> bool:
        return marker is None or marker.evaluate(where)

    pins: dict[str, str] = {}
    for pin in constraints:
        if applies(pin.marker):
            name = canonicalize_name(pin.name)
            assert name not in pins, f"{pin.name} is pinned twice for Python {python} on {system}"
            (only,) = pin.specifier
            assert only.operator == "=="
            pins[name] = only.version
    extras = project["project"]["optional-dependencies"].values()
    for text in [*project["project"]["dependencies"], *(t for extra in extras for t in extra)]:
        needed = Requirement(text)
        if needed.name == "vivavoce":  # an extra that contains another
            continue
        if applies(needed.marker):
            name = canonicalize_name(needed.name)
            assert name in pins, f"constraints.txt has no {needed.name} for Python {python} on {system}"
            assert pins[name] in needed.specifier, f"{needed.name} {pins[name]} is not {needed.specifier}"


def test_a_cpu_build_of_torch_satisfies_its_pin(constraints: list[Requirement]) -> None:
    (pin,) = [c for c in constraints if c.name == "torch"]
    version = next(iter(pin.specifier)).version
    assert f"{version}+cpu" in pin.specifier
