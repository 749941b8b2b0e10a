"""`examples.daily_burst` as it is, but each job stands at the test's gate before its work."""

import sys

from examples import daily_burst
from tests.examples.gated_server import GatedProcessor

if __name__ == "__main__":
    daily_burst.JobProcessor = GatedProcessor  # type: ignore[attr-defined]
    sys.exit(daily_burst.main())
