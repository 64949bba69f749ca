import { globSync, statSync } from 'node:fs'
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

test('a row that is answered from memory is as new as one that is read', (t) => {
  const database = openDatabase(':memory:')
  database.exec('CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT) STRICT')
  const sql = 'SELECT word FROM words WHERE id = $id'
  const expect = (word: string | undefined, after: string): void => {
    t.same(database.lookUp(sql, { id: 1 }), word === undefined ? undefined : { word }, after)
    t.equal(
      database.lookUp(sql, { id: 1 }),
      database.lookUp(sql, { id: 1 }),
      `${after}: the second time from memory`,
    )
  }
  expect(undefined, 'nothing is there')
  database.run("INSERT INTO words VALUES (1, 'one')")
  expect('one', 'a write')
  database.get("UPDATE words SET word = 'two' WHERE id = 1 RETURNING id")
  expect('two', 'a write that answers a row')
  database.all("UPDATE words SET word = 'three' WHERE id = 1 RETURNING id")
  expect('three', 'a write that answers rows')
  t.throws(() =>
    database.transact(() => {
      database.run('DELETE FROM words')
      expect(undefined, 'within the transaction')
      throw new Error('no')
    }),
  )
  expect('three', 'a transaction that was rolled back')
  database.exec("UPDATE words SET word = 'four'")
  expect('four', 'a migration')
  t.same(database.lookUp('SELECT $id AS id', { id: '1' }), { id: '1' })
  t.same(database.lookUp('SELECT $id AS id', { id: 1 }), { id: 1 }, 'a number is not its text')
  for (let id = 0; id < 5000; id += 1) database.lookUp(sql, { id })
  expect('four', 'more lookups than are kept')
  database.close()
  t.end()
})

test('what an answer promises is synced to the disk', async (t) => {
  const database = openDatabase(join(await mkdtemp(join(tmpdir(), 'berth-db-')), 'berth.db'))
  t.same(database.get('PRAGMA journal_mode'), { journal_mode: 'wal' })
  t.same(database.get('PRAGMA synchronous'), { synchronous: 2 })
  t.same(database.get('PRAGMA foreign_keys'), { foreign_keys: 1 })
  database.close()
})

test('what was committed without waiting for the disk is there for everyone, and settles', async (t) => {
  const file = join(await mkdtemp(join(tmpdir(), 'berth-db-')), 'berth.db')
  const database = openDatabase(file)
  const other = openDatabase(file)
  database.exec('CREATE TABLE numbers (number INTEGER) STRICT')
  const settled: Promise<void>[] = []
  for (let number = 0; number < 500; number += 1) {
    database.transactUnsettled(() => database.run('INSERT INTO numbers VALUES ($number)', { number }))
    settled.push(database.settle())
    t.same(other.get('SELECT count(*) AS count FROM numbers'), { count: number + 1 })
  }
  t.same(database.get('PRAGMA synchronous'), { synchronous: 2 }, 'everything else waits as ever')
  t.equal((await Promise.allSettled(settled)).filter(({ status }) => status === 'rejected').length, 0)
  t.throws(() =>
    database.transactUnsettled(() => {
      database.run('INSERT INTO numbers VALUES (-1)')
      throw new Error('no')
    }),
  )
  t.same(database.get('SELECT count(*) AS count, min(number) AS least FROM numbers'), {
    count: 500,
    least: 0,
  })
  database.close()
  other.close()
})

test('the log is copied into the database by another thread while commits go on', async (t) => {
  const file = join(await mkdtemp(join(tmpdir(), 'berth-db-')), 'berth.db')
  const database = openDatabase(file)
  database.exec('CREATE TABLE pages (bytes BLOB) STRICT')
  const before = statSync(file).size
  const bytes = Buffer.alloc(20_000)
  // The thread that commits would copy it at 32 MiB; it stays below that.
  for (let turn = 0; turn < 1000 && statSync(file).size === before; turn += 1) {
    database.transactUnsettled(() => database.run('INSERT INTO pages VALUES ($bytes)', { bytes }))
    await database.settle()
  }
  t.ok(statSync(file).size > before)
  t.ok(statSync(`${file}-wal`).size < 32 * 1024 ** 2)
  database.close()
})

test('a data directory belongs to one daemon', async (t) => {
  const file = join(await mkdtemp(join(tmpdir(), 'berth-lock-')), 'lock')
  const lock = lockDirectory(file)
  t.throws(() => lockDirectory(file), DirectoryInUse)
  t.same(globSync(`${file}*`), [file], 'it takes no room')
  lock.release()
  lockDirectory(file).release()
})
