import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { array, assert, asyncProperty, integer } from 'fast-check'
import { type Test, test } from 'tap'
import { openJournalFile } from '../../../src/modules/logs/journal-file.ts'
import { recordRest, splitLines, toRecord } from '../../../src/modules/logs/log-line.ts'
import { memorySource, readBatchAfter, withFileSource } from '../../../src/modules/logs/record-search.ts'

const record = (seq: number, line = 'x'): string => `${toRecord(seq, recordRest({ ts: 't', line }))}\n`

function makePath(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'berth-journal-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  return join(directory, 'deep', 'log.jsonl')
}

test('records come back after the file was closed, with their last number', async (t) => {
  const path = makePath(t)
  const file = await openJournalFile(path)
  t.equal(file.lastSeq, 0)
  await file.write(record(1) + record(2), 2)
  await file.write(record(3), 3)
  t.equal(file.size, readFileSync(path).length)
  await file.close()
  const again = await openJournalFile(path)
  t.equal(again.lastSeq, 3)
  await again.write(record(4), 4)
  await again.close()
  t.equal(readFileSync(path, 'utf8'), [1, 2, 3, 4].map((seq) => record(seq)).join(''))
})

const TORN: [title: string, end: string | Buffer][] = [
  ['half a line', record(4).slice(0, 15)],
  ['a line without its end', record(4).slice(0, -1)],
  ['one character', '{'],
  ['blocks of zeros, as a power cut leaves them', Buffer.alloc(8192)],
  ['zeros and a newline', Buffer.concat([Buffer.alloc(100), Buffer.from('\n')])],
  ['an empty line', '\n'],
  ['a line that lost its middle', `${record(4).slice(0, 8)}${record(5).slice(20)}`],
]

for (const [title, end] of TORN) {
  test(`a torn end is cut off: ${title}`, async (t) => {
    const path = makePath(t)
    const file = await openJournalFile(path)
    await file.write(record(1) + record(2) + record(3), 3)
    await file.close()
    appendFileSync(path, end)
    const repaired = await openJournalFile(path)
    t.equal(repaired.lastSeq, 3)
    await repaired.write(record(4), 4)
    await repaired.close()
    t.equal(readFileSync(path, 'utf8'), [1, 2, 3, 4].map((seq) => record(seq)).join(''))
  })
}

test('a file of nothing but damage begins anew', async (t) => {
  const path = makePath(t)
  await (await openJournalFile(path)).close()
  writeFileSync(path, 'garbage\nmore\n')
  const file = await openJournalFile(path)
  t.same([file.size, file.lastSeq], [0, 0])
  await file.close()
})

test('a note at the end does not hide the number before it', async (t) => {
  const path = makePath(t)
  await (await openJournalFile(path)).close()
  writeFileSync(path, `${record(41)}{"note":1}\n`)
  const file = await openJournalFile(path)
  t.equal(file.lastSeq, 41)
  await file.close()
})

test('a place is found by number in any file, whatever the lengths of its lines', async (t) => {
  const path = makePath(t)
  await (await openJournalFile(path)).close()
  const lengths = array(integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 60 })
  await assert(
    asyncProperty(
      lengths,
      integer({ min: 1, max: 1000 }),
      integer({ min: -1, max: 61 }),
      async (sizes, start, step) => {
        const records = sizes.map((size, index) => record(start + index, 'y'.repeat(10 ** size)))
        const bytes = Buffer.from(`{"note":true}\n${records.join('')}`)
        writeFileSync(path, bytes)
        const after = start + step
        const wanted = Math.max(start, after + 1)
        const found = [
          await readBatchAfter(memorySource(bytes), after),
          await withFileSource(path, bytes.length, (source) => readBatchAfter(source, after)),
        ]
        return found.every((batch) =>
          wanted >= start + records.length
            ? batch === undefined
            : batch?.first === wanted && `${batch.lines[0]}\n` === records[wanted - start],
        )
      },
    ),
    { numRuns: 60 },
  )
  t.pass()
})

test('reading on from batch to batch gives every record once', async (t) => {
  const records = Array.from({ length: 30_000 }, (_, index) => record(index + 1, 'z'.repeat(index % 90)))
  const source = memorySource(Buffer.from(records.join('')))
  let after = 0
  let count = 0
  for (let batch = await readBatchAfter(source, after); batch; batch = await readBatchAfter(source, after)) {
    t.equal(batch.first, after + 1)
    count += batch.lines.length
    after = batch.last
  }
  t.equal(count, 30_000)
  t.equal((await readBatchAfter(source, 29_000, 7))?.lines.length, 7)
})

test('text is cut into lines at line breaks and at the greatest length, and nowhere within a character', async (t) => {
  t.same(splitLines('a\r\nb\n\nc\r'), ['a', 'b', '', 'c'])
  t.same(splitLines('10%\r20%\r30%'), ['10%\r20%\r30%'])
  const long = `${'x'.repeat(65_535)}😀${'y'.repeat(70_000)}`
  const parts = splitLines(long)
  t.equal(parts.join(''), long)
  t.same(
    parts.map((part) => part.length),
    [65_535, 65_536, 4466],
  )
})
