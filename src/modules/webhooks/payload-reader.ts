import { Worker } from 'node:worker_threads'
import { createSlots } from '../../lib/slots.ts'
import type { System } from '../../lib/system.ts'
import { readPayload } from './payload.ts'
import type { PayloadOrder } from './payload-thread.ts'

export type ReadPayload = (body: Buffer, isForm: boolean) => Promise<ReturnType<typeof readPayload>>

/** JSON of this size takes a millisecond or two; what is larger is read in a thread of its own. */
const SMALL_BYTES = 256 * 1024
const TIMEOUT_MS = 20_000

/** Reads payloads without holding up the event loop. */
export function createPayloadReader(system: System): ReadPayload {
  const slots = createSlots(system, { slots: 1, waiting: 8, waitMs: 10_000 })
  return async (body, isForm) => {
    if (body.length <= SMALL_BYTES) return readPayload(body, isForm)
    const leave = await slots.acquire(new AbortController().signal)
    try {
      return await readInThread(system, { body, isForm })
    } finally {
      leave()
    }
  }
}

async function readInThread(system: System, order: PayloadOrder): Promise<ReturnType<typeof readPayload>> {
  const worker = new Worker(new URL('./payload-thread.ts', import.meta.url), {
    name: 'webhook-payload',
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  })
  const { promise: overdue, reject } = Promise.withResolvers<never>()
  const cancelTimer = system.later(TIMEOUT_MS, () => reject(new Error('a payload took too long to read')))
  try {
    const read = new Promise<ReturnType<typeof readPayload>>((resolve, fail) => {
      worker.once('message', resolve)
      worker.once('error', fail)
      worker.once('exit', () => fail(new Error('the thread that reads a payload ended')))
    })
    return await Promise.race([read, overdue])
  } finally {
    cancelTimer()
    await worker.terminate()
  }
}
