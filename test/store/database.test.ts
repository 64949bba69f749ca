import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { openDatabase } from '../../src/store/database.ts'
import { DirectoryInUse, lockDirectory } from '../../src/store/directory-lock.ts'

test('a transaction that throws leaves nothing and runs no effect', async (t) => {
  const database = openDatabase(':memory:')
  database.exec('CREATE TABLE words (word TEXT) STRICT')
  const effects: string[] = []
  t.throws(() =>
    database.transact(() => {
      database.run("INSERT INTO words VALUES ('lost')")
      database.afterCommit(() => effects.push('lost'))
      throw new Error('no')
    }),
  )
  t.same(database.all('SELECT * FROM words'), [])
  database.transact(() => {
    database.transact(() => {
      database.run("INSERT INTO words VALUES ('kept')")
      database.afterCommit(() => effects.push('kept'))
    })
    t.same(effects, [], 'effects wait for the outermost commit')
  })
  t.same(effects, ['kept'])
  database.close()
})

test('what an answer promises is synced to the disk', async (t) => {
  const database = openDatabase(join(await mkdtemp(join(tmpdir(), 'berth-db-')), 'berth.db'))
  t.same(database.get('PRAGMA journal_mode'), { journal_mode: 'wal' })
  t.same(database.get('PRAGMA synchronous'), { synchronous: 2 })
  t.same(database.get('PRAGMA foreign_keys'), { foreign_keys: 1 })
  database.close()
})

test('a data directory belongs to one daemon', async (t) => {
  const file = join(await mkdtemp(join(tmpdir(), 'berth-lock-')), 'lock')
  const lock = lockDirectory(file)
  t.throws(() => lockDirectory(file), DirectoryInUse)
  lock.release()
  lockDirectory(file).release()
})
