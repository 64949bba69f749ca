import { test } from 'tap'
import { createSystem } from '../../src/lib/system.ts'
import { type DueWork, workOff } from '../../src/lib/due-work.ts'
import { until } from '../support/delivery.ts'
import { gate } from '../modules/ingress/proxy-fixture.ts'

/** Work of projects that lasts until the gate of the project opens. */
function setUp() {
  const gates = new Map<string, { opened: Promise<void>; open: () => void }>()
  const waiting: DueWork[] = []
  const begun: string[] = []
  let looks = 0
  const add = (owner: string, count: number): void => {
    const held = gates.get(owner) ?? gate()
    gates.set(owner, held)
    for (let nth = 0; nth < count; nth += 1) {
      const id = `${owner}-${nth}`
      const act = async (): Promise<void> => {
        begun.push(id)
        await held.opened
        waiting.splice(
          waiting.findIndex((each) => each.id === id),
          1,
        )
      }
      waiting.push({ id, owner, act })
    }
  }
  const deps = { system: createSystem(), due: () => [...waiting], look: async () => void (looks += 1) }
  const count = (owner: string): number => begun.filter((id) => id.startsWith(owner)).length
  return { add, begun, count, deps, open: (owner: string) => gates.get(owner)?.open(), looks: () => looks }
}

test('the work of one owner leaves room for that of the others, also for what comes later', async (t) => {
  const { add, begun, count, deps, open, looks } = setUp()
  add('slow', 20)
  add('quick', 2)
  const run = workOff(deps, new AbortController().signal)
  t.same([count('slow'), count('quick')], [4, 2])
  add('late', 1)
  open('quick')
  await until('it is looked at what has ended', () => looks() > 0)
  await until('the late one is begun', () => count('late') === 1)
  t.equal(count('slow'), 4)
  open('late')
  open('slow')
  await run
  t.equal(begun.length, 23)
  t.equal(new Set(begun).size, 23, 'nothing twice')
})

test('what fails unexpectedly, or the end of the daemon, is told once all that was begun has ended', async (t) => {
  const failing = setUp()
  failing.add('slow', 1)
  const broken = { id: 'broken', owner: null, act: () => Promise.reject(new Error('no disk')) }
  const due = (): DueWork[] => [broken, ...failing.deps.due()]
  let isOver = false
  const run = workOff({ ...failing.deps, due }, new AbortController().signal).finally(() => (isOver = true))
  await until('the slow one is begun', () => failing.count('slow') === 1)
  t.notOk(isOver)
  failing.open('slow')
  await t.rejects(run, { message: 'no disk' })

  const stopped = setUp()
  stopped.add('slow', 1)
  const ending = new AbortController()
  const stopping = workOff(stopped.deps, ending.signal)
  ending.abort(new Error('stopping'))
  stopped.open('slow')
  await t.rejects(stopping, { message: 'stopping' })
})
