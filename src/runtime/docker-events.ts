import type { Readable } from 'node:stream'
import { AppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import { isOwnContainer, withoutBlanks } from './container-info.ts'
import type { DockerEngine } from './docker-engine.ts'
import { translateEngineError } from './docker-errors.ts'
import { labelFilter } from './docker-images.ts'
import { readJsonLines } from './json-lines.ts'
import { LABELS } from './labels.ts'
import type { Runtime, RuntimeEvent } from './runtime.ts'

const KINDS = ['start', 'die', 'destroy', 'oom'] as const

/** What the engine mixes into an event's attributes beside the labels. */
const NOT_LABELS = new Set(['name', 'image', 'exitCode', 'signal', 'execDuration'])

export interface DockerEventsOptions {
  engine: DockerEngine
  nodeId: string
  system: System
}

export function createDockerEvents({
  engine,
  nodeId,
  system,
}: DockerEventsOptions): Pick<Runtime, 'watchEvents'> {
  return {
    watchEvents: (signal) => {
      // Taken now, not when the first event is asked for: the engine replays what happened in between.
      const since = (system.now() / 1000).toFixed(3)
      return watchEvents(engine, nodeId, since, signal)
    },
  }
}

async function* watchEvents(
  engine: DockerEngine,
  nodeId: string,
  since: string,
  signal: AbortSignal,
): AsyncGenerator<RuntimeEvent> {
  const filters = { type: ['container'], event: KINDS, label: labelFilter({ [LABELS.node]: nodeId }) }
  let answer: Readable | undefined
  try {
    answer = await engine.open(
      'watch events',
      { method: 'GET', path: '/events', query: { since, filters: JSON.stringify(filters) } },
      { signal, timeoutMs: null },
    )
    for await (const message of readJsonLines(answer)) {
      if (signal.aborted) return
      const event = toEvent(message)
      if (event && isOwnContainer(nodeId, event.container_name, event.labels)) yield event
    }
  } catch (error) {
    if (signal.aborted) return
    throw translateEngineError(error, 'watch events')
  } finally {
    answer?.destroy()
  }
  if (!signal.aborted) {
    throw new AppError('RUNTIME_UNAVAILABLE', { cause: new Error('docker: the engine ended its events') })
  }
}

/** The engine's message (Engine API, "Monitor events") in our shape, or undefined for what we did not ask for. */
export function toEvent(message: Record<string, unknown>): RuntimeEvent | undefined {
  const { Action: action, Actor: actor, timeNano } = message
  const kind = KINDS.find((known) => known === action)
  if (!kind || typeof actor !== 'object' || actor === null || !('Attributes' in actor)) return undefined
  const attributes = Object.entries(actor.Attributes as Record<string, string>)
  const of = (name: string): string | undefined => attributes.find(([key]) => key === name)?.[1]
  const exitCode = kind === 'die' ? Number.parseInt(of('exitCode') ?? '', 10) : NaN
  return {
    kind,
    container_name: of('name') ?? '',
    labels: withoutBlanks(Object.fromEntries(attributes.filter(([name]) => !NOT_LABELS.has(name)))),
    exit_code: Number.isNaN(exitCode) ? null : exitCode,
    at: new Date(Math.floor(Number(timeNano) / 1e6)).toISOString(),
  }
}
