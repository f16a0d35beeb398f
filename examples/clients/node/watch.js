// Watches mistap over gRPC-Web with Connect, and goes on after whatever ends a stream.
//
//     npm ci && npm run generate
//     node watch.js http://127.0.0.1:7070 incidents
//
// Prints one line of JSON for each message and for each end of a stream. After an end it waits as
// long as the server says (google.rpc.RetryInfo) and up to half as long again, so that not all come
// back at once, and resumes with the token of the newest message. A connection on which two
// heartbeats are missed is taken for dead. Where the service asks for tokens, the one in
// MISTAP_TOKEN is sent; give it only to a service on this machine, or to one that speaks TLS.
// Nothing in here needs Node but the arguments, the environment and the output.

import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { DurationSchema, durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { LiveService } from "./generated/mistap/v1/live_service_pb.js";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5_000;
// Without a message for so long, the connection is dead: heartbeats come every 15 seconds.
const LONGEST_SILENCE_MS = 35_000;
const RETRY_INFO = "google.rpc.RetryInfo";
const RETRY_DELAY = 1;
// What another try cannot change.
const FINAL = new Set([
  Code.InvalidArgument,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.Unimplemented,
]);

const [address, what] = process.argv.slice(2);
if (address === undefined || !["incidents", "rates"].includes(what)) {
  console.error("usage: node watch.js http://ADDRESS incidents|rates");
  process.exit(2);
}

function tell(told) {
  console.log(JSON.stringify(told));
}

// Positions are told as text: a `Number` rounds them beyond 2^53.
function tellMessage(message) {
  const { case: kind, value } = message.update;
  const told = { kind, position: String(message.position) };
  if (kind === "events") {
    told.events = value.events.map((event) => String(event.position));
  }
  if (message.total !== undefined) {
    told.total = Number(message.total);
  }
  tell(told);
}

// How long the server says to wait; null if it does not.
function retryMs(error) {
  const info = error.details.find((detail) => detail.type === RETRY_INFO);
  if (info === undefined) {
    return null;
  }
  const reader = new BinaryReader(info.value);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === RETRY_DELAY) {
      return durationMs(fromBinary(DurationSchema, reader.bytes()));
    }
    reader.skip(type);
  }
  return null;
}

// Connect names its codes as `ResourceExhausted`, gRPC as `RESOURCE_EXHAUSTED`.
function grpcName(code) {
  return Code[code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

// What is sent with each call.
function credentials() {
  const token = process.env.MISTAP_TOKEN;
  return token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } };
}

function open(live, resumeToken, signal) {
  const options = { ...credentials(), signal };
  if (what === "rates") {
    return live.watchRates({ resumeToken }, options);
  }
  const start = { case: "resumeToken", value: resumeToken };
  return live.watchIncidents({ start }, options);
}

// Aborts a call on which nothing is heard for too long.
class Watchdog {
  #abort = new AbortController();
  #timer;

  constructor() {
    this.heard();
  }

  get signal() {
    return this.#abort.signal;
  }

  heard() {
    this.stop();
    this.#timer = setTimeout(() => this.#abort.abort(), LONGEST_SILENCE_MS);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

// Whether another try would end the same way. A state can begin anew where its place is gone, a log
// not without a gap.
function isFinal(code, token) {
  if (code === Code.OutOfRange) {
    return what === "incidents" || token.length === 0;
  }
  return FINAL.has(code);
}

async function watch() {
  const live = createClient(LiveService, createGrpcWebTransport({ baseUrl: address }));
  let token = new Uint8Array();
  let waitMs = FIRST_WAIT_MS;
  for (;;) {
    let told = null;
    const watchdog = new Watchdog();
    try {
      for await (const message of open(live, token, watchdog.signal)) {
        watchdog.heard();
        token = message.resumeToken;
        waitMs = FIRST_WAIT_MS;
        tellMessage(message);
      }
      tell({ ended: "OK", retry_seconds: null });
    } catch (cause) {
      const error = ConnectError.from(cause);
      const isSilent = watchdog.signal.aborted;
      told = isSilent ? null : retryMs(error);
      const ended = isSilent ? "SILENT" : grpcName(error.code);
      tell({ ended, retry_seconds: told === null ? null : told / 1_000 });
      if (!isSilent && isFinal(error.code, token)) {
        process.exit(1);
      }
      if (error.code === Code.OutOfRange) {
        token = new Uint8Array();
      }
    } finally {
      watchdog.stop();
    }
    const chance = Math.random();
    const nextMs = told === null ? waitMs * (0.5 + chance) : told * (1 + chance / 2);
    await new Promise((resolve) => setTimeout(resolve, nextMs));
    if (told === null) {
      waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
    }
  }
}

await watch();
