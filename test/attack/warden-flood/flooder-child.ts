// A captured agent that floods the warden's socket until it is killed. Arguments: socket, flood.
import { connect } from "node:net";
import { CONNECTIONS_MAX } from "../../../warden/socket/limits.ts";
import { FLOODS, GREETING } from "./floods.ts";

const [path = "", name = ""] = process.argv.slice(2);
const flood = FLOODS[name];
if (flood === undefined) throw new RangeError(`no flood "${name}"`);
const { lines, manner } = flood;
/** Connections at a time: as many as the warden takes, or more than that where only they count. */
const AT_ONCE = manner === "connects" ? 4 * CONNECTIONS_MAX : CONNECTIONS_MAX;

function attack(): void {
  const socket = connect(path);
  let at = 0;
  const text = lines.join("");
  const write = (): void => {
    // as long as the kernel takes it: a peer that is held back waits for "drain"
    while (
      !socket.destroyed &&
      socket.write(manner === "drips" ? (text[at++ % text.length] ?? "") : (lines[at++ % lines.length] ?? "\n"))
    );
  };
  socket.on("error", () => undefined); // refused, reset: what a flood meets
  socket.on("close", () => setImmediate(attack));
  // answers must not hold the warden back, unless that is the attack
  if (manner !== "deaf") socket.on("data", () => undefined);
  socket.on("drain", write);
  socket.once("connect", () => {
    if (manner === "connects") return socket.destroy();
    socket.write(GREETING);
    if (manner === "leaves") return socket.write(text, () => socket.destroy());
    return write();
  });
}

for (let n = 0; n < AT_ONCE; n += 1) attack();
process.stdout.write("flooding\n");
