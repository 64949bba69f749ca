import { test } from 'tap'
import { createSystem } from '../../src/lib/system.ts'
import { createWorker } from '../../src/lib/worker.ts'

test('nudges during a run mean exactly one more run', async (t) => {
  let runs = 0
  let release = Promise.withResolvers<void>()
  const begun: PromiseWithResolvers<void>[] = [
    Promise.withResolvers(),
    Promise.withResolvers(),
    Promise.withResolvers(),
  ]
  const worker = createWorker({
    name: 'test',
    system: createSystem(),
    run: async () => {
      begun[runs]?.resolve()
      runs += 1
      await release.promise
    },
  })
  worker.start()
  await begun[0]?.promise
  worker.nudge()
  worker.nudge()
  worker.nudge()
  release.resolve()
  release = Promise.withResolvers()
  await begun[1]?.promise
  release.resolve()
  await worker.stop()
  t.equal(runs, 2)
})

test('an error is counted and the loop lives on', async (t) => {
  const errors: unknown[] = []
  const second = Promise.withResolvers<void>()
  // The worker's own timers keep no process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  const worker = createWorker({
    name: 'test',
    system: createSystem(),
    everyMs: 1,
    onError: (error) => errors.push(error),
    run: async () => {
      if (errors.length === 0) throw new Error('once')
      second.resolve()
    },
  })
  worker.start()
  await second.promise
  await worker.stop()
  t.match(worker.status(), { failures: 1, last_error: null, running: false })
})

test('stop aborts the run and waits for its end', async (t) => {
  const begun = Promise.withResolvers<void>()
  let ended = false
  const worker = createWorker({
    name: 'test',
    system: createSystem(),
    run: async (signal) => {
      begun.resolve()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      ended = true
    },
  })
  worker.start()
  await begun.promise
  await worker.stop()
  t.equal(ended, true)
  worker.nudge()
  t.equal(worker.status().runs, 1, 'a stopped worker does not run again')
})
