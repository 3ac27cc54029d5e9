"""`python -m contacts_projector`: the projector as a process of its own, with its settings from the environment."""

from __future__ import annotations

from contacts_projector.app import main
from servicekit.run import run

if __name__ == "__main__":
    # NATS is none of its business.
    run("projector", main, needed=("database_url", "master_key"))
