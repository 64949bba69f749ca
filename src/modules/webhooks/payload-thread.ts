import { parentPort, workerData } from 'node:worker_threads'
import { readPayload } from './payload.ts'

/** The body of a thread that reads one large payload. */
export interface PayloadOrder {
  body: Uint8Array
  isForm: boolean
}

const { body, isForm } = workerData as PayloadOrder
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.postMessage(readPayload(Buffer.from(body), isForm))
