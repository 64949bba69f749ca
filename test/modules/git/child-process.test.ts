import { spawn } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { runChild } from '../../../src/modules/git/child-process.ts'
import { waitFor } from '../../support/wait.ts'

const LIMITS = { memory_bytes: 1024 ** 3, file_bytes: 1024 }
const COMMON = { cwd: tmpdir(), env: { PATH: process.env['PATH'] ?? '' }, limits: LIMITS }

test('a program dies with the daemon that started it, also when that is killed', async (t) => {
  const daemon = spawn(process.execPath, [fileURLToPath(new URL('dying-daemon.ts', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const pid = await new Promise<string>((resolve) => createInterface(daemon.stdout).once('line', resolve))
  await waitFor('the program runs', () => commandOf(pid) === 'sleep')
  daemon.kill('SIGKILL')
  await waitFor('the program has ended', () => commandOf(pid) !== 'sleep')
  t.pass()
})

test('an abort ends a program with what it started; it gets nothing of our environment', async (t) => {
  const controller = new AbortController()
  const pids: string[] = []
  const run = runChild({
    ...COMMON,
    program: 'sh',
    args: ['-c', 'sleep 3600 & echo $! >&2; wait'],
    onLine: (pid) => {
      pids.push(pid)
      controller.abort(new Error('enough'))
    },
    signal: controller.signal,
  })
  await t.rejects(run, { message: 'enough' })
  await waitFor('its child has ended', () => commandOf(pids[0] ?? '') !== 'sleep')
  let printed = ''
  const { signal } = new AbortController()
  await runChild({
    ...COMMON,
    env: { PATH: '/usr/bin:/bin', A: 'b' },
    program: 'env',
    args: ['-0'],
    onOutput: (chunk) => void (printed += chunk.toString()),
    signal,
  })
  t.same(printed.split('\0').toSorted(), ['', 'A=b', 'PATH=/usr/bin:/bin'])
})

test('a program that writes too much is stopped by the kernel', async (t) => {
  const { signal } = new AbortController()
  const folder = t.testdir()
  const args = ['if=/dev/zero', `of=${folder}/large`, 'bs=1k', 'count=8']
  const { code } = await runChild({ ...COMMON, program: 'dd', args, signal })
  t.not(code, 0)
  t.ok(statSync(`${folder}/large`).size <= LIMITS.file_bytes)
})

function commandOf(pid: string): string | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return /^State:\s+Z/m.test(status) ? undefined : /^Name:\s+(.*)$/m.exec(status)?.[1]
  } catch {
    return undefined
  }
}
