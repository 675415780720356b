"""`python -m foretell`: the command line."""

from __future__ import annotations

import sys

from foretell.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
