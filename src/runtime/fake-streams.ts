import { engineAway, type FaultyVerbs } from './fake-faults.ts'
import type { FakeEngine } from './fake-engine.ts'
import { LABELS } from './labels.ts'
import type { FollowOptions, LogChunk, Runtime, RuntimeEvent } from './runtime.ts'

/** The streaming verbs over an engine in memory. */
export function createFakeStreams(
  engine: FakeEngine,
  nodeId: string,
  verbs: FaultyVerbs,
): Pick<Runtime, 'followLogs' | 'watchEvents'> {
  return {
    followLogs: (name, options, signal) => followLogs(engine, verbs, name, options, signal),
    watchEvents: (signal) => {
      // From the call on, not from the first reading on.
      const queue: RuntimeEvent[] = []
      const unsubscribe = engine.onEvent((event) => {
        if (event.labels[LABELS.node] === nodeId) queue.push(event)
      })
      signal.addEventListener('abort', unsubscribe, { once: true })
      return watchEvents(engine, verbs, queue, unsubscribe, signal)
    },
  }
}

async function* followLogs(
  engine: FakeEngine,
  verbs: FaultyVerbs,
  name: string,
  { since, follow, tail }: FollowOptions,
  signal: AbortSignal,
): AsyncGenerator<LogChunk> {
  await verbs.around('followLogs', [name], () => {})
  const container = engine.containers.get(name)
  if (!container) return
  const start = container.log.findIndex((chunk) => since === undefined || atOrAfter(chunk.ts, since))
  let next = start === -1 ? container.log.length : start
  if (tail !== undefined) next = Math.max(next, container.log.length - tail)
  for (;;) {
    while (next < container.log.length) {
      if (signal.aborted) return
      const chunk = container.log[next]
      next += 1
      if (chunk) yield chunk
    }
    if (signal.aborted || !follow || container.phase !== 'running') return
    if (engine.away) throw engineAway()
    await engine.changed(signal)
    if (verbs.isDead()) await new Promise<never>(() => {})
  }
}

/** Instants of one form (UTC, `Z`) with fractions of any length. */
function atOrAfter(instant: string, since: string): boolean {
  const pad = (text: string): string => {
    const [whole = '', fraction = ''] = text.replace('Z', '').split('.')
    return `${whole}.${fraction.padEnd(9, '0')}`
  }
  return pad(instant) >= pad(since)
}

async function* watchEvents(
  engine: FakeEngine,
  verbs: FaultyVerbs,
  queue: RuntimeEvent[],
  unsubscribe: () => void,
  signal: AbortSignal,
): AsyncGenerator<RuntimeEvent> {
  try {
    await verbs.around('watchEvents', [], () => {})
    for (;;) {
      if (verbs.isDead()) await new Promise<never>(() => {})
      for (let event = queue.shift(); event; event = queue.shift()) yield event
      if (signal.aborted) return
      if (engine.away) throw engineAway()
      await engine.changed(signal)
    }
  } finally {
    unsubscribe()
  }
}
