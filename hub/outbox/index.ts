export { type Answered, ask, type OperationQuestion } from "./ask.ts";
export { type OutboxDelivery, startDelivery } from "./deliver.ts";
export { queueHint } from "./queue.ts";
