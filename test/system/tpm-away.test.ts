// A TPM that is away, with real programs: what the warden finds out, and what `sallyport identity
// show` tells of it. [ID-70] [ID-72] [ID-74]
import { test } from "tap";
import { startSwtpm } from "../lab/counterparts/swtpm.ts";
import { needs } from "../lab/runner/needs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { untilStatus } from "../lab/worlds/probes.ts";
import { buildRig } from "../lab/worlds/rig.ts";

const ID = "SPG2-0A1B2C3D";

test(
  "[ID-70] [ID-72] [ID-74] a restarted warden finds by itself that the TPM is gone and shuts the doors; identity show tells of it, of a healthy device, and of a warden that is away",
  { skip: needs("bundles", "swtpm", "tpm2-provider", "openssl") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    let chip = await startSwtpm({ directory });
    t.teardown(() => chip.stop());
    const rig = await buildRig({ tpm: chip.tcti, wardenConfig: { tpm: { tcti: chip.tcti, ownership: "take" } } });
    t.teardown(() => rig.stop());
    await rig.startHub();
    let warden = await rig.startWarden();
    const first = await rig.startAgent();
    const born = await untilStatus(rig, "the key", ({ key }) => key !== undefined);
    t.match(born.tpm, { ownership: "ours", clear: "forbidden" }, "both programs use the chip, and the warden owns it");
    t.equal(born.lockdown?.held, undefined);
    const fingerprint = born.key?.fingerprint ?? "";
    const healthy = rig.command("identity", "show");
    t.equal(healthy.code, 0, healthy.stdout);
    t.match(healthy.stdout, `birth   as ${ID} (board serial), key in the TPM\n        with the key above\n`);
    t.match(healthy.stdout, /^tpm {5}owned by this device, clear forbidden/mu);
    t.match(healthy.stdout, `srk     ${born.tpm?.storage}\nek      ${born.tpm?.endorsement}\n`);
    await first.stop();
    await warden.stop();
    await chip.stop();

    warden = await rig.startWarden();
    await rig.startAgent();
    const away = await untilStatus(rig, "the fault in the status", ({ enrolment }) => enrolment?.lastFault !== undefined);
    t.equal(away.enrolment?.lastFault?.code, "key.tpm-missing");
    t.match(away.lockdown?.held, /^key\.tpm-/u, "the warden has found out itself");
    const unusable = rig.command("identity", "show");
    t.equal(unusable.code, 1);
    t.match(unusable.stdout, /^key {5}NOT USABLE: TPM /mu);
    t.match(unusable.stdout, `birth   as ${ID} (board serial), key in the TPM\n        ${fingerprint}\n`);
    t.match(unusable.stdout, /^doors {3}SHUT: TPM /mu);
    await warden.stop();
    const silent = rig.command("identity", "show");
    t.equal(silent.code, 1);
    t.match(silent.stdout, /^unknown birth record, TPM and audit key: /mu, "what only the warden knows is not called absent");
    await rig.startWarden();

    chip = await startSwtpm({ directory, port: chip.port });
    const back = await untilStatus(rig, "its own TPM", ({ key, lockdown }) => key !== undefined && lockdown?.held === undefined);
    t.equal(back.key?.fingerprint, fingerprint);
  },
);
