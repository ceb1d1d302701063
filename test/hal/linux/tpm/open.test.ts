// The way to a TPM in words, and one piece of work at a time.
import { test } from "tap";
import { wayOf } from "../../../../hal/linux/tpm/open.ts";

test("ways to a TPM in tss2's notation: the kernel's device and swtpm's socket; others are refused in words", async (t) => {
  t.same(wayOf("device:/dev/tpmrm0"), { device: "/dev/tpmrm0" });
  t.same(wayOf("swtpm:host=127.0.0.1,port=4321"), { simulator: { host: "127.0.0.1", port: 4321 } });
  t.same(wayOf("swtpm:port=4321"), { simulator: { port: 4321 } });
  t.same(wayOf("swtpm"), { simulator: { port: 2321 } }, "the port of tss2 where none is named");
  t.same(wayOf("swtpm:path=/run/tpm.sock"), { simulator: { path: "/run/tpm.sock" } });
  const others = ["", "device", "device:tpm0", "tabrmd", "mssim:host=127.0.0.1,port=2321", "swtpm:port=0", "swtpm:port=65536"];
  for (const tcti of [...others, "swtpm:port=x", "swtpm:path=tpm.sock", "swtpm:path=/a,port=1", "swtpm:prot=1", "libtpms:"])
    t.throws(() => wayOf(tcti), { code: "tpm.invalid", message: /write device:\/dev\/tpmrm0 or swtpm:host=/ }, tcti);
});
