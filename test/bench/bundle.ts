// Size of the JavaScript on the device, in bytes.
import { buildPrograms, DEVICE_BYTES_MAX } from "../../build/bundle.ts";
import type { Measure } from "./bench.ts";
import { finding } from "./finding.ts";

export const bundle: Measure = {
  name: "bundle",
  peers: [],
  how: "bytes of JavaScript on the device as `npm run build` makes it; native add-ons are listed beside the budget",
  async run() {
    const { device, deviceBytes, addonBytes } = await buildPrograms();
    const whyMissed = "see dist/sizes.json; `esbuild --analyze` names the largest inputs";
    return [
      finding({
        what: "all JavaScript on the device",
        unit: "bytes",
        ours: [deviceBytes],
        target: { of: "ours", is: "at most", bound: DEVICE_BYTES_MAX },
        whyMissed,
      }),
      ...Object.entries(device).map(([file, bytes]) => finding({ what: `  ${file}`, unit: "bytes", ours: [bytes] })),
      finding({ what: "serial add-on, beside it", unit: "bytes", ours: [addonBytes] }),
    ];
  },
};
