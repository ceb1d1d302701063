// Runs inside the virtual gateway: tells what its kernel sees of the machine. Words: `board`, `usb`, `fetch PORT`, `off`.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { HUB_ADDRESS } from "../address.ts";

const [what, port = ""] = process.argv.slice(2);
if (what === "board") {
  const serial = readFileSync("/sys/class/dmi/id/board_serial", "utf8").trim();
  const mac = readFileSync("/sys/class/net/eth0/address", "utf8").trim();
  console.log(`board ${serial} mac ${mac} tpm ${existsSync("/dev/tpmrm0")}.`);
} else if (what === "usb") {
  // interfaces of devices, not of the root hubs: "1-1:1.0", not "1-0:1.0"
  const interfaces = readdirSync("/sys/bus/usb/devices").filter((name) => /^\d+-[1-9][\d.]*:/u.test(name));
  const classes = interfaces.map((name) => readFileSync(`/sys/bus/usb/devices/${name}/bInterfaceClass`, "utf8").trim());
  console.log(`usb [${classes.sort().join(" ")}]`);
} else if (what === "fetch") {
  for (const path of ["one", "two"]) {
    const response = await fetch(`http://${HUB_ADDRESS}:${port}/${path}`);
    console.log(`fetched ${await response.text()}.`);
  }
} else if (what === "off") {
  writeFileSync("/proc/sysrq-trigger", "o");
}
