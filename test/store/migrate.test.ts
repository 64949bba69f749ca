import Sqlite from 'better-sqlite3'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { appendFile, cp, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { openDatabase } from '../../src/store/database.ts'
import { migrate, MigrationError, readMigrations } from '../../src/store/migrate.ts'
import { waitFor } from '../support/wait.ts'

const OWN = fileURLToPath(new URL('../../migrations', import.meta.url))

/** Migrates, says so, and writes when it is told to. */
const DAEMON = `
  const [migrations, file, root] = process.argv.slice(1)
  const { openDatabase } = await import(root + 'src/store/database.ts')
  const { migrate, readMigrations } = await import(root + 'src/store/migrate.ts')
  const database = openDatabase(file)
  migrate(database, readMigrations(migrations), file)
  console.log('migrated')
  process.stdin.once('data', () => {
    database.run("INSERT INTO two VALUES ('kept')")
    console.log('written')
  })`

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

test('after a migration the database is still locked, and its log stays when another process has read it', async (t) => {
  const { migrations, file, data } = await folders(t)
  const first = openDatabase(file)
  migrate(first, readMigrations(migrations).slice(0, 1), file)
  first.close()
  const daemon = spawn(
    process.execPath,
    ['--input-type=module', '-e', DAEMON, migrations, file, String(new URL('../../', import.meta.url))],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  t.teardown(() => daemon.kill('SIGKILL'))
  const said = createInterface({ input: daemon.stdout })[Symbol.asyncIterator]()
  t.equal((await said.next()).value, 'migrated')
  t.same((await readdir(data)).toSorted(), [
    'berth.db',
    'berth.db-shm',
    'berth.db-wal',
    'berth.db.before-0002',
  ])
  t.equal(statSync(`${file}.before-0002`).mode & 0o777, 0o600)

  // Without it, the SQLite of many systems takes itself for the last one and removes the log; the one that is ours looks twice.
  // Read in several pieces, that list may lack a line while others lock.
  await waitFor('the lock on the database', async () => {
    const locks = (await readFile('/proc/locks', 'utf8')).split('\n')
    return locks.some((line) => line.includes(` ${daemon.pid} `) && line.includes(`:${statSync(file).ino} `))
  })
  const { ino } = statSync(`${file}-wal`)
  const reader = new Sqlite(file)
  t.same(reader.prepare('SELECT count(*) AS count FROM two').get(), { count: 0 })
  reader.close()
  t.equal(statSync(`${file}-wal`).ino, ino)

  daemon.stdin.write('write\n')
  t.equal((await said.next()).value, 'written')
  const exited = once(daemon, 'exit')
  daemon.kill('SIGKILL')
  await exited
  const after = openDatabase(file)
  t.same(after.all('SELECT id FROM two'), [{ id: 'kept' }])
  after.close()
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

test('a step that rebuilds a table keeps what refers to it', async (t) => {
  const { migrations, file } = await folders(t)
  await writeFile(
    join(migrations, '0003-third.sql'),
    'CREATE TABLE child (id TEXT PRIMARY KEY, one_id TEXT NOT NULL REFERENCES one (id) ON DELETE CASCADE) STRICT;',
  )
  const database = openDatabase(file)
  migrate(database, readMigrations(migrations), file)
  database.exec("INSERT INTO one VALUES ('a'); INSERT INTO child VALUES ('b', 'a')")
  const rebuild = (rows: string): string => `-- rebuilds tables
    CREATE TABLE one_new (id TEXT PRIMARY KEY, extra TEXT) STRICT;
    INSERT INTO one_new (id) SELECT id FROM one WHERE ${rows};
    DROP TABLE one; ALTER TABLE one_new RENAME TO one;`

  await writeFile(join(migrations, '0004-fourth.sql'), rebuild('false'))
  t.throws(() => migrate(database, readMigrations(migrations), file), /rows of child without their one/)
  t.same(database.all('SELECT * FROM one'), [{ id: 'a' }], 'nothing was changed')

  await writeFile(join(migrations, '0004-fourth.sql'), rebuild('true'))
  t.same(migrate(database, readMigrations(migrations), file), [4])
  t.same(database.all('SELECT * FROM one'), [{ id: 'a', extra: null }])
  t.same(database.all('SELECT * FROM child'), [{ id: 'b', one_id: 'a' }])
  t.throws(() => database.exec("INSERT INTO child VALUES ('c', 'nobody')"), /FOREIGN KEY/, 'keys hold again')
  database.exec("DELETE FROM one WHERE id = 'a'")
  t.same(database.all('SELECT * FROM child'), [], 'and lead to the new table')
  database.close()
})

test('deployments of a database from before the steps grew are kept with all that belongs to them', async (t) => {
  const { file } = await folders(t)
  const database = openDatabase(file)
  migrate(database, readMigrations(OWN).slice(0, 2), file)
  database.exec(`
    INSERT INTO projects (id, name, created_at, updated_at) VALUES ('p', 'shop', 'then', 'then');
    INSERT INTO services (id, project_id, name, source, build, config, live_deployment_id, created_at, updated_at)
      VALUES ('s', 'p', 'web', '{"type":"upload"}', '{}', '{}', 'd', 'then', 'then');
    INSERT INTO deployments (id, service_id, project_id, number, status, step, source, build, config, image, image_id, created_by,
      revision, created_at, updated_at) VALUES
      ('d', 's', 'p', 1, 'Healthy', 'retire', '{}', '{}', '{}', 'i', 'sha256:i', '{}', 7, 'then', 'later');
    INSERT INTO deployment_steps VALUES ('d', 'start', 'done', 2, 'then', 'later');
    INSERT INTO replicas (container_name, service_id, deployment_id, replica_index, status, updated_at)
      VALUES ('c', 's', 'd', 0, 'Healthy', 'then');`)
  migrate(database, readMigrations(OWN), file)
  t.match(database.all('SELECT * FROM deployments'), [
    { id: 'd', number: 1, step: 'retire', image: 'i', revision: 7, digest: null, trigger: '{"kind":"user"}' },
  ])
  t.match(database.all('SELECT * FROM deployment_steps'), [{ step: 'start', attempts: 2 }])
  t.match(database.all('SELECT * FROM replicas'), [{ container_name: 'c', deployment_id: 'd' }])
  database.exec("UPDATE deployments SET step = 'release_command' WHERE id = 'd'")
  t.throws(() => database.exec("UPDATE deployments SET step = 'dance' WHERE id = 'd'"), /CHECK/)
  database.exec("DELETE FROM services WHERE id = 's'")
  for (const table of ['deployments', 'deployment_steps', 'replicas'])
    t.same(database.all(`SELECT * FROM ${table}`), [], `${table} go with their service`)
  database.close()
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

test("images that were named before rights were kept stay those of this node, on nobody's right", async (t) => {
  const { file } = await folders(t)
  const database = openDatabase(file)
  const steps = readMigrations(OWN)
  const step = steps.findIndex(({ name }) => name.includes('pull-rights'))
  migrate(database, steps.slice(0, step), file)
  const now = { created_at: '2026-01-01', updated_at: '2026-01-01' }
  for (const name of ['shop', 'other'])
    database.run(
      `INSERT INTO projects (id, name, description, revision, created_at, updated_at) VALUES ($name, $name, '', 1, $created_at, $updated_at)`,
      { name, ...now },
    )
  const sources = ['other/base:v1', 'postgres:17', 'otherwise/base', 'other.example.com/base']
  for (const image of sources)
    database.run(
      `INSERT INTO services (id, project_id, name, source, build, config, routing, replicas, desired_state, revision, created_at, updated_at)
       VALUES ($image, 'shop', $image, $source, '{}', '{}', '{}', 1, 'running', 1, $created_at, $updated_at)`,
      { image, source: JSON.stringify({ type: 'external_image', image, auto_deploy: true }), ...now },
    )
  migrate(database, steps, file)
  const rights = database.all(
    "SELECT id, json_extract(source, '$.pull_right') AS pull_right FROM services WHERE pull_right IS NOT NULL",
  )
  t.same(rights, [{ id: 'other/base:v1', pull_right: '{"project_id":"other","user_id":null}' }])
  database.close()
})
