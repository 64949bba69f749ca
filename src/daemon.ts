import { flushCompileCache } from 'node:module'
import { type App, createApp } from './app.ts'
import { loadConfig, type Config } from './config.ts'
import { ConfigError } from './lib/config-file.ts'
import { messageOf } from './lib/errors.ts'
import { collectGarbage } from './lib/heap.ts'
import { createLog, flushLog, type Log } from './lib/log.ts'
import { createSystem } from './lib/system.ts'

/** EX_CONFIG of sysexits.h: starting again without a change is in vain. */
const EXIT_CONFIG = 78

/**
 * Runs the daemon in the foreground until a signal ends it. SIGTERM leaves the ingress processes serving, so that a restart costs no
 * request; SIGINT (Ctrl-C) ends them too.
 */
export async function runDaemon(): Promise<void> {
  // What the daemon writes is for nobody else, whoever started it.
  process.umask(0o077)
  const config = readConfig()
  if (!config) return
  const log = createLog(config.log_level)
  const system = createSystem((error) => log.error({ err: error }, 'what was due at this time failed'))
  for (const name of config.unknown_environment)
    log.warn({ name }, 'this environment variable is no setting of Berth')
  let app: App | undefined
  let ending = false

  const end = async (keepIngress: boolean): Promise<void> => {
    if (ending) return
    ending = true
    system.later(config.shutdown_seconds * 1000, () => {
      log.error({ seconds: config.shutdown_seconds }, 'did not stop in time; ending anyway')
      process.exitCode = 1
      void leave(log)
    })
    try {
      await app?.stop({ keepIngress })
      log.info('stopped')
    } catch (error) {
      log.error({ err: error }, 'stopping failed')
      process.exitCode = 1
    }
    await leave(log)
  }
  process.on('SIGTERM', () => void end(true))
  process.on('SIGINT', () => void end(false))

  try {
    app = await createApp({ config, log, system })
    const { api, httpPort, httpsPort } = await app.start()
    flushCompileCache()
    collectGarbage()
    log.info(
      {
        api,
        http_port: httpPort,
        https_port: httpsPort,
        data_dir: config.data_dir,
        config_file: config.config_file ?? null,
      },
      'Berth is ready',
    )
  } catch (error) {
    if (ending) return
    log.fatal({ err: error }, `Berth could not start: ${messageOf(error)}`)
    complain(messageOf(error))
    process.exitCode = 1
    await app?.stop({ keepIngress: true })
    await leave(log)
  }
}

/** Ends the process with `process.exitCode`, behind the last line of the log. */
async function leave(log: Log): Promise<void> {
  // An orderly exit waits for the thread that writes, and so for whoever does not read.
  if (!(await flushLog(log))) process.kill(process.pid, 'SIGKILL')
  process.exit()
}

/** Tells whoever started the daemon. That nobody can read it does not change how the process ends. */
function complain(text: string): void {
  process.stderr.once('error', () => {}).write(`berth: ${text}\n`)
}

function readConfig(): Config | undefined {
  try {
    return loadConfig()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    complain(error.message)
    process.exitCode = EXIT_CONFIG
    return undefined
  }
}
