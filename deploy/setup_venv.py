"""Makes `.venv` and installs what a lock file names, with one line of progress. Run by make.

Only the standard library and syntax that old Pythons read are used here, so that they can be told they are too old.
"""

import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
PIP = [PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
OLDEST = (3, 11)


def main(lock, stamp):
    if sys.version_info < OLDEST:
        sys.exit("Rollbook needs Python 3.11 or newer; %s is %d.%d" % ((sys.executable,) + sys.version_info[:2]))
    began = time.time()
    if not usable():
        make_venv()
    names = locked_names(lock)
    install(PIP + ["--require-hashes", "-r", lock], names)
    # Our own packages stay where they are; what building them needs is in the lock, so nothing is fetched for it.
    install(PIP + ["--no-deps", "--no-build-isolation", "--editable", ROOT], ["rollbook"])
    for old in os.listdir(VENV):
        if old.startswith(os.path.basename(stamp).rpartition("-")[0]):
            os.remove(os.path.join(VENV, old))
    with open(stamp, "w"):
        pass
    say("Installed in %.0f s\n" % (time.time() - began))


def usable():
    """Whether there is a virtual environment whose Python still runs and is new enough."""
    check = "import sys, pip; sys.exit(sys.version_info < (%d, %d))" % OLDEST
    try:
        return subprocess.run([PYTHON, "-c", check], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def make_venv():
    say("Making .venv with Python %d.%d.%d\n" % sys.version_info[:3])
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", VENV])
    if made.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            "This Python cannot make virtual environments. Install its venv package (Debian, Ubuntu: python3-venv),"
            " or name another one: make PYTHON=/path/to/python3.11 ..."
        )


def locked_names(lock):
    with open(lock) as lines:
        return [line.split("==")[0].strip() for line in lines if "==" in line and not line.startswith((" ", "#"))]


def install(command, names):
    """Run pip, showing how many of `names` it has come to; all it said where it fails."""
    said = []
    seen = set()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    for line in process.stdout:
        said.append(line)
        words = line.split()
        if line.startswith(("Collecting", "Requirement already satisfied:", "Obtaining")):
            seen.add(words[1] if words[0] != "Requirement" else words[3])
            show("Fetching %d of at most %d packages" % (len(seen), len(names)), len(seen))
        elif line.startswith("Installing collected packages"):
            show("Installing %d packages" % (line.count(",") + 1), 0)
    if process.wait() != 0:
        sys.exit("\n%s\nInstalling failed: %s" % ("".join(said[-40:]), " ".join(command)))


def show(text, count):
    """One line that changes on a terminal; elsewhere a line now and then."""
    if sys.stdout.isatty():
        say("\r\033[K" + text)
    elif count % 25 == 0:
        say(text + "\n")


def say(text):
    sys.stdout.write("\r\033[K" + text if sys.stdout.isatty() and text.endswith("\n") else text)
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
