import { createLineAssembler, cleanLine, type LineAssembler } from './build-output.ts'
import type { BuildkitStatus, Vertex, VertexLog, VertexStatus } from './buildkit-status.ts'
import type { BuildLine } from './runtime.ts'

const STDERR = 2
/** Large enough to be worth a line: below, a layer is there at once. */
const NOTABLE_BYTES = 1024 * 1024

/** Turns BuildKit's status messages into lines that read like a build. */
export interface BuildkitProgress {
  push(status: BuildkitStatus): void
  /** Gives out what is left of unfinished lines. */
  finish(): void
  /** The name of the step that failed first, with its error, if one did. */
  failure(): { step: string; error: string } | undefined
}

interface Step {
  name: string
  hidden: boolean
  started: boolean
  completed: boolean
  output: Map<number, LineAssembler>
}

export function createBuildkitProgress(onLine: (line: BuildLine) => void): BuildkitProgress {
  const steps = new Map<string, Step>()
  const told = new Set<string>()
  let speaking: string | undefined
  let failed: { step: string; error: string } | undefined

  const stepOf = (digest: string): Step => {
    const known = steps.get(digest)
    if (known) return known
    const step = {
      name: '',
      hidden: true,
      started: false,
      completed: false,
      output: new Map<number, LineAssembler>(),
    }
    steps.set(digest, step)
    return step
  }

  /** Steps run side by side: whose output follows is said again whenever it changes. */
  const speak = (digest: string, line: BuildLine): void => {
    const step = stepOf(digest)
    if (speaking !== digest && step.name !== '') onLine({ stream: 'status', line: step.name })
    speaking = digest
    onLine(line)
  }

  const flush = (digest: string): void => {
    for (const [stream, output] of stepOf(digest).output)
      for (const line of output.flush()) speak(digest, { stream: streamName(stream), line })
  }

  const pushVertex = (vertex: Vertex): void => {
    const step = stepOf(vertex.digest)
    if (vertex.name !== '') {
      step.name = cleanLine(vertex.name)
      step.hidden = isInternal(vertex.name)
    }
    if (vertex.error !== '' && !/context canceled/.test(vertex.error))
      failed ??= { step: step.name, error: vertex.error }
    if (step.completed) return
    // A step that was in the cache is started and completed in one message, or never started.
    if (vertex.started !== undefined && !step.started && !vertex.cached) {
      step.started = true
      if (!step.hidden) {
        onLine({ stream: 'status', line: step.name })
        speaking = vertex.digest
      }
    }
    if (vertex.completed === undefined) return
    step.completed = true
    flush(vertex.digest)
    if (!step.hidden) onLine({ stream: 'status', line: `${step.name} - ${outcomeOf(vertex)}` })
    if (speaking === vertex.digest) speaking = undefined
  }

  const pushStatus = (status: VertexStatus): void => {
    const key = `${status.vertex} ${status.id}`
    const step = stepOf(status.vertex)
    const notable = status.total >= NOTABLE_BYTES || !step.hidden
    if (!status.completed || !notable || told.has(key)) return
    told.add(key)
    speak(status.vertex, { stream: 'status', line: `  ${describe(status)}` })
  }

  const pushLog = (log: VertexLog): void => {
    const { output } = stepOf(log.vertex)
    const assembler = output.get(log.stream) ?? createLineAssembler()
    output.set(log.stream, assembler)
    for (const line of assembler.push(log.bytes)) speak(log.vertex, { stream: streamName(log.stream), line })
  }

  return {
    push: (status) => {
      // Output that comes with the end of its step belongs before it.
      status.vertexes.filter((vertex) => vertex.completed === undefined).forEach(pushVertex)
      status.logs.forEach(pushLog)
      status.statuses.forEach(pushStatus)
      status.vertexes.filter((vertex) => vertex.completed !== undefined).forEach(pushVertex)
      for (const warning of status.warnings)
        onLine({ stream: 'stderr', line: `warning: ${cleanLine(warning)}` })
    },
    finish: () => {
      for (const digest of steps.keys()) flush(digest)
    },
    failure: () => failed,
  }
}

/** Steps that BuildKit adds for its own needs and that nobody wrote into a Dockerfile. */
function isInternal(name: string): boolean {
  return name.startsWith('[internal]') || name.startsWith('copy /context') || name === ''
}

function outcomeOf(vertex: Vertex): string {
  if (vertex.error !== '') return /context canceled/.test(vertex.error) ? 'cancelled' : 'failed'
  if (vertex.cached || vertex.started === undefined || vertex.completed === undefined) return 'cached'
  return `done in ${((vertex.completed - vertex.started) / 1000).toFixed(1)} s`
}

function describe(status: VertexStatus): string {
  const label = cleanLine(status.name || status.id)
  return status.total >= NOTABLE_BYTES ? `${label} (${(status.total / 1e6).toFixed(1)} MB)` : label
}

function streamName(stream: number): 'stdout' | 'stderr' {
  return stream === STDERR ? 'stderr' : 'stdout'
}
