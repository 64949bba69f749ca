import { parentPort, workerData } from 'node:worker_threads'
import type { NodeKey } from '../node-key.ts'
import { SopsFileRefused, type SopsFormat } from './sops-container.ts'
import { openSopsFile, type OpenedValues } from './sops-file.ts'

/** The body of a thread that opens one file and ends. */
export interface SopsOrder {
  text: string
  format: SopsFormat
  keys: NodeKey[]
}

export type SopsReport = { values: OpenedValues } | { refused: string } | { failed: string }

function report(message: SopsReport): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(message)
}

const { text, format, keys } = workerData as SopsOrder
try {
  report({ values: await openSopsFile(text, format, keys) })
} catch (error) {
  if (error instanceof SopsFileRefused) report({ refused: error.message })
  // Nothing of what else it says: it may quote a value or a key.
  else report({ failed: error instanceof Error ? error.name : 'unknown' })
}
