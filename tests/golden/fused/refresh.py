"""``python -m tests.golden.fused.refresh [CAPTURE …]`` writes the golden files anew."""

import sys

from tests.golden.fused.document import golden_path, golden_text
from tests.golden.fused.signals import FUSED
from tests.golden.kept import refresh

if __name__ == "__main__":
    refresh(sys.argv[1:] or FUSED, golden_path, golden_text)
