"""``python -m infra.local up`` and ``stop``; the Makefile's ``run`` and ``stop``."""

from __future__ import annotations

import argparse
import os
import sys

from infra.local import places
from infra.local.problems import LocalError


def main() -> int:
    """Run one command; a failure is one sentence and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    parser.add_argument("command", choices=["up", "stop"])
    asked = parser.parse_args()
    try:
        where = places.read(os.environ)
        from infra.local import up

        return up.up(where, up.wishes()) if asked.command == "up" else up.detached_stop(where)
    except LocalError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
