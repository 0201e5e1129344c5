"""An S3-compatible server on loopback, with one bucket, for as long as a block runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from moto.server import ThreadedMotoServer
from pyarrow import fs

BUCKET = "bucket"


@contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """Yields the environment that finds the server; this process has it for the same time."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found_by = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with patch.dict(os.environ, found_by):
            files, path = fs.FileSystem.from_uri(f"s3://{BUCKET}?allow_bucket_creation=true")
            files.create_dir(path)
            yield found_by
    finally:
        server.stop()
