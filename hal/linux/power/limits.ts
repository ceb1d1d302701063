/** systemctl only leaves word with systemd; longer than this, systemd does not listen. */
export const ASK_WITHIN_MS = 30_000;
export const ANSWER_BYTES_MAX = 65_536;
/** /proc/uptime, proc(5): two numbers. */
export const UPTIME_BYTES_MAX = 256;
