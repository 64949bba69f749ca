import { appendFile, cp, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { openDatabase } from '../../src/store/database.ts'
import { migrate, MigrationError, readMigrations } from '../../src/store/migrate.ts'

const OWN = fileURLToPath(new URL('../../migrations', import.meta.url))

async function folders(t: Test): Promise<{ migrations: string; file: string; data: string }> {
  const data = await mkdtemp(join(tmpdir(), 'berth-migrate-'))
  const migrations = t.testdir({
    '0001-first.sql': 'CREATE TABLE one (id TEXT PRIMARY KEY) STRICT;',
    '0002-second.sql': 'CREATE TABLE two (id TEXT PRIMARY KEY) STRICT;',
  })
  return { migrations, data, file: join(data, 'berth.db') }
}

test('every step runs once, in order', async (t) => {
  const { migrations, file } = await folders(t)
  const database = openDatabase(file)
  t.same(migrate(database, readMigrations(migrations), file), [1, 2])
  t.same(migrate(database, readMigrations(migrations), file), [], 'a second start has nothing to do')
  t.same(database.all("SELECT name FROM sqlite_master WHERE name IN ('one', 'two') ORDER BY name"), [
    { name: 'one' },
    { name: 'two' },
  ])
  database.close()
})

test('the file is copied before a newer step changes it', async (t) => {
  const { migrations, file, data } = await folders(t)
  const database = openDatabase(file)
  migrate(database, readMigrations(migrations), file)
  database.run("INSERT INTO one (id) VALUES ('kept')")
  await writeFile(join(migrations, '0003-third.sql'), 'DROP TABLE one;')
  t.same(migrate(database, readMigrations(migrations), file), [3])
  database.close()
  t.ok((await readdir(data)).includes('berth.db.before-0003'))
  const copy = openDatabase(`${file}.before-0003`)
  t.same(copy.all('SELECT id FROM one'), [{ id: 'kept' }], 'the copy has what was in the write-ahead log')
  copy.close()
})

test('a database of a newer version is refused and left as it is', async (t) => {
  const { migrations, file } = await folders(t)
  const database = openDatabase(file)
  migrate(database, readMigrations(migrations), file)
  database.close()
  const before = await readFile(file)
  const again = openDatabase(file)
  t.throws(() => migrate(again, readMigrations(migrations).slice(0, 1), file), MigrationError)
  again.close()
  t.ok(before.equals(await readFile(file)))
})

test('a step that was edited after it ran is noticed', async (t) => {
  const { migrations, file } = await folders(t)
  const database = openDatabase(file)
  migrate(database, readMigrations(migrations), file)
  await appendFile(join(migrations, '0001-first.sql'), '-- edited')
  t.throws(() => migrate(database, readMigrations(migrations), file), /migration 1 \(first\) is not the one/)
  database.close()
})

test('a step that fails leaves nothing of itself', async (t) => {
  const { migrations, file } = await folders(t)
  await writeFile(
    join(migrations, '0003-third.sql'),
    'CREATE TABLE three (id TEXT) STRICT; SELECT * FROM missing;',
  )
  const database = openDatabase(file)
  t.throws(() => migrate(database, readMigrations(migrations), file))
  t.same(database.all("SELECT name FROM sqlite_master WHERE name = 'three'"), [])
  t.same(database.all('SELECT version FROM schema_migrations'), [{ version: 1 }, { version: 2 }])
  database.close()
})

test('a gap in the numbers is an error', async (t) => {
  const { migrations } = await folders(t)
  await cp(join(migrations, '0002-second.sql'), join(migrations, '0004-fourth.sql'))
  t.throws(() => readMigrations(migrations), /expected number 3/)
})

test("Berth's own schema is made of valid steps", async (t) => {
  const database = openDatabase(':memory:')
  t.ok(migrate(database, readMigrations(OWN), ':memory:').length > 0)
  t.same(database.all('PRAGMA foreign_key_check'), [])
  t.throws(
    () => {
      database.exec(
        `INSERT INTO audit_events (id, at, actor_kind, actor_name, action, outcome, previous_hash, hash)
         VALUES ('1', 'now', 'x', 'x', 'y', 'done', zeroblob(32), zeroblob(32))`,
      )
      database.exec('DELETE FROM audit_events')
    },
    /append-only/,
    'audit events cannot be deleted',
  )
  database.close()
})
