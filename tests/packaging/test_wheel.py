"""A wheel built from the tree holds what it should, and runs where nothing else of ours is.

The empty environment takes the other packages from the running one by a path file, so that
the test needs no network. Path files in a folder named in that way are not read, so the
editable install of this tree stays invisible there: only the wheel can provide `quickthorn`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("client", "server", "simulations", "strategies")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the tree and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy, so that the tree gets no build folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in (*FOLDERS, "tests"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    run(*pip, "wheel", *options, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the commands' folder of an environment that holds the wheel alone."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, symlinks=os.name != "nt")
    paths = sysconfig.get_paths(scheme="venv", vars={"base": str(folder), "platbase": str(folder)})
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    python = Path(paths["scripts"]) / "python"
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    outer = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (Path(paths["purelib"]) / "outer.pth").write_text("\n".join(outer) + "\n", encoding="utf-8")
    return Path(paths["scripts"])


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        f"quickthorn/{path.relative_to(ROOT).as_posix()}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".css", ".js", ".toml"} or path.name == "py.typed"
    }
    assert names == expected


def test_the_wheel_ships_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_wheel_provides_the_package(empty: Path, folder: str, tmp_path: Path) -> None:
    program = f"import quickthorn.{folder} as package; print(package.__file__)"
    place = Path(run(empty / "python", "-c", program, cwd=tmp_path).strip())
    assert place.is_relative_to(empty.parent)


def test_the_wheel_provides_the_command(empty: Path, tmp_path: Path) -> None:
    assert "trimmed_mean" in run(empty / "quickthorn", "rules", cwd=tmp_path)
