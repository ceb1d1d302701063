// The conformance suite of TUF, theupdateframework/tuf-conformance, run on our client. It is
// optional: it is a Python program from outside and takes minutes.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "tap";

const CLIENT = fileURLToPath(new URL("./tuf-client.ts", import.meta.url));
const NODE = fileURLToPath(new URL("../../node_modules/.bin/node", import.meta.url));
const SUITE = process.env["SALLYPORT_TUF_CONFORMANCE"];

const skip =
  SUITE === undefined
    ? "needs tuf-conformance: SALLYPORT_TUF_CONFORMANCE=its checkout, with what its pyproject.toml asks for installed in CHECKOUT/venv, and faketime"
    : false;

test("[OTA-1] every test of TUF's conformance suite passes", { skip, timeout: 1_200_000 }, async (t) => {
  const args = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tuf_conformance", "--entrypoint", `${NODE} ${CLIENT}`];
  const environment = ["-i", `PATH=${process.env["PATH"]}`, `HOME=${process.env["HOME"]}`];
  const { status, stdout } = spawnSync("/usr/bin/env", [...environment, "venv/bin/python", ...args], {
    cwd: SUITE,
    encoding: "utf8",
  });
  t.equal(status, 0, stdout.slice(-4000));
  t.match(stdout, /\d{2,} passed/u);
  t.notMatch(stdout, /skipped|xfailed|xpassed/u);
});
