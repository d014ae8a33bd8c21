"""Buckets of the store at AWS_ENDPOINT_URL.

python docker/buckets.py make NAME ...              those that are not there
python docker/buckets.py save FOLDER NAME ...       copies them into FOLDER/NAME
python docker/buckets.py restore FOLDER NAME ...    and back
"""

import os
import sys

import s3fs

store = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
verb, *names = sys.argv[1:]
folder = "" if verb == "make" else names.pop(0)
for name in names:
    if verb == "save" and store.find(name):
        store.get(f"{name}/", f"{folder}/{name}/", recursive=True)
    if verb != "save" and not store.exists(name):
        store.mkdir(name)
    if verb == "restore" and os.path.isdir(f"{folder}/{name}"):
        store.put(f"{folder}/{name}/", f"{name}/", recursive=True)
