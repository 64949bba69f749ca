import { once } from 'node:events'
import { connect } from 'node:net'
import { type Test, test } from 'tap'
import { collectGarbage } from '../../../src/lib/heap.ts'
import type { DeploymentLine, ServiceLine } from '../../../src/modules/logs/log-schema.ts'
import { openStream, type ReceivedEvent } from '../../support/event-stream.ts'
import { DEPLOYMENT, instant, openLogApi, SERVICE } from './log-api.ts'

type Api = Awaited<ReturnType<typeof openLogApi>>
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index)

const followService = (t: Test, api: Api, query = '', headers: Record<string, string> = {}) =>
  openStream(t, `${api.base}/v1/services/${SERVICE}/logs/stream${query}`, 'operator', headers)
const followDeployment = (t: Test, api: Api, query = '', headers: Record<string, string> = {}) =>
  openStream(t, `${api.base}/v1/deployments/${DEPLOYMENT}/logs/stream${query}`, 'operator', headers)

type Stream = Awaited<ReturnType<typeof openStream>>

async function take(stream: Stream, count: number): Promise<ReceivedEvent[]> {
  const events: ReceivedEvent[] = []
  while (events.length < count) events.push(await stream.next())
  return events
}

/** The numbers in the next lines. */
async function numbers(stream: Stream, count: number): Promise<number[]> {
  return (await take(stream, count)).map(({ data }) =>
    Number((JSON.parse(data) as ServiceLine).line.split(' ')[1]),
  )
}

const output = (line: string) => ({ step: 'build', stream: 'stdout' as const, line })

test('a service is followed from its last lines on, across deployments, until it is deleted', async (t) => {
  const api = await openLogApi(t)
  await api.write(150)
  const stream = await followService(t, api)
  t.same(await numbers(stream, 100), range(51, 150))
  await api.write(2)
  await api.write(1, { deployment: 'd2' })
  const [first, , third] = await take(stream, 3)
  t.equal(first?.id, '151')
  t.match(JSON.parse(first?.data ?? ''), {
    seq: 151,
    stream: 'stdout',
    replica: 1,
    deployment_id: 'd1',
    line: 'line 151',
  })
  t.match(JSON.parse(third?.data ?? ''), { deployment_id: 'd2' })
  await api.serviceLogs.remove(SERVICE)
  t.match(await stream.next(), { event: 'done', data: '{"status":"Deleted"}' })
  t.ok(await stream.ended())
})

const BEGINNINGS: [title: string, query: string, headers: Record<string, string>, first: number][] = [
  ['behind the last event', '', { 'last-event-id': '120' }, 121],
  ['behind the last event, whatever the address says', '?since=5&tail=7', { 'last-event-id': '120' }, 121],
  ['behind a line', '?since=30', {}, 31],
  ['at an instant', `?since=${instant(140)}`, {}, 140],
  ['with so many lines', '?tail=4', {}, 147],
  ['with what comes now', '?tail=0', {}, 151],
  ['behind a last event that is none of ours', '?tail=2', { 'last-event-id': 'abc' }, 149],
]

for (const [title, query, headers, first] of BEGINNINGS) {
  test(`a stream begins ${title}`, async (t) => {
    const api = await openLogApi(t)
    await api.write(150)
    const stream = await followService(t, api, query, headers)
    await api.write(3)
    t.same(await numbers(stream, 154 - first), range(first, 153))
  })
}

test('one replica or one deployment can be followed', async (t) => {
  const api = await openLogApi(t)
  await api.write(10)
  const replica = await followService(t, api, '?replica=1&tail=3')
  const deployment = await followService(t, api, '?deployment_id=d2')
  await api.write(4, { deployment: 'd2' })
  t.same(await numbers(replica, 5), [5, 7, 9, 11, 13])
  t.same(await numbers(deployment, 4), [11, 12, 13, 14])
})

test('as text each event is the bare line', async (t) => {
  const api = await openLogApi(t)
  const stream = await followDeployment(t, api, '?format=text')
  api.deploymentLogs.append(DEPLOYMENT, output('say "hi" é'))
  api.deploymentLogs.append(DEPLOYMENT, output('10%\r20%'))
  t.match(await take(stream, 2), [
    { id: '1', data: 'say "hi" é' },
    { id: '2', data: '10%\n20%' },
  ])
  await api.deploymentLogs.close(DEPLOYMENT, 'Healthy')
  t.match(await stream.next(), { event: 'done', data: 'Healthy' })
})

test('a deployment is followed from the first line to its final state', async (t) => {
  const api = await openLogApi(t)
  const early = await followDeployment(t, api)
  for (let index = 1; index <= 500; index += 1) api.deploymentLogs.append(DEPLOYMENT, output(`line ${index}`))
  t.same(await numbers(early, 500), range(1, 500))
  const middle = await followDeployment(t, api, '', { 'last-event-id': '498' })
  t.same(await numbers(middle, 2), [499, 500])
  api.states.set(DEPLOYMENT, { status: 'Failed', is_over: true })
  await api.deploymentLogs.close(DEPLOYMENT, 'Failed')
  for (const stream of [early, middle]) {
    t.match(await stream.next(), { event: 'done', data: '{"status":"Failed"}' })
    t.ok(await stream.ended())
  }
  const late = await followDeployment(t, api, '?since=497')
  t.same(await numbers(late, 3), [498, 499, 500])
  t.match(await late.next(), { event: 'done', data: '{"status":"Failed"}' })
  t.ok(await late.ended())
})

test('a server that stops ends streams without saying that the log is over', async (t) => {
  const api = await openLogApi(t)
  const service = await followService(t, api)
  const deployment = await followDeployment(t, api)
  api.deploymentLogs.append(DEPLOYMENT, output('line 1'))
  await deployment.next()
  await api.server.close()
  t.ok(await service.ended())
  t.ok(await deployment.ended())
})

/** A reader that takes nothing until it is told to. */
async function openStalled(t: Test, port: number, path: string) {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer operator\r\n\r\n`)
  await once(socket, 'readable')
  socket.pause()
  let text = ''
  return {
    resume: (): void => {
      socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
      socket.resume()
    },
    /** Waits for what the text must contain. */
    until: async (pattern: RegExp): Promise<string> => {
      while (!pattern.test(text)) await once(socket, 'data')
      return text
    },
  }
}

/** Chunk headers may stand within an event: what is asked for is found without parsing them. */
function idsIn(text: string): number[] {
  return [...text.matchAll(/"seq":(\d+),"ts"/g)].map(([, id]) => Number(id))
}

test('a reader that stalls is told how many lines of a service it lost, and costs little memory', async (t) => {
  const api = await openLogApi(t)
  const reader = await openStalled(t, api.port, `/v1/services/${SERVICE}/logs/stream?tail=0`)
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  await api.write(60_000, { width: 200 })
  collectGarbage()
  t.ok(process.memoryUsage().heapUsed - before < 100 * 1024 ** 2)
  reader.resume()
  const text = await reader.until(/"seq":60000,"ts"/)
  const lost = [...text.matchAll(/event: lost\r?\n?[^{]*\{"lost":(\d+)\}/g)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  )
  const ids = idsIn(text)
  t.ok(lost > 1000, `${lost} lost`)
  t.ok(Math.abs(ids.length + lost - 60_000) <= 2, `${ids.length} read and ${lost} lost of 60000`)
})

test('a reader that stalls gets every line of a deployment in the end', async (t) => {
  const api = await openLogApi(t)
  const reader = await openStalled(t, api.port, `/v1/deployments/${DEPLOYMENT}/logs/stream`)
  for (let index = 1; index <= 40_000; index += 1)
    api.deploymentLogs.append(DEPLOYMENT, output(`line ${index} ${'x'.repeat(200)}`))
  await api.deploymentLogs.close(DEPLOYMENT, 'Healthy')
  reader.resume()
  const text = await reader.until(/event: done/)
  t.notMatch(text, /event: lost/)
  // A chunk header may hide one of the numbers.
  t.ok(idsIn(text).length > 39_900)
  t.match(text, /line 40000 /)
})

test('many readers get every line', async (t) => {
  const api = await openLogApi(t)
  const streams = await Promise.all(Array.from({ length: 100 }, () => followDeployment(t, api)))
  for (let index = 1; index <= 50; index += 1) api.deploymentLogs.append(DEPLOYMENT, output(`line ${index}`))
  await api.deploymentLogs.close(DEPLOYMENT, 'Healthy')
  for (const stream of streams) {
    const lines = (await take(stream, 50)).map(({ data }) => (JSON.parse(data) as DeploymentLine).line)
    t.equal(lines.at(-1), 'line 50')
    t.match(await stream.next(), { event: 'done' })
  }
})
