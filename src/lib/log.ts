import { type Logger, pino } from 'pino'
import { createLogOutput } from './log-output.ts'

export type Log = Logger

/** Whatever is logged under these names is not shown, wherever it stands. */
const SECRET_NAMES = ['password', 'token', 'secret', 'authorization', 'cookie', 'env', 'admin_token']

const STANDARD_OUTPUT = 1

/** The daemon's log: one JSON object a line on standard output. */
export function createLog(level: string): Log {
  const output = createLogOutput(STANDARD_OUTPUT, lostLine)
  process.once('exit', output.end)
  return pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
        censor: '***redacted***',
      },
    },
    output,
  )
}

/** Resolves when every line so far is written or lost; false when standard output takes nothing. */
export function flushLog(log: Log): Promise<boolean> {
  return new Promise((resolve) => {
    log.flush((error) => resolve(error === undefined))
  })
}

/** Not by the log itself, which would put it behind the lines that wait. */
function lostLine(count: number): string {
  const time = new Date().toISOString()
  return `${JSON.stringify({ level: 'warn', time, pid: process.pid, count, msg: 'lines of this log could not be written' })}\n`
}

/** A log that keeps nothing, for tests. */
export function createSilentLog(): Log {
  return pino({ level: 'silent' })
}
