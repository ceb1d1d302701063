// A hub with few files to open: it says so with what to do, and goes on when there is room again.
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import * as v from "valibot";
import { test, type Test } from "tap";
import { hubAnchorsSchema } from "../../ota/format/anchors.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually, type RunningProgram, startProgram } from "../lab/runner/process.ts";
import { programFile } from "../lab/runner/programs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { ask } from "../lab/worlds/hub.ts";

const readySchema = v.object({ event: v.literal("ready"), anchors: hubAnchorsSchema });
const skip = needs("flock"); // util-linux, as prlimit

async function hubWith(t: Test, files: number): Promise<RunningProgram> {
  const state = join(await temporaryDirectory(t), "hub");
  const hub = (before: readonly string[], ...args: readonly string[]): RunningProgram => {
    const [command, ...words] = [...before, process.execPath, programFile("sallyport-hub"), ...args, "--state", state];
    const program = startProgram({ name: "hub", command, args: words });
    t.teardown(() => program.stop("SIGKILL"));
    return program;
  };
  await hub([], "init", "--name", "Plant 7", "--host", "localhost").ended;
  const ports = ["--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--json"];
  return hub(["prlimit", `--nofile=${files}:${files}`, "--"], "serve", ...ports);
}

test("[OPS-12] a hub that may open too few files to start ends with 1 and says what to raise", { skip }, async (t) => {
  const hub = await hubWith(t, 32);
  t.same(await hub.ended, { code: 1, signal: null });
  const said = hub.lines.join("\n");
  t.match(said, /hub\.files-exhausted: the hub may have 32 files open, and needs 64 at least; raise LimitNOFILE=/u);
  t.notMatch(said, /left open|EMFILE/u);
});

test("a hub whose files run out says so and what to raise, and serves on when there is room", { skip }, async (t) => {
  const hub = await hubWith(t, 80);
  const { anchors } = v.parse(readySchema, JSON.parse(await hub.line(/"ready"/u)));
  await hub.line(
    /the hub may have 80 files open, and with all the connections that it allows it would have \d+; .*LimitNOFILE=/u,
  );
  const idle: Socket[] = [];
  t.teardown(() => idle.forEach((socket) => socket.destroy()));
  const crowd = (): void => {
    for (let more = 0; more < 100; more++) {
      const socket = connect({ host: "127.0.0.1", port: anchors.estPort });
      socket.on("error", () => undefined);
      idle.push(socket);
    }
  };
  // Connections that do nothing end after a while, and the hub counts at intervals.
  const crowding = setInterval(crowd, 3000);
  t.teardown(() => clearInterval(crowding));
  crowd();
  await hub.line(/hub\.files-exhausted: nearly all of the 80 files .* new connections are reset; raise LimitNOFILE=/u);
  clearInterval(crowding);
  for (const socket of idle) socket.destroy();
  const address = { anchors, estPort: anchors.estPort, mqttPort: anchors.mqttPort };
  const status = await eventually("an answer", async () => (await ask(address, "/healthz")).status);
  t.equal(status, 200);
  t.same(await hub.stop(), { code: 0, signal: null });
});
