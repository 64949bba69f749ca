import { destination, type Logger, pino } from 'pino'

export type Log = Logger

/** Whatever is logged under these names is not shown, wherever it stands. */
const SECRET_NAMES = ['password', 'token', 'secret', 'authorization', 'cookie', 'env', 'admin_token']

/** The daemon's log: one JSON object a line on standard output. */
export function createLog(level: string): Log {
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
    destination({ fd: 1, sync: false }),
  )
}

/** A log that keeps nothing, for tests. */
export function createSilentLog(): Log {
  return pino({ level: 'silent' })
}
