#!/usr/bin/env python3
"""Reports to mistap with grpcio, and knows nothing of it but what the service itself tells.

    pip install grpcio grpcio-reflection
    python3 report.py 127.0.0.1:7070 < report.json

There are no stubs and no proto files here: the descriptors come over server reflection, the
report is built from JSON (the names of fields and choices are those of incident.proto), and so is
everything that is asked for. Prints two lines of JSON: the answer to the report, and the report
as the service keeps it. Without an id and a secret in the report, both are made.
"""

import argparse
import base64
import json
import secrets
import sys
import time

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SERVICE = "mistap.v1.ReportingService"
CALL_SECONDS_MAX = 30


def new_id():
    """A UUID of version 7: the time in milliseconds, and chance."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class Service:
    """A service whose methods are known by their descriptors."""

    def __init__(self, channel, name):
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        self.channel = channel
        self.descriptor = pool.FindServiceByName(name)

    def call(self, method, request):
        """Calls a method with a request of JSON, and gives the answer as JSON."""
        found = self.descriptor.methods_by_name[method]
        request_type = message_factory.GetMessageClass(found.input_type)
        answer_type = message_factory.GetMessageClass(found.output_type)
        invoke = self.channel.unary_unary(
            f"/{self.descriptor.full_name}/{method}",
            request_serializer=request_type.SerializeToString,
            response_deserializer=answer_type.FromString,
        )
        message = json_format.ParseDict(request, request_type())
        return json_format.MessageToDict(invoke(message, timeout=CALL_SECONDS_MAX))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("address", help="host and port")
    address = arguments.parse_args().address
    report = json.load(sys.stdin)
    report.setdefault("incidentId", new_id())
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    key = {
        "incidentId": report["incidentId"],
        "incidentSecret": report.setdefault("incidentSecret", secret),
    }
    with grpc.insecure_channel(address) as channel:
        service = Service(channel, SERVICE)
        told = service.call("ReportIncident", {"incident": report})
        print(json.dumps(told), flush=True)
        print(json.dumps(service.call("GetIncident", key)), flush=True)


if __name__ == "__main__":
    main()
