#!/usr/bin/env python3
"""Watches mistap with grpcio, and goes on after whatever ends a stream.

    pip install grpcio grpcio-tools grpcio-status
    python3 watch.py 127.0.0.1:7070 incidents
    python3 watch.py https://mistap.example:443 incidents

Prints one line of JSON for each message and for each end of a stream. After an end it waits
as long as the server says (google.rpc.RetryInfo) and up to half as long again, so that not all
come back at once, and resumes with the token of the newest message. A connection on which two
heartbeats are missed is taken for dead. Stubs are made from proto/ at each start and thrown away.
Where the service asks for tokens, the one in MISTAP_TOKEN is sent; give it only to a service on
this machine, or to one behind a proxy that speaks TLS, whose address begins with https://.
"""

import argparse
import json
import os
import pathlib
import random
import sys
import tempfile
import threading
import time

import grpc
import grpc_tools
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"
FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 5.0
# Without a message for so long, the connection is dead: heartbeats come every 15 seconds.
LONGEST_SILENCE_SECONDS = 35.0
# What another try cannot change.
FINAL = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
}


def stubs():
    """The modules of live_service.proto, with those of all that it imports beside them."""
    included = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(path) for path in (PROTO / "mistap" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory(prefix="mistap-stubs-") as folder:
        options = [f"-I{PROTO}", f"-I{included}", f"--python_out={folder}"]
        if protoc.main(["protoc", *options, f"--grpc_python_out={folder}", *files]) != 0:
            sys.exit("stubs could not be made")
        sys.path.insert(0, folder)
        from mistap.v1 import live_service_pb2, live_service_pb2_grpc

        sys.path.remove(folder)
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


class Watchdog:
    """Cancels a call on which nothing is heard for too long."""

    def __init__(self, call):
        self.call = call
        self.has_barked = False
        self.timer = None
        self.heard()

    def heard(self):
        self.stop()
        self.timer = threading.Timer(LONGEST_SILENCE_SECONDS, self.bark)
        self.timer.daemon = True
        self.timer.start()

    def stop(self):
        if self.timer is not None:
            self.timer.cancel()

    def bark(self):
        self.has_barked = True
        self.call.cancel()


def is_final(code, what, token):
    """Whether another try would end the same way. A state can begin anew where its place is gone,
    a log not without a gap."""
    if code == grpc.StatusCode.OUT_OF_RANGE:
        return what == "incidents" or not token
    return code in FINAL


def credentials():
    """What is sent with each call."""
    token = os.environ.get("MISTAP_TOKEN")
    return [("authorization", f"Bearer {token}")] if token else []


def connection(address):
    """With TLS where the address says so."""
    name = address.removeprefix("https://")
    if name != address:
        return grpc.secure_channel(name, grpc.ssl_channel_credentials())
    return grpc.insecure_channel(address)


def watch(address, what):
    pb, services = stubs()
    token, wait = b"", FIRST_WAIT_SECONDS
    while True:
        with connection(address) as channel:
            live = services.LiveServiceStub(channel)
            if what == "incidents":
                call, request = live.WatchIncidents, pb.WatchIncidentsRequest(resume_token=token)
            else:
                call, request = live.WatchRates, pb.WatchRatesRequest(resume_token=token)
            messages = call(request, metadata=credentials())
            watchdog = Watchdog(messages)
            try:
                for message in messages:
                    watchdog.heard()
                    token, wait = message.resume_token, FIRST_WAIT_SECONDS
                    tell_message(message)
                told = None
                tell(ended="OK", retry_seconds=None)
            except grpc.RpcError as error:
                code, is_silent = error.code(), watchdog.has_barked
                told = None if is_silent else retry_seconds(error)
                tell(ended="SILENT" if is_silent else code.name, retry_seconds=told)
                if not is_silent and is_final(code, what, token):
                    sys.exit(1)
                if code == grpc.StatusCode.OUT_OF_RANGE:
                    token = b""
            finally:
                watchdog.stop()
        if told is None:
            time.sleep(wait * random.uniform(0.5, 1.5))
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        else:
            time.sleep(told * random.uniform(1, 1.5))


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
