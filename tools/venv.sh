#!/bin/sh
# Make a virtual environment with a Python of at least 3.11, installing Debian's venv package where it is missing.
set -eu
python=${1:-}
place=$2

if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup: Foretell needs Python 3.11 or newer; found: ${python:-none}" >&2
    echo "  next: install it, or name it: make PYTHON=/path/to/python3.11 $*" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq "python$version-venv"
    else
        echo "setup: this Python cannot make virtual environments" >&2
        echo "  next: sudo apt-get install python$version-venv (or your system's package of that name)" >&2
        exit 1
    fi
fi
"$python" -m venv "$place"
