// Requests that no route of the hub sees: each answer is one line of plain text of ours.
import { connect } from "node:tls";
import { text } from "node:stream/consumers";
import { test } from "tap";
import { eventually } from "../../lab/runner/process.ts";
import { ask, labHub } from "../../lab/worlds/hub.ts";
import type { Hub } from "../../../hub/index.ts";

const UNDECODABLE = [
  "/%ff",
  "/%zz",
  "/repository/%ff",
  "/repository/%zz/%00",
  "/.well-known/est/%c3%28",
  `/%ff${"a".repeat(4000)}`,
];

/** Sends bytes, and reads until the hub ends the connection. */
async function sent(hub: Hub, bytes: string): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port: hub.estPort, servername: "localhost", ca: hub.anchors.authority });
  socket.write(bytes);
  return text(socket);
}

test("[STA-10] a URL that cannot be decoded is answered by one line that says what was expected", async (t) => {
  const { hub } = await labHub(t);
  for (const path of UNDECODABLE) {
    const { status, headers, body } = await ask(hub, path);
    t.equal(status, 400, path.slice(0, 30));
    t.match(headers["content-type"], /^text\/plain/u);
    t.match(body.toString(), /^the URL cannot be decoded; [^{}]{1,80}\n$/u);
  }
});

test("bytes that are no HTTP request are answered by one line of plain text", async (t) => {
  const { hub } = await labHub(t);
  for (const [status, bytes] of [
    [400, "nonsense\r\n\r\n"],
    [400, "BREW /pot HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    [400, "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n"],
  ] as const) {
    const answer = await sent(hub, bytes);
    t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} .*\r\n(?:.+\r\n)*\r\n[^{}\n]{1,100}\n$`, "u"), bytes.slice(0, 20));
    t.match(answer, /content-type: text\/plain/iu);
  }
});

test("[STA-10] a header that is too large, as one line or as many, is answered by 431 and one line", async (t) => {
  const { hub } = await labHub(t);
  const line = `X-Padding: ${"a".repeat(990)}\r\n`;
  for (const [what, header] of [
    ["one line", `X: ${"a".repeat(100_000)}\r\n`],
    ["many lines", line.repeat(100)],
    ["a line without an end", `X: ${"a".repeat(100_000)}`],
    ["a long URL", ""],
  ] as const) {
    const path = header === "" ? `/${"a".repeat(100_000)}` : "/healthz";
    const answer = await sent(hub, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${header}\r\n`);
    t.match(
      answer,
      /^HTTP\/1\.1 431 Request Header Fields Too Large\r\n(?:.+\r\n)*\r\nthe header of the request is too large\n$/u,
      what,
    );
  }
  t.equal((await ask(hub, "/healthz")).status, 200, "the hub serves on");
});

test("[TUN-26] a header without an end is cut off", async (t) => {
  const { hub } = await labHub(t);
  // It goes on sending when the hub has ended its side.
  const options = {
    host: "127.0.0.1",
    port: hub.estPort,
    servername: "localhost",
    ca: hub.anchors.authority,
    allowHalfOpen: true,
  };
  const socket = connect(options);
  const closed = new Promise<void>((resolve) => void socket.once("close", () => resolve()));
  socket.on("error", () => undefined);
  socket.resume();
  socket.write("GET / HTTP/1.1\r\nX: ");
  const more = (): void => void (socket.writable && socket.write("a".repeat(16_384), () => setImmediate(more)));
  more();
  await closed;
  t.equal((await ask(hub, "/healthz")).status, 200);
});

test("[TUN-23] URLs that cannot be decoded are paced like any other request", async (t) => {
  const { hub } = await labHub(t);
  const request = "GET /%ff HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const last = "GET /%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  // Fewer requests than the pace makes up for while they are answered could never reach its end.
  const answers = await eventually("a refusal", async () => {
    const some = await Promise.all(Array.from({ length: 8 }, () => sent(hub, `${request.repeat(49)}${last}`)));
    return some.find((answer) => answer.startsWith("HTTP/1.1 503"));
  });
  t.match(answers, /too many requests/u);
});
