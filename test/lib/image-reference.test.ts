import { test } from 'tap'
import { readImageReference, writeImageReference } from '../../src/lib/image-reference.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`

const GOOD: [text: string, inFull: string][] = [
  ['postgres', 'docker.io/library/postgres:latest'],
  ['postgres:17', 'docker.io/library/postgres:17'],
  ['grafana/grafana', 'docker.io/grafana/grafana:latest'],
  ['docker.io/postgres', 'docker.io/library/postgres:latest'],
  ['index.docker.io/library/postgres', 'docker.io/library/postgres:latest'],
  ['ghcr.io/Shop/web', ''],
  ['GHCR.io/shop/web:v1', 'ghcr.io/shop/web:v1'],
  ['localhost/web', 'localhost/web:latest'],
  ['localhost:5000/a/b/c:1', 'localhost:5000/a/b/c:1'],
  ['127.0.0.1:7180/shop/web', '127.0.0.1:7180/shop/web:latest'],
  ['[::1]:5000/web', '[::1]:5000/web:latest'],
  [`ghcr.io/shop/web@${DIGEST}`, `ghcr.io/shop/web@${DIGEST}`],
  [`ghcr.io/shop/web:v1@${DIGEST}`, `ghcr.io/shop/web@${DIGEST}`],
]

for (const [text, inFull] of GOOD) {
  test(`${text} is ${inFull || 'no reference'}`, async (t) => {
    if (inFull === '') t.throws(() => readImageReference(text), { name: 'BadImageReference' })
    else t.equal(writeImageReference(readImageReference(text)), inFull)
  })
}

for (const bad of [
  '',
  ':1',
  'a:',
  'a b',
  '-x/y',
  'a@sha256:abc',
  'a@b@c',
  'ghcr.io/',
  'https://ghcr.io/a',
  'a:/b',
  '../x',
  'x.y:port/a',
])
  test(`"${bad}" is refused`, async (t) =>
    t.throws(() => readImageReference(bad), { name: 'BadImageReference' }))
