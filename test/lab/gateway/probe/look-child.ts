// Runs inside the virtual gateway and prints what its kernel sees of the machine. Arguments:
// `board`, `fetch PORT`.
import { existsSync, readFileSync } from "node:fs";
import { HUB_ADDRESS } from "../address.ts";

const [what, port = ""] = process.argv.slice(2);
if (what === "board") {
  const serial = readFileSync("/sys/class/dmi/id/board_serial", "utf8").trim();
  const mac = readFileSync("/sys/class/net/eth0/address", "utf8").trim();
  console.log(`board ${serial} mac ${mac} tpm ${existsSync("/dev/tpmrm0")}.`);
} else if (what === "fetch") {
  for (const path of ["one", "two"]) {
    const response = await fetch(`http://${HUB_ADDRESS}:${port}/${path}`);
    console.log(`fetched ${await response.text()}.`);
  }
}
