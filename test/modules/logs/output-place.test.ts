import { array, assert, constantFrom, integer, property, record } from 'fast-check'
import { test } from 'tap'
import {
  createLineJoiner,
  createNewLineFilter,
  normalizeInstant,
  type OutputLine,
  type OutputPlace,
  passLine,
  resumeInstant,
} from '../../../src/modules/logs/output-place.ts'
import type { LogChunk } from '../../../src/runtime/runtime.ts'

const ts = (ms: number): string => normalizeInstant(new Date(1_700_000_000_000 + ms).toISOString())

test('however the lines fall in time and wherever a reader stopped, a second reading completes the first exactly', async (t) => {
  const steps = array(
    record({
      stream: constantFrom('stdout' as const, 'stderr' as const),
      after: constantFrom(0, 0, 1, 700, 5000),
    }),
    {
      minLength: 1,
      maxLength: 40,
    },
  )
  assert(
    property(steps, integer({ min: 0, max: 40 }), (made, cut) => {
      let now = 0
      const lines = made.map(({ stream, after }, index): OutputLine => {
        now += after
        return { stream, ts: ts(now), line: String(index) }
      })
      const place: OutputPlace = {}
      const stored = lines.slice(0, cut)
      for (const line of stored) passLine(place, line)
      const since = resumeInstant(place)
      const isNew = createNewLineFilter(place)
      const second = lines
        .filter((line) => since === undefined || line.ts >= since)
        .filter((line) => isNew(line))
      return [...stored, ...second].map(({ line }) => line).join() === lines.map(({ line }) => line).join()
    }),
    { numRuns: 2000 },
  )
  t.pass()
})

test('a stream that has long been silent does not make the other one be read again from then', async (t) => {
  const place: OutputPlace = {}
  passLine(place, { stream: 'stderr', ts: ts(0), line: '' })
  t.equal(resumeInstant(place), ts(0))
  passLine(place, { stream: 'stdout', ts: ts(500), line: '' })
  t.equal(resumeInstant(place), ts(0))
  passLine(place, { stream: 'stdout', ts: ts(86_400_000), line: '' })
  t.equal(resumeInstant(place), ts(86_399_000))
})

test('instants of any precision compare as text', async (t) => {
  t.equal(normalizeInstant('2026-11-21T08:00:00Z'), '2026-11-21T08:00:00.000000000Z')
  t.equal(normalizeInstant('2026-11-21T08:00:00.5Z'), '2026-11-21T08:00:00.500000000Z')
  t.equal(normalizeInstant('2026-11-21T08:00:00.123456789Z'), '2026-11-21T08:00:00.123456789Z')
})

const chunk = (line: string, partial: boolean, at = 0, stream: LogChunk['stream'] = 'stdout'): LogChunk => ({
  stream,
  ts: ts(at),
  line,
  partial,
})

test('lines that the engine split are put together, each stream by itself', async (t) => {
  const joiner = createLineJoiner()
  t.same(joiner.push(chunk('a', true)), [])
  t.same(joiner.push(chunk('x', true, 1, 'stderr')), [])
  t.same(joiner.push(chunk('b', true)), [])
  t.match(joiner.push(chunk('c', false)), [{ line: 'abc', ts: ts(0) }])
  t.match(joiner.push(chunk('whole', false, 2)), [{ line: 'whole' }])
  t.match(joiner.rest(), [{ line: 'x', stream: 'stderr' }])
  t.same(joiner.rest(), [])
})

test('a line that was cut by the death of its container does not run into the next one', async (t) => {
  const joiner = createLineJoiner()
  joiner.push(chunk('half', true, 1))
  t.match(joiner.push(chunk('first of the next life', false, 5)), [
    { line: 'half' },
    { line: 'first of the next life' },
  ])
})

test('a line without end is cut at the greatest length', async (t) => {
  const joiner = createLineJoiner()
  const lines = Array.from({ length: 9 }, () => joiner.push(chunk('x'.repeat(16_384), true))).flat()
  t.same(
    lines.map(({ line }) => line.length),
    [65_536, 65_536],
  )
})
