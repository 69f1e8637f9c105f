"""``python -m tests.golden.sessions.refresh [CAPTURE …]`` writes the golden files anew."""

import sys

from tests.golden.kept import refresh
from tests.golden.sessions.document import CAPTURES, golden_path, golden_text

if __name__ == "__main__":
    refresh(sys.argv[1:] or CAPTURES, golden_path, golden_text)
