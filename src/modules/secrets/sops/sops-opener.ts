import { Worker } from 'node:worker_threads'
import type { System } from '../../../lib/system.ts'
import type { NodeKey } from '../node-key.ts'
import { formatOf, SopsFileRefused } from './sops-container.ts'
import type { OpenedValues } from './sops-file.ts'
import type { SopsOrder, SopsReport } from './sops-thread.ts'

/** A file of variables is at most this long. */
export const MAX_SOPS_BYTES = 1024 * 1024
const PATIENCE_MS = 20_000
const HEAP_MB = 128

/**
 * Opens a file of variables that SOPS encrypted for this node, in a thread of its own: what it holds is someone else's, and opening it takes tens
 * of milliseconds. Throws SopsFileRefused with a reason for people.
 */
export async function openInThread(
  file: { path: string; text: string },
  keys: readonly NodeKey[],
  system: System,
): Promise<OpenedValues> {
  const order: SopsOrder = { text: file.text, format: formatOf(file.path), keys: [...keys] }
  const thread = new Worker(new URL('./sops-thread.ts', import.meta.url), {
    workerData: order,
    // Nothing of ours: not even where a home directory would be.
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  })
  const done = Promise.withResolvers<SopsReport>()
  const cancel = system.later(PATIENCE_MS, () => done.reject(new SopsFileRefused('opening it took too long')))
  thread.once('message', (report: SopsReport) => done.resolve(report))
  thread.once('error', (error) =>
    done.reject(new Error('the thread that opens files failed', { cause: error })),
  )
  thread.once('exit', () => done.reject(new SopsFileRefused('opening it took too much memory')))
  try {
    const report = await done.promise
    if ('values' in report) return report.values
    if ('refused' in report) throw new SopsFileRefused(report.refused)
    throw new Error(`the thread that opens files failed: ${report.failed}`)
  } finally {
    cancel()
    await thread.terminate()
  }
}
