"""The messages of KServe v2 and of Triton's model configuration, made by protobuf when tritonclient is imported.

Type checkers cannot see classes that are made at run time; these two names tell them so in one place.
"""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import model_config_pb2, service_pb2

service: Any = service_pb2
model_config: Any = model_config_pb2
