import { createSystem } from '../../../src/lib/system.ts'
import { openRotationWorld } from './rotation-world.ts'

/*
 * A daemon's work on a key rotation in a process of its own, to be killed: `rotation-process.ts DIR`. It says a line before and after
 * everything that reaches the disk, and waits a moment there so that a signal finds it.
 */
const tell = (what: string): void => void process.stdout.write(`${what}\n`)
const system = { ...createSystem(), monotonic: () => performance.now() * 100 }
const world = await openRotationWorld(process.argv[2] ?? '', {
  system: { ...system, sleep: (ms, signal) => system.sleep(ms / 100, signal) },
  database: (plain) => ({
    ...plain,
    run: (sql, parameters) => {
      tell('before')
      const changed = plain.run(sql, parameters)
      tell('after')
      return changed
    },
  }),
})
const { replaceKey, dropRetired } = world.secrets
world.secrets.replaceKey = async () => {
  tell('replacing')
  await replaceKey()
  tell('replaced')
}
world.secrets.dropRetired = async (recipient) => {
  tell('dropping')
  await dropRetired(recipient)
  tell('dropped')
}
await world.run(new AbortController().signal)
tell('done')
