"""``python -m tests.golden.refresh [CAPTURE …]`` writes the golden files anew."""

import sys

from tests.golden.document import golden_path, golden_text
from tests.golden.kept import refresh
from tests.pipeline import ALL_CAPTURES

if __name__ == "__main__":
    refresh(sys.argv[1:] or ALL_CAPTURES, golden_path, golden_text)
