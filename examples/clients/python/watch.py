#!/usr/bin/env python3
"""Watches mistap with grpcio, and goes on after whatever ends a stream.

    pip install grpcio grpcio-tools grpcio-status
    python3 watch.py 127.0.0.1:7070 incidents

Prints one line of JSON for each message and for each end of a stream. After an end it waits
as long as the server says (google.rpc.RetryInfo), and resumes with the token of the newest
message. Stubs are made from proto/ at each start and thrown away. Where the service asks for
tokens, the one in MISTAP_TOKEN is sent; give it only to a service on this machine, or to one
behind a proxy that speaks TLS.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

import grpc
import grpc_tools
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"
FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 5.0
# What another try cannot change.
FINAL = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
}


def stubs():
    """The modules of live_service.proto, with those of all that it imports beside them."""
    folder = tempfile.mkdtemp(prefix="mistap-stubs-")
    sys.path.insert(0, folder)
    included = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(path) for path in (PROTO / "mistap" / "v1").glob("*.proto"))
    options = [f"-I{PROTO}", f"-I{included}", f"--python_out={folder}"]
    if protoc.main(["protoc", *options, f"--grpc_python_out={folder}", *files]) != 0:
        sys.exit("stubs could not be made")
    from mistap.v1 import live_service_pb2, live_service_pb2_grpc

    return live_service_pb2, live_service_pb2_grpc


def tell(**what):
    print(json.dumps(what), flush=True)


def tell_message(message):
    kind = message.WhichOneof("update")
    told = {"kind": kind, "position": str(message.position)}
    if kind == "events":
        told["events"] = [str(event.position) for event in message.events.events]
    if hasattr(message, "total"):
        told["total"] = message.total
    tell(**told)


def retry_seconds(error):
    """How long the server says to wait; None if it does not."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.ToTimedelta().total_seconds()
    return None


def credentials():
    """What is sent with each call."""
    token = os.environ.get("MISTAP_TOKEN")
    return [("authorization", f"Bearer {token}")] if token else []


def watch(address, what):
    pb, services = stubs()
    token, wait = b"", FIRST_WAIT_SECONDS
    while True:
        with grpc.insecure_channel(address) as channel:
            live = services.LiveServiceStub(channel)
            if what == "incidents":
                call, request = live.WatchIncidents, pb.WatchIncidentsRequest(resume_token=token)
            else:
                call, request = live.WatchRates, pb.WatchRatesRequest(resume_token=token)
            messages = call(request, metadata=credentials())
            try:
                for message in messages:
                    token, wait = message.resume_token, FIRST_WAIT_SECONDS
                    tell_message(message)
                told = None
                tell(ended="OK", retry_seconds=None)
            except grpc.RpcError as error:
                told = retry_seconds(error)
                tell(ended=error.code().name, retry_seconds=told)
                if error.code() in FINAL:
                    sys.exit(1)
        time.sleep(wait if told is None else told)
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="as 127.0.0.1:7070")
    parser.add_argument("what", choices=["incidents", "rates"])
    arguments = parser.parse_args()
    try:
        watch(arguments.address, arguments.what)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
