// What the hub has to say to devices: written down by whoever says it, sent by the hub that serves, kept until the device has it or its time is over.
export { type Answered, ask, type OperationQuestion } from "./ask.ts";
export { type OutboxDelivery, startDelivery } from "./deliver.ts";
export { queueHint } from "./queue.ts";
