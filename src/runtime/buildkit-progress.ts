import { createLineAssembler, cleanLine, type LineAssembler } from './build-output.ts'
import type { BuildkitStatus, Vertex, VertexLog, VertexStatus } from './buildkit-status.ts'
import type { BuildLine } from './runtime.ts'

const STDERR = 2
/** Large enough to be worth a line: below, a layer is there at once. */
const NOTABLE_BYTES = 1024 * 1024
const MAX_NAME_LENGTH = 400
/** Far more layers than an image may have. */
const MAX_TOLD = 10_000

interface Step {
  name: string
  hidden: boolean
  started: boolean
  completed: boolean
  output: Map<number, LineAssembler>
}

/** Turns BuildKit's status messages into lines that read like a build. */
export class BuildkitProgress {
  readonly #onLine: (line: BuildLine) => void
  readonly #steps = new Map<string, Step>()
  readonly #told = new Set<string>()
  /** The step whose name was said last. */
  #speaking: string | undefined
  #failure: { step: string; error: string } | undefined

  constructor(onLine: (line: BuildLine) => void) {
    this.#onLine = onLine
  }

  push(status: BuildkitStatus): void {
    const isOver = (vertex: Vertex): boolean => vertex.completed !== undefined
    for (const vertex of status.vertexes) if (!isOver(vertex)) this.#pushVertex(vertex)
    for (const log of status.logs) this.#pushLog(log)
    for (const part of status.statuses) this.#pushStatus(part)
    // Output that comes with the end of its step belongs before it.
    for (const vertex of status.vertexes) if (isOver(vertex)) this.#pushVertex(vertex)
    for (const warning of status.warnings)
      this.#onLine({ stream: 'stderr', line: `warning: ${shorten(warning)}` })
  }

  /** Gives out what is left of unfinished lines. */
  finish(): void {
    for (const digest of this.#steps.keys()) this.#flush(digest)
  }

  /** The name of the step that failed first, with its error, if one did. */
  failure(): { step: string; error: string } | undefined {
    return this.#failure
  }

  #stepOf(digest: string): Step {
    const known = this.#steps.get(digest)
    if (known) return known
    const step = {
      name: '',
      hidden: true,
      started: false,
      completed: false,
      output: new Map<number, LineAssembler>(),
    }
    this.#steps.set(digest, step)
    return step
  }

  #pushVertex(vertex: Vertex): void {
    const step = this.#stepOf(vertex.digest)
    if (vertex.name !== '') {
      step.name = shorten(vertex.name)
      step.hidden = isInternal(vertex.name)
    }
    if (vertex.error !== '' && !isCancelled(vertex))
      this.#failure ??= { step: step.name, error: vertex.error }
    if (step.completed) return
    // A step that was in the cache is started and completed in one message, or never started.
    if (vertex.started !== undefined && !vertex.cached) this.#begin(vertex.digest, step)
    if (vertex.completed !== undefined) this.#complete(vertex, step)
  }

  #begin(digest: string, step: Step): void {
    if (step.started) return
    step.started = true
    if (step.hidden) return
    this.#onLine({ stream: 'status', line: step.name })
    this.#speaking = digest
  }

  #complete(vertex: Vertex, step: Step): void {
    step.completed = true
    this.#flush(vertex.digest)
    if (!step.hidden) this.#onLine({ stream: 'status', line: `${step.name} - ${outcomeOf(vertex)}` })
    if (this.#speaking === vertex.digest) this.#speaking = undefined
  }

  #pushStatus(status: VertexStatus): void {
    const key = `${status.vertex} ${status.id}`
    const isNotable = status.total >= NOTABLE_BYTES || !this.#stepOf(status.vertex).hidden
    if (!status.completed || !isNotable || this.#told.has(key) || this.#told.size > MAX_TOLD) return
    this.#told.add(key)
    this.#speak(status.vertex, { stream: 'status', line: `  ${describe(status)}` })
  }

  #pushLog(log: VertexLog): void {
    const { output } = this.#stepOf(log.vertex)
    const assembler = output.get(log.stream) ?? createLineAssembler()
    output.set(log.stream, assembler)
    for (const line of assembler.push(log.bytes))
      this.#speak(log.vertex, { stream: streamName(log.stream), line })
  }

  #flush(digest: string): void {
    for (const [stream, output] of this.#stepOf(digest).output)
      for (const line of output.flush()) this.#speak(digest, { stream: streamName(stream), line })
  }

  /** Steps run side by side: whose output follows is said again whenever it changes. */
  #speak(digest: string, line: BuildLine): void {
    const { name } = this.#stepOf(digest)
    if (this.#speaking !== digest && name !== '') this.#onLine({ stream: 'status', line: name })
    this.#speaking = digest
    this.#onLine(line)
  }
}

function isCancelled(vertex: Vertex): boolean {
  return vertex.error.includes('context canceled')
}

/** One line of what may be a script of many. */
function shorten(text: string): string {
  const line = cleanLine(text.replaceAll(/\s*\n\s*/g, ' '))
  return line.length > MAX_NAME_LENGTH ? `${line.slice(0, MAX_NAME_LENGTH)}...` : line
}

/** Steps that BuildKit adds for its own needs and that nobody wrote into a Dockerfile. */
function isInternal(name: string): boolean {
  return name.startsWith('[internal]') || name.startsWith('copy /context') || name === ''
}

function outcomeOf(vertex: Vertex): string {
  if (vertex.error !== '') return isCancelled(vertex) ? 'cancelled' : 'failed'
  if (vertex.cached || vertex.started === undefined || vertex.completed === undefined) return 'cached'
  return `done in ${((vertex.completed - vertex.started) / 1000).toFixed(1)} s`
}

function describe(status: VertexStatus): string {
  const label = shorten(status.name || status.id)
  return status.total >= NOTABLE_BYTES ? `${label} (${(status.total / 1e6).toFixed(1)} MB)` : label
}

function streamName(stream: number): 'stdout' | 'stderr' {
  return stream === STDERR ? 'stderr' : 'stdout'
}
