"""Brings the virtual environment to the locked state: `python infra/environment.py .venv`, run by `make` first.

Standard library only, since nothing else is there yet. Everything installed is pinned by hash: pip installs uv alone,
uv installs the rest. A digest of the locks is kept inside, so that a run with nothing to do costs a few milliseconds;
it is written last, so an interrupted run is simply repeated.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "infra" / "locks"
BOOTSTRAP = LOCKS / "uv.txt"
REQUIREMENTS = LOCKS / "dev.txt"
COMPILER = LOCKS / "compiler.txt"


def lacks_compiler() -> bool:
    """True if the machine has no C compiler of its own: then the locked one builds the model's kernel."""
    return shutil.which(os.environ.get("CC", "cc")) is None


def digest_of(python: str) -> str:
    """Digest of everything the environment is made from."""
    digest = hashlib.sha256(f"{python} {ROOT} {lacks_compiler()}".encode())
    for path in (BOOTSTRAP, REQUIREMENTS, COMPILER, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def interpreter(folder: Path) -> str | None:
    """Version of the environment's Python, or None where there is none that runs."""
    python = folder / "bin" / "python"
    question = "import pip, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        process = subprocess.run([python, "-c", question], capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return None
    return process.stdout.strip() if process.returncode == 0 else None


def install(folder: Path) -> None:
    """Make the environment where it is missing or broken, and install exactly the locked packages."""
    python = folder / "bin" / "python"
    if interpreter(folder) is None:
        print(f"making {folder} with Python {sys.version.split()[0]}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "venv", folder)
    quiet = ("--disable-pip-version-check", "--no-input", "-q")
    run(python, "-m", "pip", "install", *quiet, "--require-hashes", "-r", BOOTSTRAP)
    uv = folder / "bin" / "uv"
    run(uv, "pip", "sync", "-q", "--python", python, "--require-hashes", REQUIREMENTS)
    run(uv, "pip", "install", "-q", "--python", python, "--no-deps", "--no-build-isolation", "-e", ROOT)
    if lacks_compiler():
        add_compiler(uv, python)


def add_compiler(uv: Path, python: Path) -> None:
    """Install the locked compiler. It only makes answers faster, so a machine it is not made for goes on without."""
    command = (uv, "pip", "install", "-q", "--python", python, "--require-hashes", "-r", COMPILER)
    if subprocess.run(command, check=False).returncode:
        print("no C compiler here: models are packed without the compiled engine and answer more slowly", flush=True)


def run(*command: str | Path) -> None:
    """Run one command to its end."""
    subprocess.run(command, check=True)


def ensure(folder: Path) -> None:
    """The environment as locked; a second caller waits for the first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Not `service.files`: this runs as a script, before there is an environment that holds the project.
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "locked"
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        digest = digest_of(version)
        if stamp.exists() and stamp.read_text() == digest and os.access(folder / "bin" / "python", os.X_OK):
            return
        stamp.unlink(missing_ok=True)
        print(f"installing the locked packages into {folder} (a minute with a warm cache)", flush=True)
        install(folder)
        stamp.write_text(digest)


def main() -> int:
    """Exit code 0 when the environment is ready; one line and 1 otherwise."""
    try:
        ensure(Path(sys.argv[1]).absolute())
    except subprocess.CalledProcessError as error:
        print(
            f"make: {error.cmd[0]} failed (see above); check the network and run the same command again",
            file=sys.stderr,
        )
        return 1
    except OSError as error:
        print(f"make: cannot write {error.filename}: {error.strerror}; use a folder you may write to", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("make: stopped while installing; run the same command again to continue", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
