import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'tap'
import { type Installation, installBerth } from '../support/daemon.ts'
import { createService, deployFiles, waitForEnd } from '../support/deploy.ts'
import { startLoad } from '../support/load.ts'
import { waitFor } from '../support/wait.ts'

const SPARSE_BYTES = 300_000

/** Counts its starts in its volume and answers with the count and what else is there; a second writer is found by its lock. */
function application(version: string, healthy = true): Record<string, string> {
  return {
    'package.json': JSON.stringify({
      name: 'keeper',
      version: '1.0.0',
      scripts: { start: 'node server.js' },
    }),
    'server.js': `
      const fs = require('node:fs')
      const http = require('node:http')
      if (fs.existsSync('/data/lock')) { console.error('TWO WRITERS'); process.exit(9) }
      fs.writeFileSync('/data/lock', '')
      const log = fs.existsSync('/data/starts') ? fs.readFileSync('/data/starts', 'utf8') : ''
      fs.writeFileSync('/data/starts', log + ${JSON.stringify(version)} + '\\n')
      const server = http.createServer((request, response) => {
        if (request.url === '/starts') return response.end(fs.readFileSync('/data/starts'))
        response.statusCode = ${healthy ? 200 : 503}
        response.end(${JSON.stringify(version)})
      }).listen(process.env.PORT)
      for (const name of ['pipe', 'socket']) fs.rmSync('/data/' + name, { force: true })
      require('node:child_process').execFileSync('mkfifo', ['/data/pipe'])
      require('node:net').createServer().listen('/data/socket')
      fs.writeFileSync('/data/sparse', '')
      fs.truncateSync('/data/sparse', ${SPARSE_BYTES})
      fs.writeFileSync(Buffer.from('/data/strange-\\xff', 'latin1'), '')
      process.on('SIGTERM', () => server.close(() => { fs.unlinkSync('/data/lock'); process.exit(0) }))
    `,
  }
}

/** Makes the folder itself, the first entry, that of a user and a group who let nobody else in (POSIX.1-2017, pax, "ustar Interchange Format"). */
function ofAnother(archive: Buffer): Buffer {
  const changed = Buffer.from(archive)
  const octal = (offset: number, value: number): number =>
    changed.write(`${value.toString(8).padStart(7, '0')}\0`, offset)
  // The engine writes the kind of file into it, too.
  octal(100, 0o42750)
  octal(108, 54_321)
  octal(116, 54_322)
  // Nobody who has a name.
  changed.fill(0, 265, 329)
  changed.fill(' ', 148, 156)
  const sum = changed.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  changed.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return changed
}

function headOf(archive: Buffer): string[] {
  return [100, 108, 116, 136].map((offset) => archive.toString('latin1', offset, offset + 8))
}

async function startsOf(berth: Installation, name: string): Promise<string[]> {
  const url = `http://127.0.0.1:${berth.httpPort()}/starts`
  const { request } = await import('node:http')
  const text = await new Promise<string>((resolve, reject) => {
    request(url, { headers: { host: `${name}.default.localhost` } }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () => resolve(body))
    })
      .on('error', reject)
      .end()
  })
  return text.trim().split('\n')
}

test('data outlives deployments under load without a failed request, and moves by backup and restore', async (t) => {
  const berth = await installBerth(t)
  const settings = {
    volumes: [{ name: 'data', mount_path: '/data' }],
    health_check: { path: '/', timeout_seconds: 8, interval_ms: 200, successes: 1 },
  }
  const service = await createService(berth, 'web', settings)
  const deploy = async (id: string, version: string, healthy = true) =>
    waitForEnd(berth, (await deployFiles(berth, id, application(version, healthy))).id)
  const first = await deploy(service, 'one')
  t.equal(first.status, 'Healthy', first.reason ?? '')

  const load = startLoad(berth.httpPort(), 'web.default.localhost', { connections: 16, perSecond: 200 })
  t.equal((await deploy(service, 'two')).status, 'Healthy')
  t.match(await deploy(service, 'three', false), { status: 'Failed' })
  const report = await load.stop()
  t.equal(report.failed, 0, `no request failed (${report.failures.join('; ')})`)
  t.same(Object.keys(report.answers).toSorted(), ['one', 'two'])
  const starts = await startsOf(berth, 'web')
  t.same(starts, ['one', 'two', 'three', 'two'], 'each started after the one before had ended')

  const archive = join(berth.dataDir, 'backup.tar')
  await berth.berth('volumes', 'backup', 'web', 'data', archive)
  t.match(await readFile(archive, 'latin1'), /one\ntwo\nthree\ntwo\n/)
  const listed = JSON.parse((await berth.berth('volumes', 'ls', 'web', '-o', 'json')).stdout) as object[]
  t.match(listed, [{ name: 'data', mount_path: '/data', in_use: true }])
  t.ok((listed[0] as { size_bytes: number }).size_bytes > 0, 'its size is known')

  // The lock of the service that it was taken from is in it, too.
  await createService(berth, 'copy', {
    ...settings,
    volumes: [{ name: 'data', mount_path: '/old' }],
  })
  const original = ofAnother(await readFile(archive))
  await writeFile(archive, original)
  await berth.berth('volumes', 'restore', 'copy', 'data', archive, '--yes')
  const second = join(berth.dataDir, 'copy.tar')
  await berth.berth('volumes', 'backup', 'copy', 'data', second)
  const moved = await readFile(second)
  // The first header is of the folder itself.
  t.equal(original.toString('latin1', 0, 2), './')
  const text = original.toString('latin1')
  t.match(text, /strange-\xff/)
  t.match(text, /\.\/pipe\0/)
  t.notMatch(text, /\.\/socket\0/)
  t.ok(original.length > SPARSE_BYTES)
  t.same(headOf(moved), headOf(original))
  t.ok(moved.equals(original), 'byte for byte, with the owner, mode and time of the folder itself')

  const again = startLoad(berth.httpPort(), 'web.default.localhost', { connections: 4, perSecond: 40 })
  await berth.berth('services', 'rm', 'copy', '--volumes', '--yes')
  await berth.call('PATCH', `/v1/services/${service}`, { env: { A: 'b' } })
  await berth.call('POST', `/v1/services/${service}/restart`)
  await t.rejects(berth.berth('services', 'rm', 'web', '--yes'), /add --volumes/)
  const ending = await again.stop()
  t.equal(ending.failed, 0, ending.failures.join('; '))

  await berth.berth('stop', 'web')
  const docker = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)('docker', args)).stdout.trim()
  const left = (...list: string[]) => docker(...list, '--quiet', '--filter', `label=berth.service=${service}`)
  await waitFor('it is stopped', async () => (await left('ps', '--all')) === '')
  const last = join(berth.dataDir, 'last.tar')
  await berth.berth('volumes', 'backup', 'web', 'data', last)
  await docker('volume', 'rm', await left('volume', 'ls'))
  await berth.berth('start', 'web')
  const seen = () => berth.call<{ status_reason: string | null }>('GET', `/v1/services/${service}`)
  await waitFor('it is told', async () =>
    /lost volume data of default\/web/.test((await seen()).status_reason ?? ''),
  )
  t.equal(await left('volume', 'ls'), '', 'no empty one took its place')
  await berth.berth('volumes', 'restore', 'web', 'data', last, '--yes')
  await waitFor('it serves what was restored', async () =>
    (await startsOf(berth, 'web').catch(() => [])).join().startsWith('one,two,three,two'),
  )
})
