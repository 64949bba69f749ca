import { test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { createLiveTail } from '../../../src/modules/logs/live-tail.ts'
import { type FollowEvent, followLog, type FollowRequest } from '../../../src/modules/logs/log-follow.ts'
import type { LineBatch } from '../../../src/modules/logs/log-line.ts'

const never = new AbortController().signal

/** A log in memory, whose oldest lines may be gone. */
function makeLog(head = 0) {
  // Wakes at once, so that the test's steps are the only ones.
  const system = { ...createSystem(), later: (_: number, run: () => void) => (queueMicrotask(run), () => {}) }
  const tail = createLiveTail(system, head)
  const log = { tail, gone: 0, reads: 0, readAfter: async (after: number) => read(after) }
  const read = (after: number): LineBatch | undefined => {
    log.reads += 1
    const first = Math.max(after, log.gone) + 1
    if (first > tail.head) return undefined
    const last = Math.min(tail.head, first + 9)
    return { first, last, lines: Array.from({ length: last - first + 1 }, (_, index) => `${first + index}`) }
  }
  const push = (count: number, width = 0): void => {
    const first = tail.head + 1
    const lines = Array.from({ length: count }, (_, index) => `${first + index}${' '.repeat(width)}`)
    tail.push({ first, last: first + count - 1, lines })
  }
  return { log, push }
}

const follow = (
  log: ReturnType<typeof makeLog>['log'],
  request: Partial<FollowRequest> = {},
  signal = never,
) => followLog(log, { after: 0, skipWhenBehind: true, tellGone: true, ...request }, signal)

/** The next event, in short: numbers of lines, `lost 3`, `end Healthy`. */
async function next(events: AsyncGenerator<FollowEvent, void, undefined>): Promise<string> {
  const { value } = await events.next()
  if (!value) return 'over'
  if (value.type === 'lost') return `lost ${value.count}`
  if (value.type === 'end') return `end ${value.state}`
  return value.batch.lines.map((line) => line.trim()).join(' ')
}

test('the past comes from the disk, the present from memory', async (t) => {
  const { log, push } = makeLog(12)
  const events = follow(log)
  t.equal(await next(events), '1 2 3 4 5 6 7 8 9 10')
  t.equal(await next(events), '11 12')
  t.equal(log.reads, 2)
  push(2)
  t.equal(await next(events), '13 14')
  push(1)
  push(1)
  t.equal(await next(events), '15 16', 'in one piece')
  t.equal(log.reads, 2, 'one copy for all who follow')
  log.tail.end('Healthy')
  t.equal(await next(events), 'end Healthy')
  t.equal(await next(events), 'over')
})

test('lines that come while the past is read are neither missed nor doubled', async (t) => {
  const { log, push } = makeLog(15)
  const events = follow(log)
  t.equal(await next(events), '1 2 3 4 5 6 7 8 9 10')
  push(3)
  t.equal(await next(events), '11 12 13 14 15 16 17 18')
  push(1)
  t.equal(await next(events), '19')
})

test('one who resumes in the middle of what is in memory gets only the rest', async (t) => {
  const { log, push } = makeLog()
  const other = follow(log)
  const pending = next(other)
  push(5)
  await pending
  const events = follow(log, { after: 3 })
  t.equal(await next(events), '4 5')
  t.equal(log.reads, 0)
})

test('a reader that fell too far behind is told how many lines it lost', async (t) => {
  const { log, push } = makeLog()
  const events = follow(log)
  const pending = next(events)
  push(1)
  t.equal(await pending, '1')
  for (let index = 0; index < 20; index += 1) push(10, 10_000)
  const lost = /^lost (\d+)$/.exec(await next(events))
  const first = Number(lost?.[1]) + 2
  t.ok(first > 100, `lost up to ${first}`)
  t.ok((await next(events)).startsWith(`${first} `))
})

test('a reader that may lose nothing is given what it missed from the disk', async (t) => {
  const { log, push } = makeLog()
  const events = follow(log, { skipWhenBehind: false })
  const pending = next(events)
  push(1)
  t.equal(await pending, '1')
  for (let index = 0; index < 20; index += 1) push(10, 10_000)
  t.equal(await next(events), '2 3 4 5 6 7 8 9 10 11')
})

test('lines that were removed count as lost for one who resumes, not for one who begins', async (t) => {
  const { log } = makeLog(20)
  log.gone = 15
  const resumed = follow(log, { after: 4 })
  t.equal(await next(resumed), 'lost 11')
  t.equal(await next(resumed), '16 17 18 19 20')
  const begun = follow(log, { after: 0, tellGone: false })
  t.equal(await next(begun), '16 17 18 19 20')
  log.gone = 20
  const all = follow(log, { after: 4 })
  t.equal(await next(all), 'lost 16')
})

test('an id from another life of the log is taken for the newest one', async (t) => {
  const { log, push } = makeLog(5)
  const events = follow(log, { after: 1_000_000 })
  const pending = next(events)
  push(1)
  t.equal(await pending, '6')
})

test('leaving ends it, and lets go of the memory', async (t) => {
  const { log, push } = makeLog()
  const leaving = new AbortController()
  const events = follow(log, {}, leaving.signal)
  const pending = next(events)
  push(1)
  await pending
  t.equal(log.tail.oldest, 1)
  const last = next(events)
  leaving.abort()
  t.equal(await last, 'over')
  t.equal(log.tail.oldest, undefined)
  push(1)
  t.equal(log.tail.oldest, undefined, 'nothing is kept for nobody')
})

test('those who follow are woken at once and then not too often', async (t) => {
  const timers: (() => void)[] = []
  const tail = createLiveTail({ ...createSystem(), later: (_, run) => (timers.push(run), () => {}) }, 0)
  let woken = 0
  const watch = async (): Promise<void> => {
    for (;;) {
      await tail.changed(never)
      woken += 1
    }
  }
  void watch()
  const push = (seq: number): void => tail.push({ first: seq, last: seq, lines: ['x'] })
  const settle = () => createSystem().sleep(1)
  push(1)
  await settle()
  t.equal(woken, 1)
  for (let seq = 2; seq < 50; seq += 1) {
    push(seq)
    await Promise.resolve()
  }
  await settle()
  t.equal(woken, 1)
  timers.shift()?.()
  await settle()
  t.equal(woken, 2)
})

test('all who are up to date get one and the same piece', async (t) => {
  const { log, push } = makeLog()
  const readers = Array.from({ length: 3 }, () => follow(log))
  const pieces = readers.map((reader) => reader.next())
  push(1)
  push(2)
  const [first, ...others] = (await Promise.all(pieces)).map(
    ({ value }) => value?.type === 'lines' && value.batch,
  )
  t.match(first, { first: 1, lines: ['1', '2', '3'] })
  for (const other of others) t.equal(other, first)
})
