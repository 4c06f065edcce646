#!/usr/bin/env bash
# Makes a virtual environment: venv.sh PYTHON FOLDER. PYTHON must be 3.11, the version that the functions run on.
set -euo pipefail
python=$1 folder=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
  echo "Candid needs Python 3.11, and '$python' is none. Install it, or say where it is, as in: make run PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "This Python can't make virtual environments. On Debian and Ubuntu: apt install python3.11-venv" >&2
  exit 1
fi
# What an interrupted run left is made anew: make only knows an environment by its bin/python.
trap 'rm -rf "$folder"' ERR INT TERM
started=$SECONDS
"$python" -m venv --clear "$folder"
dots=$(printf '.%.0s' {1..62})
label="making the virtual environment $folder"
printf '  %s %s %6d s\n' "$label" "${dots:${#label}}" $((SECONDS - started))
