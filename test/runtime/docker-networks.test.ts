import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { test } from 'tap'
import { parseRange, planSubnet } from '../../src/runtime/subnet-pool.ts'
import { parseRoutes } from '../../src/runtime/host-routes.ts'
import { dockerHarness } from '../support/docker-harness.ts'

const docker = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)('docker', args)).stdout.trim()

void test('the lowest free /24 of the pool is planned, around whatever is taken', async (t) => {
  const ranges = (...cidrs: string[]) =>
    cidrs.map((cidr) => parseRange(cidr)).filter((range) => range !== undefined)
  const pool = '10.213.0.0/16'
  t.equal(planSubnet(pool, []), '10.213.0.0/24')
  t.equal(planSubnet(pool, ranges('10.213.0.0/24', '10.213.2.0/24')), '10.213.1.0/24')
  t.equal(planSubnet(pool, ranges('10.213.0.0/20')), '10.213.16.0/24')
  t.equal(planSubnet(pool, ranges('10.213.0.17')), '10.213.1.0/24', 'one address in it is enough')
  t.equal(planSubnet(pool, ranges('10.0.0.0/8')), undefined)
  t.equal(planSubnet('10.213.4.0/23', ranges('10.213.4.0/24')), '10.213.5.0/24')
  t.equal(planSubnet('10.213.4.0/23', ranges('10.213.4.0/24', '10.213.5.0/25')), undefined)
  t.equal(planSubnet('10.213.4.128/25', []), undefined, 'a pool smaller than a /24 has none')
  t.equal(planSubnet('255.255.255.0/24', []), '255.255.255.0/24')
})

void test('only IPv4 ranges are ranges', async (t) => {
  for (const bad of ['', 'fd00::/64', '10.0.0.256', '10.0.0.0/33', '10.0.0', 'x'])
    t.equal(parseRange(bad), undefined, bad)
})

void test('routes of the kernel are read in its byte order', async (t) => {
  const table = [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'tun0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0',
    'garbage',
    '',
  ].join('\n')
  t.same(parseRoutes(table), [
    { device: 'eth0', destination: 0, mask: 0 },
    { device: 'tun0', destination: 0x0ad50000, mask: 0xffff0000 },
  ])
})

void test('networks get subnets of the pool that nobody else has, also when they are made at once', async (t) => {
  const { runtime, prefix } = await dockerHarness(t, { networkPool: '10.214.0.0/22' })
  const names = ['a', 'b', 'net'].map((name) => `${prefix}-${name}`)
  await Promise.all(names.map((name) => runtime.ensureNetwork({ name, labels: {} })))
  const subnets = await Promise.all(
    names.map((name) => docker('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', name)),
  )
  t.equal(new Set(subnets).size, 3)
  for (const subnet of subnets) t.match(subnet, /^10\.214\.[0-3]\.0\/24$/)
})

void test('a pool that is used up is said to be, and the next free subnet is used again', async (t) => {
  const { runtime, prefix } = await dockerHarness(t, { networkPool: '10.215.8.0/24' })
  await runtime.ensureNetwork({ name: `${prefix}-a`, labels: {} })
  const second = { name: `${prefix}-b`, labels: {} }
  await t.rejects(runtime.ensureNetwork(second), { code: 'CONFLICT', message: /10\.215\.8\.0\/24/ })
  await runtime.removeNetwork(`${prefix}-a`)
  await runtime.ensureNetwork(second)
})
