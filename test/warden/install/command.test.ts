// The command line of the installer.
import { test } from "tap";
import { installerCommand, installerPlaces } from "../../../warden/install/index.ts";
import { faultOf } from "../../lab/runner/faults.ts";

test("[OTA-41] the installer reads the places that the warden passes, for slots that are files and for partitions", async (t) => {
  for (const slots of ["/slots", { esp: "/boot" }]) {
    const places = { root: "/", slots, handover: "/var/lib/sallyport-handover" };
    const { args } = installerCommand("/main.js", places);
    t.same(installerPlaces(args.slice(args.indexOf("/main.js") + 1)), places);
  }
});

test("[OTA-41] the installer takes exactly one kind of slot, with all of its places", async (t) => {
  for (const args of [
    [],
    ["--root", "/", "--handover", "/c"],
    ["--root", "/", "--slots", "/s"],
    ["--root", "/", "--slots", "/s", "--esp", "/e", "--handover", "/c"],
    ["--root", "/", "--esp", "/e", "--handover", "/c", "--shell", "/bin/sh"],
  ])
    t.equal((await faultOf(() => installerPlaces(args))).code, "usage.invalid", args.join(" "));
});
