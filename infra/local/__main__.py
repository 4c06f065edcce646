"""``python -m infra.local up``, ``stop`` and ``logs``; the Makefile's ``run``, ``stop`` and ``logs``."""

from __future__ import annotations

import argparse
import os
import sys

from candid.errors import CandidError
from infra.local import logs, places, up
from infra.local.problems import LocalError


def main() -> int:
    """Run one command; a failure is one sentence and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    parser.add_argument("command", choices=["up", "stop", "logs"])
    asked = parser.parse_args()
    try:
        where = places.read(os.environ)
        if asked.command == "up":
            return up.up(where, up.wishes())
        return up.detached_stop(where) if asked.command == "stop" else logs.show(where)
    except (LocalError, CandidError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
