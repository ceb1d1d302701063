// Bounds of what lockdown keeps and waits for. What a policy can say is bounded in format/limits.ts.

/** The record on disk: one policy with its defaults spelled out, and a few words. */
export const RECORD_BYTES_MAX = 131_072;
/** When what should be in force can't be put in force, everything is shut and this long passes before the next try. */
export const RETRY_MS = 60_000;
export const NONCE_BYTES = 32;

/** How often the USB tree is looked at for something new: names and numbers only. */
export const USB_POLL_MS = 1000;
/** How often all of it is compared with what should be in force; costs one run of nft. */
export const RECHECK_MS = 5000;

/** Records of what others do (devices that come and go, a table that is changed) at once and then one each: nobody fills the log by plugging. */
export const EXTERNAL_RECORDS_BURST_MAX = 32;
export const EXTERNAL_RECORDS_PERIOD_MS = 30_000;

/** Plans the agent may have made at once, and then one each. */
export const PLANS_BURST_MAX = 8;
export const PLANS_PERIOD_MS = 2000;

/** Of one list in an answer, as JSON: an answer with all of its lists fits one line of the protocol. [OPS-1] */
export const VIEW_LIST_BYTES_MAX = 24_576;
export const PREVIEW_LIST_BYTES_MAX = 14_336;

/** A failure that lasts is reported once in this time. */
export const REPORT_PERIOD_MS = 3_600_000;
export const REPORTS_REMEMBERED_MAX = 64;
