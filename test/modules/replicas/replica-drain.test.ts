import { test } from 'tap'
import { type InFlight, lookAtDrain } from '../../../src/modules/replicas/replica-drain.ts'

const NONE = { requests: 0, upgraded: 0 }

const TABLE: [title: string, inFlight: InFlight | Error, seconds: number, over: boolean | 'throws'][] = [
  ['nothing runs', NONE, 0, true],
  ['a request runs', { requests: 1, upgraded: 0 }, 29.9, false],
  ['a request has had its time', { requests: 1, upgraded: 0 }, 30, true],
  ['a WebSocket is open', { requests: 0, upgraded: 2 }, 59.9, false],
  ['a WebSocket has had its time', { requests: 0, upgraded: 2 }, 60, true],
  ['a request has had its time and a WebSocket has not', { requests: 1, upgraded: 1 }, 45, false],
  ['nobody can say what runs', new Error('mute'), 59.9, 'throws'],
  ['nobody can say what runs, and everything has had its time', new Error('mute'), 60, true],
]

for (const [title, inFlight, seconds, over] of TABLE) {
  test(`draining: ${title}`, async (t) => {
    const asked: unknown[] = []
    const deps = {
      inFlight: async (ids: readonly string[]) => {
        asked.push(ids)
        if (inFlight instanceof Error) throw inFlight
        return inFlight
      },
      drainSeconds: 30,
      drainUpgradedSeconds: 60,
    }
    if (over === 'throws') await t.rejects(lookAtDrain(deps, ['a', 'b'], seconds, 0), /mute/)
    else
      t.same(await lookAtDrain(deps, ['a', 'b'], seconds, 0), {
        ...(inFlight instanceof Error ? NONE : inFlight),
        over,
      })
    t.same(asked, [['a', 'b']])
  })
}

test('draining: before their pre-stop time is up nothing ends, and then what runs decides', async (t) => {
  const deps = { inFlight: async () => NONE, drainSeconds: 30, drainUpgradedSeconds: 60 }
  t.match(await lookAtDrain(deps, ['a'], 4.9, 5), { over: false })
  t.match(await lookAtDrain(deps, ['a'], 5, 5), { over: true })
  t.match(await lookAtDrain(deps, ['a'], 60, 120), { over: false }, 'also when it is longer than any drain')
})
