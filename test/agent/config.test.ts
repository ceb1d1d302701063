// The agent's configuration file as untrusted input.
import { test } from "tap";
import * as config from "../../agent/config.ts";
import { Fault } from "../../hal/fault.ts";

const parseAgentConfig = (text: string): config.AgentConfig => config.parseAgentConfig(text, "/etc/agent.json");

function faultOf(act: () => unknown): Fault {
  try {
    act();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Fault("assert.broken", "no fault was thrown");
}

test("an empty configuration gives the safe defaults", async (t) => {
  const config = parseAgentConfig("{}");
  t.match(config, {
    stateDirectory: "/var/lib/sallyport",
    key: { protection: "auto", tpm: { tcti: "device:/dev/tpmrm0" } },
    tunnel: { minTls: "TLSv1.3", keepaliveS: 60 },
    spool: { bytesMax: 16_777_216, ageMaxS: 2_592_000 },
  });
  t.equal(config.console, undefined, "no console is opened unless one is configured");
});

test("all faults are reported at once, each with its path", async (t) => {
  const fault = faultOf(() =>
    parseAgentConfig('{"tunnel":{"minTls":"TLSv1.1","keepaliveS":0},"key":{"protection":"none"},"stateDirectory":"relative"}'),
  );
  t.equal(fault.code, "config.invalid");
  for (const path of ["tunnel.minTls", "tunnel.keepaliveS", "key.protection", "stateDirectory"]) t.match(fault.message, path);
});

test("[ID-45] [ID-49] the key's protection and parent are words or a handle; a key that is kept in the TPM is refused in words", async (t) => {
  const key = (settings: object): config.AgentConfig => parseAgentConfig(JSON.stringify({ key: settings }));
  for (const protection of ["auto", "tpm", "sealed", "file"]) t.match(key({ protection }), { key: { protection } });
  for (const parent of ["auto", "owner", "endorsement"]) t.match(key({ tpm: { parent } }), { key: { tpm: { parent } } });
  t.match(key({ tpm: { parent: "0x81000007" } }), { key: { tpm: { parent: 0x8100_0007 } } });
  for (const parent of ["0x80000001", "0x8100001", "0x40000001", "null", 0x8100_0001])
    t.match(faultOf(() => key({ tpm: { parent } })).message, /key\.tpm\.parent: .*persistent handle such as 0x81000001/);
  t.match(faultOf(() => key({ tpm: { handle: "0x81000010" } })).message, /TLS cannot use a key that is kept in the TPM already/);
});

test("an unknown key is refused at any depth, and the message names it", async (t) => {
  t.match(faultOf(() => parseAgentConfig('{"statedirectory":"/tmp"}')).message, "statedirectory");
  t.match(faultOf(() => parseAgentConfig('{"tunnel":{"insecure":true}}')).message, "tunnel.insecure");
});

test("invalid JSON and a file that is too large are faults of the configuration, and the message names the file", async (t) => {
  for (const text of ["", "{", "[]", "null", `{"stateDirectory":"/${"x".repeat(config.CONFIG_BYTES_MAX)}"}`])
    t.match(
      faultOf(() => parseAgentConfig(text)),
      { code: "config.invalid", message: '"/etc/agent.json"' },
      text.slice(0, 20),
    );
});

test("hub anchors without a pin or in another form are refused", async (t) => {
  const fault = faultOf(() =>
    config.parseAnchors(
      '{"v":1,"name":"hub","host":"hub.example","estPort":0,"mqttPort":8883,"authority":"","timeKey":"x","witnessKey":"y"}',
      "/usr/hub.json",
    ),
  );
  t.match(fault.message, 'hub anchors "/usr/hub.json"');
  for (const path of ["estPort", "authority", "timeKey", "witnessKey"]) t.match(fault.message, path);
});

test("[LCK-65] [LCK-66] a byte order mark and a member that is named twice are faults in words, with the file's name", async (t) => {
  for (const [text, message] of [
    ['\ufeff{"stateDirectory":"/tmp"}', /"\/etc\/agent\.json" .*begins with a byte order mark; save it as UTF-8/u],
    ['{"tunnel":{"keepaliveS":9,"keepaliveS":900}}', /"\/etc\/agent\.json" .*names the member "keepaliveS" twice/u],
  ] as const)
    t.match(
      faultOf(() => parseAgentConfig(text)),
      { code: "config.invalid", message },
    );
  const anchors = '{"host":"a","host":"b"}';
  t.match(faultOf(() => config.parseAnchors(anchors, "hub.json")).message, /names the member "host" twice/u);
});
