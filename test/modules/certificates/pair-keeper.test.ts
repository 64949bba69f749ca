import { setImmediate } from 'node:timers/promises'
import { test } from 'tap'
import { createPairKeeper, type PairFiles } from '../../../src/modules/certificates/pair-keeper.ts'
import { gate } from '../ingress/proxy-fixture.ts'

const pairOf = (name: string) => ({ chain_pem: name, key_pem: `key of ${name}` })

/** Files in memory whose steps can be held up: a pair is there as soon as it is being written, as on a disk. */
function setUp(hold: { write?: Promise<void>; remove?: Promise<void>; list?: Promise<void> } = {}) {
  const kept = new Set<string>()
  const named = new Set<string>()
  const files: PairFiles = {
    idOf: ({ chain_pem }) => chain_pem,
    write: async ({ chain_pem }) => {
      kept.add(chain_pem)
      await hold.write
      return chain_pem
    },
    read: async () => undefined,
    setAside: async () => {},
    remove: async (id) => {
      await hold.remove
      kept.delete(id)
    },
    list: async () => {
      const ids = [...kept]
      await hold.list
      return ids
    },
  }
  return { kept, named, keeper: createPairKeeper(files, () => new Set(named)) }
}

test('a pair that is being written is not swept, and one that nobody came to name is', async (t) => {
  const written = gate()
  const { kept, named, keeper } = setUp({ write: written.opened })
  const keeping = keeper.keep(pairOf('new'), (id) => void named.add(id))
  const failing = keeper.keep(pairOf('vain'), () => {
    throw new Error('refused')
  })
  await setImmediate()
  await keeper.sweep()
  t.same([...kept], ['new', 'vain'])
  written.open()
  await keeping
  await t.rejects(failing, { message: 'refused' })
  await keeper.sweep()
  t.same([...kept], ['new'])
})

test('the same pair twice is held until both are through', async (t) => {
  const { kept, named, keeper } = setUp()
  const [first, second] = [gate(), gate()]
  const refused = keeper.keep(pairOf('one'), async () => {
    await first.opened
    throw new Error('refused')
  })
  const kindly = keeper.keep(pairOf('one'), async (id) => {
    await second.opened
    named.add(id)
  })
  first.open()
  await t.rejects(refused)
  await keeper.sweep()
  t.same([...kept], ['one'])
  second.open()
  await kindly
})

test('a pair that is written while it is removed, or named while others are, is there afterwards', async (t) => {
  const removed = gate()
  const { kept, named, keeper } = setUp({ remove: removed.opened })
  kept.add('again').add('late')
  const sweeping = keeper.sweep()
  await setImmediate()
  const again = keeper.keep(pairOf('again'), (id) => void named.add(id))
  await keeper.keep(pairOf('late'), (id) => void named.add(id))
  removed.open()
  await Promise.all([sweeping, again])
  t.same([...kept].toSorted(), ['again', 'late'])
})
