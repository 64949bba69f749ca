#!/usr/bin/env node
// The `berth` executable: the daemon, or one command of its own. Everything is imported late: a command starts fast, and this check runs
// before anything that an older Node would stumble over.

const OLDEST_NODE = 24

const major = Number(process.versions.node.split('.')[0])
if (major < OLDEST_NODE) {
  process.stderr.write(`berth needs Node.js ${OLDEST_NODE} or newer; this is ${process.versions.node}\n`)
  process.exit(1)
}

const args = process.argv.slice(2)
if (args[0] === 'daemon' && args.length === 1) {
  const { runDaemon } = await import('./daemon.ts')
  await runDaemon()
} else {
  const { enableCompileCache } = await import('node:module')
  const { readEnvironment } = await import('./cli/environment.ts')
  enableCompileCache(readEnvironment().codeCache)
  const { runCli } = await import('./cli/cli.ts')
  await runCli(args)
}
