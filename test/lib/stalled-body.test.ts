import { PassThrough } from 'node:stream'
import { test } from 'tap'
import { endStalled } from '../../src/lib/stalled-body.ts'
import { createHurriedSystem } from '../support/hurried-system.ts'

/** A minute is a second. */
const SPEED = 60

test('a client that sends next to nothing is not waited for', async (t) => {
  const system = createHurriedSystem(SPEED)
  const body = new PassThrough()
  const drip = setInterval(() => body.write('x'), 50)
  t.teardown(() => clearInterval(drip))
  const pieces: Buffer[] = []
  await t.rejects(
    async () => {
      for await (const piece of endStalled(body, system)) pieces.push(piece)
    },
    { code: 'REQUEST_TIMEOUT' },
  )
  t.ok(body.destroyed)
  t.ok(pieces.length > 1)
})

test('the time of whoever takes the pieces is not the client’s', async (t) => {
  const system = createHurriedSystem(SPEED)
  const body = new PassThrough()
  let bytes = 0
  body.write('one')
  for await (const piece of endStalled(body, system)) {
    bytes += piece.length
    await system.sleep(70_000)
    if (bytes === 3) body.end('two')
  }
  t.equal(bytes, 6)
})
