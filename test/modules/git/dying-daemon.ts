import { tmpdir } from 'node:os'
import { startChild } from '../../../src/modules/git/child-process.ts'

/** Starts a program that would run for an hour, says its pid, and waits to be killed. */
const child = startChild({
  program: 'sleep',
  args: ['3600'],
  cwd: tmpdir(),
  env: { PATH: process.env['PATH'] ?? '' },
  limits: { memory_bytes: 1024 ** 3, file_bytes: 0 },
})
child.once('spawn', () => console.log(child.pid))
