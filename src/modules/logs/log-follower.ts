import { untilAborted } from '../../lib/abortable.ts'
import { isAppError } from '../../lib/errors.ts'
import { createMasker, type Masker } from '../../lib/redact.ts'
import type { System } from '../../lib/system.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import { createLineJoiner, createNewLineFilter, type OutputLine, resumeInstant } from './output-place.ts'
import type { ServiceLog } from './service-log.ts'
import type { ServiceLogs } from './service-logs.ts'

/** A container whose output belongs into its service's log. */
export interface FollowedContainer {
  container_name: string
  service_id: string
  deployment_id: string
  replica_index: number
}

export interface LogFollowerDeps {
  runtime: Pick<Runtime, 'followLogs'>
  logs: ServiceLogs
  system: System
  /** The containers that ought to be followed, running or not. */
  listContainers: () => FollowedContainer[]
  /** Values that are masked in the output of a container: those of its own release, however old, and those of its service today. */
  secretsOf: (container: FollowedContainer) => Promise<readonly string[]>
  onError: (error: unknown, container: FollowedContainer) => void
}

export interface LogFollower {
  /** Follows what ought to be followed and is not, leaves what is gone, and looks again at once at what has stopped. */
  run(signal: AbortSignal): Promise<void>
  /** Resolves when nobody follows any more, after the signal of `run` has aborted. */
  stopped(): Promise<void>
}

const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 30_000
/** How long what was left in a container that nobody wants any more is read. */
const LEAVE_MS = 60_000
/** What one container may write into the log in one turn; the engine keeps the rest, so that none is lost. */
const PACE = { ms: 100, lines: 2000, characters: 1024 * 1024 }

/** One container that is being followed. */
class Following {
  readonly done: Promise<void>
  readonly #container: FollowedContainer
  readonly #deps: LogFollowerDeps
  readonly #cut = new AbortController()
  readonly #signal: AbortSignal
  #isLeaving = false
  #cancelCut: () => void = () => {}
  #wake: () => void = () => {}
  #isWoken = false

  constructor(container: FollowedContainer, deps: LogFollowerDeps, signal: AbortSignal) {
    this.#container = container
    this.#deps = deps
    this.#signal = AbortSignal.any([signal, this.#cut.signal])
    this.done = this.#follow()
  }

  /** Goes on, and reads again at once when the output had ended. */
  stay(): void {
    this.#isLeaving = false
    this.#cancelCut()
    this.#wakeUp()
  }

  /** Reads what is left and ends: the container was stopped, and its last words are worth having. */
  leave(): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.#cancelCut = this.#deps.system.later(LEAVE_MS, () => this.#cut.abort())
    this.#wakeUp()
  }

  #wakeUp(): void {
    this.#isWoken = true
    this.#wake()
  }

  async #follow(): Promise<void> {
    let pause = FIRST_PAUSE_MS
    for (let isLast = false; !this.#signal.aborted && !isLast;) {
      isLast = this.#isLeaving
      try {
        if ((await this.#read()) > 0) pause = FIRST_PAUSE_MS
      } catch (error) {
        // That the engine is away is said by others, and often enough.
        if (!this.#signal.aborted && !isAppError(error, 'RUNTIME_UNAVAILABLE'))
          this.#deps.onError(error, this.#container)
      }
      if (isLast) break
      await this.#pause(pause)
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
    }
    this.#cancelCut()
  }

  /** Stores the output from where it was left off until it ends. Answers how many lines that were. */
  async #read(): Promise<number> {
    const { container_name, service_id, deployment_id, replica_index } = this.#container
    const origin = { deployment_id, replica: replica_index }
    const log = await this.#deps.logs.open(service_id)
    if (!log) return 0
    await untilAborted(log.flush(), this.#signal)
    if (this.#signal.aborted) return 0
    const place = log.placeOf(origin)
    const since = resumeInstant(place)
    const isNew = createNewLineFilter(place)
    const joiner = createLineJoiner()
    const intake = new Intake(
      log,
      createMasker(await this.#deps.secretsOf(this.#container)),
      this.#deps.system,
      this.#signal,
    )
    const options = { follow: true, ...(since === undefined ? {} : { since }) }
    const store = async (lines: OutputLine[]): Promise<void> => {
      for (const line of lines) if (isNew(line)) await intake.take(origin, line)
    }
    for await (const chunk of this.#deps.runtime.followLogs(container_name, options, this.#signal)) {
      const lines = joiner.push(chunk)
      if (lines.length > 0) await store(lines)
    }
    // Half a line that was cut by our own leaving is read again, whole, the next time.
    if (!this.#signal.aborted) await store(joiner.rest())
    await untilAborted(log.flush(), this.#signal)
    return intake.lines
  }

  /** Waits before the next reading, unless something wakes it or all is over. */
  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      if (this.#isWoken || this.#signal.aborted) return resolve()
      const end = (): void => {
        cancel()
        this.#signal.removeEventListener('abort', end)
        resolve()
      }
      const cancel = this.#deps.system.later(ms, end)
      this.#signal.addEventListener('abort', end, { once: true })
      this.#wake = end
    })
    this.#wake = () => {}
    this.#isWoken = false
  }
}

/** Hands lines to the log at a pace that leaves time for everything else. */
class Intake {
  lines = 0
  readonly #log: ServiceLog
  readonly #masker: Masker
  readonly #system: System
  readonly #signal: AbortSignal
  #since = 0
  #linesSince = 0
  #charactersSince = 0

  constructor(log: ServiceLog, masker: Masker, system: System, signal: AbortSignal) {
    this.#log = log
    this.#masker = masker
    this.#system = system
    this.#signal = signal
  }

  async take(origin: { deployment_id: string; replica: number }, line: OutputLine): Promise<void> {
    this.lines += 1
    await untilAborted(
      this.#log.append(origin, { ...line, line: this.#masker.mask(line.line) }),
      this.#signal,
    )
    this.#linesSince += 1
    this.#charactersSince += line.line.length
    if (this.#linesSince < PACE.lines && this.#charactersSince < PACE.characters) return
    const spent = this.#system.monotonic() - this.#since
    this.#linesSince = 0
    this.#charactersSince = 0
    if (spent < PACE.ms) await this.#system.sleep(PACE.ms - spent, this.#signal).catch(() => {})
    this.#since = this.#system.monotonic()
  }
}

/** Brings the output of containers into the logs of their services. `run` is the body of a worker. */
export function createLogFollower(deps: LogFollowerDeps): LogFollower {
  const followings = new Map<string, Following>()

  return {
    run: async (signal) => {
      const wanted = new Map(deps.listContainers().map((container) => [container.container_name, container]))
      for (const [name, following] of followings) {
        if (!wanted.has(name)) following.leave()
      }
      for (const [name, container] of wanted) {
        const present = followings.get(name)
        if (present) {
          present.stay()
          continue
        }
        const following = new Following(container, deps, signal)
        followings.set(name, following)
        void following.done.then(() => followings.delete(name))
      }
    },

    stopped: async () => {
      await Promise.all([...followings.values()].map(({ done }) => done))
    },
  }
}
