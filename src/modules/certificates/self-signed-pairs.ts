import { Worker } from 'node:worker_threads'
import type { Obtained } from './certificate-order.ts'

/** What the thread is asked for; instants are RFC 3339. */
export interface SelfSignedOrder {
  hostnames: string[]
  not_before: string
  not_after: string
}

/** Makes a key and a certificate for each hostname, in their order. */
export type MakeSelfSigned = (order: SelfSignedOrder) => Promise<Obtained[]>

/**
 * Has them made in a thread that ends with its work: loading what writes certificates takes the better part of a second and 20 MiB, and nearly every
 * node needs that never or once.
 */
export const makeSelfSigned: MakeSelfSigned = (order) => {
  const { promise, resolve, reject } = Promise.withResolvers<Obtained[]>()
  const made: Obtained[] = []
  const thread = new Worker(new URL('./self-signed-thread.ts', import.meta.url), {
    name: 'self-signed',
    workerData: order,
  })
  thread.on('message', (pair: Obtained) => made.push(pair))
  thread.once('error', reject)
  thread.once('exit', () => {
    if (made.length === order.hostnames.length) resolve(made)
    else reject(new Error('The thread that makes self-signed certificates ended early.'))
  })
  return promise
}
