import { test } from 'tap'
import { cleanLine, createLineAssembler, MAX_BUILD_LINE_BYTES } from '../../src/runtime/build-output.ts'
import { describeFailure } from '../../src/runtime/build-progress.ts'
import { createBuildProgress } from '../../src/runtime/build-progress.ts'
import { decodeStatus } from '../../src/runtime/buildkit-status.ts'
import type { BuildLine } from '../../src/runtime/runtime.ts'

void test('output loses what only a terminal understands', async (t) => {
  const table: [string, string][] = [
    ['plain', 'plain'],
    ['tab\tstays', 'tab\tstays'],
    ['\u001b[31mred\u001b[0m', 'red'],
    ['\u001b[2K\u001b[1Gdone', 'done'],
    ['\u001b]0;title\u0007text', 'text'],
    ['\u001b]8;;https://x\u001b\\link\u001b]8;;\u001b\\', 'link'],
    ['\u001b(Bset', 'set'],
    ['cut \u001b[', 'cut '],
    ['10%\r50%\r100%', '100%'],
    ['crlf\r\n', 'crlf'],
    ['bell\u0007 nul\u0000 c1\u009b', 'bell nul c1'],
    ['größe ✓', 'größe ✓'],
  ]
  for (const [from, to] of table) t.equal(cleanLine(from), to, JSON.stringify(from))
})

void test('lines are put together over pieces, and a line without end is cut', async (t) => {
  const assembler = createLineAssembler()
  t.same(assembler.push(Buffer.from('one\ntw')), ['one'])
  t.same(assembler.push(Buffer.from('o\n\nthree')), ['two', ''])
  t.same(assembler.flush(), ['three'])
  t.same(assembler.flush(), [])
  const cut = assembler.push(Buffer.alloc(3 * MAX_BUILD_LINE_BYTES + 5, 'x'))
  t.same(
    cut.map((line) => line.length),
    [MAX_BUILD_LINE_BYTES, MAX_BUILD_LINE_BYTES, MAX_BUILD_LINE_BYTES],
  )
  t.same(assembler.flush(), ['xxxxx'])
})

void test('a failure names its step and keeps the reason short', async (t) => {
  t.equal(
    describeFailure('executor failed running [/bin/sh -c x]: exit code: 2', '[2/3] RUN x'),
    'The step "[2/3] RUN x" failed with exit code 2.',
  )
  t.match(
    describeFailure("The command '/bin/sh -c x' returned a non-zero code: 137", 'Step 2/3 : RUN x'),
    /137 \(it was killed/,
  )
  t.equal(
    describeFailure(
      'failed to solve with frontend dockerfile.v0: failed to create LLB definition: no such host',
      '[internal] load metadata for x',
    ),
    'The build failed: no such host',
  )
  t.ok(describeFailure('x', 'y'.repeat(5000)).length < 300)
})

// A tiny writer of Protocol Buffers, enough for status messages.
const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))]
const bytesField = (field: number, value: Buffer | string): Buffer =>
  Buffer.concat([
    Buffer.from([...varint(field * 8 + 2), ...varint(Buffer.byteLength(value))]),
    Buffer.from(value),
  ])
const numberField = (field: number, value: number): Buffer =>
  Buffer.from([...varint(field * 8), ...varint(value)])
const instant = (field: number, seconds: number): Buffer => bytesField(field, numberField(1, seconds))

interface TestVertex {
  digest: string
  name?: string
  started?: number
  completed?: number
  cached?: boolean
  error?: string
}

function vertex({ digest, name = '', started, completed, cached, error }: TestVertex): Buffer {
  const fields = [bytesField(1, digest), bytesField(3, name)]
  if (cached) fields.push(numberField(4, 1))
  if (started !== undefined) fields.push(instant(5, started))
  if (completed !== undefined) fields.push(instant(6, completed))
  if (error !== undefined) fields.push(bytesField(7, error))
  return bytesField(1, Buffer.concat(fields))
}

const log = (digest: string, stream: number, text: string): Buffer =>
  bytesField(3, Buffer.concat([bytesField(1, digest), numberField(3, stream), bytesField(4, text)]))

const trace = (...parts: Buffer[]) => ({
  id: 'moby.buildkit.trace',
  aux: Buffer.concat(parts).toString('base64'),
})

void test('steps that run side by side are told apart, with their output, times and errors', async (t) => {
  const lines: BuildLine[] = []
  const progress = createBuildProgress((line) => lines.push(line))
  progress.push(
    trace(vertex({ digest: 'i', name: '[internal] load build context', started: 1, completed: 2 })),
  )
  progress.push(
    trace(
      vertex({ digest: 'a', name: '[a 1/1] RUN first', started: 10 }),
      vertex({ digest: 'b', name: '[b 1/1] RUN second', started: 10 }),
    ),
  )
  progress.push(trace(log('a', 1, 'from a\nhalf')))
  progress.push(trace(log('b', 2, 'from b\n')))
  progress.push(
    trace(
      log('a', 1, ' done\n'),
      vertex({ digest: 'a', name: '[a 1/1] RUN first', started: 10, completed: 13 }),
    ),
  )
  progress.push(
    trace(vertex({ digest: 'c', name: '[c 1/1] COPY x', cached: true, started: 13, completed: 13 })),
  )
  progress.push(
    trace(
      vertex({ digest: 'b', name: '[b 1/1] RUN second', started: 10, completed: 14, error: 'exit code: 9' }),
    ),
  )
  progress.push({ error: 'failed to solve: process did not complete: exit code: 9' })
  progress.finish()
  t.same(
    lines.map(({ stream, line }) => `${stream} ${line}`),
    [
      'status [a 1/1] RUN first',
      'status [b 1/1] RUN second',
      'status [a 1/1] RUN first',
      'stdout from a',
      'status [b 1/1] RUN second',
      'stderr from b',
      'status [a 1/1] RUN first',
      'stdout half done',
      'status [a 1/1] RUN first - done in 3.0 s',
      'status [c 1/1] COPY x - cached',
      'status [b 1/1] RUN second - failed',
    ],
  )
  t.equal(progress.failure(), 'The step "[b 1/1] RUN second" failed with exit code 9.')
  t.equal(progress.imageId(), undefined)
})

void test('progress that is no protobuf is mentioned and does not fail the build', async (t) => {
  const lines: BuildLine[] = []
  const progress = createBuildProgress((line) => lines.push(line))
  progress.push({ id: 'moby.buildkit.trace', aux: Buffer.from([0x0a, 0xff, 0x01]).toString('base64') })
  progress.push({ id: 'moby.image.id', aux: { ID: 'sha256:1' } })
  progress.finish()
  t.match(lines, [{ line: /cannot be read/ }])
  t.equal(progress.imageId(), 'sha256:1')
  t.equal(progress.failure(), undefined)
})

void test('fields that this version does not know are passed over', async (t) => {
  const known = vertex({ digest: 'a', name: 'step', started: 3 })
  const status = decodeStatus(Buffer.concat([numberField(77, 5), bytesField(78, 'x'), known]))
  t.match(status.vertexes, [{ digest: 'a', name: 'step', started: 3000 }])
})
