"""``python -m sutra`` is the ``sutra`` command."""

import sys

from sutra.cli import main

if __name__ == "__main__":
    sys.exit(main())
