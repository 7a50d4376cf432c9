"""The messages of protocols that no client library carries: TensorFlow Serving's, and TRTIS of version 1.

`tfs.proto` and `trtis.proto` state them: names, numbers and types of fields are public facts. The two `_pb2.py` beside them
are made by

    pip install grpcio-tools==1.66.2          # whose code protobuf 5.27 and later can run
    cd sonic_client/protos && python -m grpc_tools.protoc -I. --python_out=. tfs.proto trtis.proto

and a test holds them against the `.proto` files. Type checkers cannot see classes that are made at run time; the names here
tell them so in one place.
"""

from __future__ import annotations

from typing import Any

from . import tfs_pb2, trtis_pb2

tfs: Any = tfs_pb2
trtis: Any = trtis_pb2
