"""`python -m contacts_bridge`: the bridge as a process of its own, with its settings from the environment."""

from __future__ import annotations

from contacts_bridge.app import main
from servicekit.run import run

if __name__ == "__main__":
    run("bridge", main)
