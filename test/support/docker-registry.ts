import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Debian's docker-registry on a free port, over a directory of its own. */
export async function startDockerRegistry(options: { auth?: string } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'docker-registry-'))
  const config = join(directory, 'config.yml')
  const lines = [
    'version: 0.1',
    'log: {level: info, accesslog: {disabled: true}}',
    `storage: {filesystem: {rootdirectory: ${join(directory, 'data')}}, delete: {enabled: true}, cache: {blobdescriptor: inmemory}}`,
    'http: {addr: "127.0.0.1:0", relativeurls: true}',
  ]
  if (options.auth !== undefined) lines.push(options.auth)
  writeFileSync(config, `${lines.join('\n')}\n`)
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const port = await new Promise<number>((resolve, reject) => {
    let said = ''
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`docker-registry ended: ${said}`)))
    child.stderr.on('data', (piece: Buffer) => {
      said = `${said}${piece.toString()}`.slice(-20_000)
      const match = /listening on 127\.0\.0\.1:(\d+)/.exec(said)
      if (match) resolve(Number(match[1]))
    })
  })
  return {
    origin: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    stop: async (): Promise<void> => {
      child.kill('SIGKILL')
      await exited
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
