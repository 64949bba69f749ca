import { cleanLine, createLineAssembler } from './build-output.ts'
import type { BuildLine } from './runtime.ts'

/** Turns the messages of the engine's older builder, and of pulls, into lines that read like a build. */
export interface ClassicProgress {
  push(message: Record<string, unknown>): void
  /** Gives out what is left of an unfinished line. */
  finish(): void
  /** The step that was last begun. */
  step(): string | undefined
}

/** The builder marks standard error by painting it red, piece by piece. */
const RED = `${String.fromCharCode(0x1b)}[91m`
/** Ids of intermediate layers and containers, of use to nobody. */
const NOISE =
  /^ ?---> (Running in )?[0-9a-f]{12}$|^Removing intermediate container [0-9a-f]{12}$|^Successfully (built|tagged) /

/** Far more states of layers than a build goes through. */
const MAX_TOLD = 10_000
const OWN_WORDS = /^(Step \d+\/\d+ : | ---> |Removing intermediate container )/

export function createClassicProgress(onLine: (line: BuildLine) => void): ClassicProgress {
  const stdout = createLineAssembler()
  const stderr = createLineAssembler()
  const told = new Set<string>()
  let step: string | undefined

  const say = (line: string): void => {
    if (line.trim() === '' || NOISE.test(line)) return
    if (/^Step \d+\/\d+ : /.test(line)) {
      step = line
      onLine({ stream: 'status', line })
    } else if (/^ ?---> Using cache$/.test(line)) {
      onLine({ stream: 'status', line: '  cached' })
    } else {
      onLine({ stream: 'stdout', line })
    }
  }

  const pushStatus = (status: string, id: string | undefined): void => {
    const line = cleanLine(id === undefined ? status : `${id}: ${status}`)
    // Downloads report several times a second; their first words on each state are enough.
    if (told.has(line) || told.size > MAX_TOLD) return
    told.add(line)
    onLine({ stream: 'status', line })
  }

  const finish = (): void => {
    stdout.flush().forEach(say)
    for (const line of stderr.flush()) if (line.trim() !== '') onLine({ stream: 'stderr', line })
  }

  return {
    push: ({ stream, status, id }) => {
      if (typeof status === 'string') return pushStatus(status, typeof id === 'string' ? id : undefined)
      if (typeof stream !== 'string') return
      // The builder's own words come in messages of their own, also after output that had no newline.
      if (OWN_WORDS.test(stream)) finish()
      const bytes = Buffer.from(stream.replaceAll(RED, ''))
      if (stream.startsWith(RED)) stderr.push(bytes).forEach((line) => onLine({ stream: 'stderr', line }))
      else stdout.push(bytes).forEach(say)
    },
    finish,
    step: () => step,
  }
}
