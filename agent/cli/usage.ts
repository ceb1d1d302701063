// How the command is used, and how one says that it was used wrongly. Pure.
import { Fault } from "../../hal/fault.ts";
import { carriedVerbSchema } from "../operations/format.ts";

export const DEFAULT_SOCKET = "/run/sallyport-agent/root.sock";

export const USAGE = `usage: sallyport [--socket PATH] [--json] status
       sallyport [--socket PATH] [--json] audit tail [-n N]
       sallyport [--socket PATH] [--json] update status | lockdown show | lockdown plan FILE
       sallyport [--socket PATH] [--json] update approve | update revert | reboot |
                 lockdown confirm | lockdown revert [--challenge CHALLENGE --answer ANSWER]
       sallyport [--socket PATH] [--json] order nonce VERB
       sallyport [--json] audit verify DIR --key VKEY [--witness VKEY] [--checkpoint FILE]... [--epoch N]
       sallyport --help | --version

Asks the agent of this machine, or looks at an audit log by itself.

  status            the state of this device
  audit tail        the newest records of the audit trail, 10 unless -n says otherwise
  update status     how far an update is
  update approve    let a written release be tried, or one that was rolled back be taken again *
  update revert     stop an update that is under way; a system on trial is left, by a reboot *
  lockdown show     what is open, what is plugged in and what became of it
  lockdown plan     what the policy in FILE would do here; nothing is changed, 1 if it would be refused
  lockdown confirm  keep the policy that is on trial *
  lockdown revert   take the policy that is on trial back *
  reboot            start this device anew *
  order nonce       a challenge for VERB (${carriedVerbSchema.options.join(", ")})
  audit verify      check an audit log offline; DIR is the warden's state directory or a copy of it,
                    VKEY a verifier key as "sallyport-hub audit verify ID --json" prints it

* needs an order: shows a challenge, and reads from standard input the line that "sallyport-hub answer"
  prints for it where the key is. Being root here is not enough.

  --socket PATH       the agent's socket; ${DEFAULT_SOCKET} when not given
  --json              one line of JSON instead of text
  --challenge C       the challenge from "order nonce", when it was answered before
  --answer A          its answer
  --key VKEY          the device's audit key: take it from the hub, not from the device
  --witness VKEY      the hub's witness key: what it cosigned must be in the log
  --checkpoint FILE   one more signed checkpoint that the log must contain; may be given again
  --epoch N           which log, where there are several; the last when not given

Exit codes: 0 ok, 1 fault, 2 usage, 3 agent unreachable, 4 denied, 5 verification failed.
`;

export function usage(message: string, cause?: unknown): Fault {
  return new Fault("usage.invalid", `${message}; see sallyport --help`, { cause });
}
