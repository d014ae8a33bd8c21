"""Makes those buckets of the store AWS_ENDPOINT_URL that are not there: python docker/buckets.py NAME ..."""

import os
import sys

import s3fs

store = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
for name in sys.argv[1:]:
    if not store.exists(name):
        store.mkdir(name)
