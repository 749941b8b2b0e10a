"""`examples.cluster` as it is, but each body stands at the test's gate, in its worker."""

import os
import sys

from examples import cluster
from examples.content_app.app.services.content.pack import ContentPack
from tests.examples.gated_server import gate


def gated_make(row_id: str, source: str, kind: str) -> ContentPack:
    with gate(f"{row_id} {os.getpid()}"):
        return make(row_id, source, kind)


if __name__ == "__main__":
    make, cluster.make = cluster.make, gated_make
    sys.exit(cluster.main())
