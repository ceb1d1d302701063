// A hub whose device certificates live for seconds, which `sallyport-hub serve` refuses [ID-24]. It
// takes the arguments of `serve` that the lab uses, and prints the same lines.
import { once } from "node:events";
import { parseArgs } from "node:util";
import { startHub } from "../../../hub/index.ts";

const { values } = parseArgs({
  allowPositionals: true,
  options: {
    state: { type: "string", default: "" },
    listen: { type: "string", default: "127.0.0.1" },
    "est-port": { type: "string", default: "0" },
    "mqtt-port": { type: "string", default: "0" },
    "retry-after": { type: "string", default: "1" },
    "life-seconds": { type: "string", default: "25" },
    json: { type: "boolean" },
  },
});
const hub = await startHub({
  state: values.state,
  listen: values.listen,
  estPort: Number(values["est-port"]),
  mqttPort: Number(values["mqtt-port"]),
  retryAfterS: Number(values["retry-after"]),
  certificateLifeMs: Number(values["life-seconds"]) * 1000,
  certificateLifeMsMin: 0,
});
const print = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
hub.events.on("journal", (entry) => print({ ...entry, event: "journal", name: entry.event }));
print({ event: "ready", pid: process.pid, estPort: hub.estPort, mqttPort: hub.mqttPort });
await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
await hub.stop();
process.exitCode = 0;
