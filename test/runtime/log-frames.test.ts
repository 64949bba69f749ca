import * as fc from 'fast-check'
import { test } from 'tap'
import { toUnixNanoseconds } from '../../src/runtime/docker-logs.ts'
import { createLogFrameReader } from '../../src/runtime/log-frames.ts'
import { createLogPlace } from '../../src/runtime/log-place.ts'
import type { LogChunk } from '../../src/runtime/runtime.ts'

const TS = '2026-01-02T03:04:05.000000006Z'

function frame(stream: 'stdout' | 'stderr', payload: string): Buffer {
  const bytes = Buffer.from(payload)
  const header = Buffer.alloc(8)
  header.writeUInt8(stream === 'stderr' ? 2 : 1, 0)
  header.writeUInt32BE(bytes.length, 4)
  return Buffer.concat([header, bytes])
}

void test('frames are put together again wherever the bytes were cut', async (t) => {
  const lines = fc.array(
    fc.record({
      stream: fc.constantFrom('stdout' as const, 'stderr' as const),
      line: fc.string({ unit: 'binary' }),
    }),
  )
  fc.assert(
    fc.property(lines, fc.array(fc.nat(200)), (said, cuts) => {
      const clean = said.map(({ stream, line }) => ({ stream, line: line.replaceAll(/[\r\n]/g, '') }))
      const bytes = Buffer.concat(clean.map(({ stream, line }) => frame(stream, `${TS} ${line}\n`)))
      const reader = createLogFrameReader()
      const chunks: LogChunk[] = []
      let rest = bytes
      for (const cut of [...cuts, bytes.length]) {
        chunks.push(...reader.push(rest.subarray(0, cut)))
        rest = rest.subarray(cut)
      }
      t.same(
        chunks,
        clean.map(({ stream, line }) => ({ stream, line, ts: TS, partial: false })),
      )
    }),
    { numRuns: 50 },
  )
})

void test('what is no frame is refused instead of being waited for', async (t) => {
  t.throws(() => createLogFrameReader().push(Buffer.from('HTTP/1.1 200 OK\r\n\r\n')), /not a log frame/)
  t.throws(
    () => createLogFrameReader().push(Buffer.from([1, 0, 0, 0, 255, 255, 255, 255, 0])),
    /not a log frame/,
  )
})

void test('an instant becomes seconds and nanoseconds without losing any', async (t) => {
  t.equal(toUnixNanoseconds('1970-01-01T00:00:01.000000001Z'), '1.000000001')
  t.equal(toUnixNanoseconds('2026-11-21T08:41:19.012610093Z'), '1795250479.012610093')
  t.equal(toUnixNanoseconds('2026-11-21T08:41:19Z'), '1795250479.000000000')
  t.equal(toUnixNanoseconds('2026-11-21T09:41:19.5+01:00'), '1795250479.500000000')
  t.throws(() => toUnixNanoseconds('yesterday'), TypeError)
})

void test('reading again from a place gives nothing twice and leaves nothing out', async (t) => {
  const at = (stream: LogChunk['stream'], ts: string, line: string): LogChunk => ({
    stream,
    ts,
    line,
    partial: false,
  })
  const kept = [
    at('stdout', '1', 'a'),
    at('stdout', '2', 'b'),
    at('stderr', '1', 'x'),
    at('stdout', '2', 'c'),
    at('stderr', '2', 'y'),
    at('stdout', '3', 'd'),
  ]
  for (let read = 1; read <= kept.length; read += 1) {
    const place = createLogPlace()
    kept.slice(0, read).forEach((chunk) => place.pass(chunk))
    const since = place.since() ?? ''
    const again = kept.filter(({ ts }) => ts >= since).filter((chunk) => place.isNew(chunk))
    const whole = [...kept.slice(0, read), ...again].map(({ line }) => line)
    t.equal(new Set(whole).size, whole.length, `nothing twice after ${read}`)
    t.same(
      whole.toSorted(),
      ['a', 'b', 'c', 'd', 'x', 'y']
        .slice(0)
        .filter((line) => whole.includes(line))
        .toSorted(),
    )
    t.ok(
      ['b', 'c', 'd'].every((line) => whole.includes(line)),
      `nothing left out after ${read}`,
    )
  }
})
