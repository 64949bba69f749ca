import { test } from 'tap'
import { planRemovals } from '../../../src/modules/deployments/image-retention.ts'
import type { DeploymentRow } from '../../../src/modules/deployments/deployment-schema.ts'
import { LABELS } from '../../../src/runtime/labels.ts'
import { NOW, openRows } from './deployment-rows.ts'

type Entry = DeploymentRow['status'] | Partial<DeploymentRow>

/** Deployments of one service in order, which is live, how many earlier ones are kept, and whose images stay. */
const TABLE: [title: string, history: Entry[], live: number, keep: number, kept: number[]][] = [
  ['the live one and so many before it', ['Inactive', 'Inactive', 'Inactive', 'Healthy'], 4, 2, [2, 3, 4]],
  ['all while there are few', ['Inactive', 'Healthy'], 2, 10, [1, 2]],
  [
    'releases, however many deployments failed since',
    ['Inactive', 'Healthy', 'Failed', 'Failed', 'Failed'],
    2,
    1,
    [1, 2, 5],
  ],
  ['the live one, however old it is', ['Healthy', 'Inactive', 'Inactive', 'Inactive'], 1, 1, [1, 4]],
  [
    'an image once, however often it was deployed',
    [
      'Inactive',
      'Inactive',
      { status: 'Inactive', image: 'web-1:tag' },
      { status: 'Inactive', image: 'web-2:tag' },
      { status: 'Healthy', image: 'web-1:tag' },
    ],
    5,
    1,
    [1, 2, 3, 4, 5],
  ],
  [
    'what is under way',
    ['Inactive', 'Inactive', { status: 'Starting', step: 'check' }, 'Healthy'],
    4,
    1,
    [2, 3, 4],
  ],
  [
    'an old image that is being rolled back to',
    ['Inactive', 'Inactive', 'Healthy', { status: 'Pending', step: 'start', image: 'web-1:tag' }],
    3,
    1,
    [1, 2, 3, 4],
  ],
  ['what was built last, for its layers', ['Inactive', 'Healthy', 'Cancelled', 'Failed'], 2, 1, [1, 2, 4]],
  [
    'releases that were live, however many canaries were tried since',
    [
      'Inactive',
      'Inactive',
      { status: 'Inactive', canary_percent: 10 },
      { status: 'Inactive', canary_percent: 10 },
      { status: 'Inactive', canary_percent: 10 },
      { status: 'Healthy', image: 'web-5:tag' },
    ],
    6,
    1,
    [2, 4, 5, 6],
  ],
  ['what was built last, also before anything was live', ['Failed', 'Failed'], 0, 1, [2]],
]

for (const [title, history, live, keep, kept] of TABLE) {
  test(`images are kept: ${title}`, async (t) => {
    const { add, store, images, services } = openRows(t)
    for (const [index, entry] of history.entries())
      add(index + 1, typeof entry === 'string' ? { status: entry } : entry)
    // Another service loses nothing by it.
    add(1, { service_id: 'api' })
    services.setLive('api', 'api-1', NOW)
    if (live > 0) services.setLive('web', `web-${live}`, NOW)
    images.forgetExpiredImages(keep)
    const left = history.flatMap((_, index) =>
      store.find(`web-${index + 1}`)?.image === null ? [] : [index + 1],
    )
    t.same(left, kept)
    t.equal(store.find('api-1')?.image, 'api-1:tag')
  })
}

test('images are kept: that of a canary, however old it is', async (t) => {
  const { add, store, images, services } = openRows(t)
  for (let number = 1; number <= 4; number += 1)
    add(number, { status: number === 4 ? 'Healthy' : 'Inactive' })
  services.setLive('web', 'web-4', NOW)
  services.setCanary('web', { deployment_id: 'web-1', percent: 10 }, NOW)
  images.forgetExpiredImages(1)
  t.same(
    [1, 2, 3, 4].filter((number) => store.find(`web-${number}`)?.image !== null),
    [1, 3, 4],
  )
})

/** An image of deployment `id`, or one that has its labels by being made from it. */
const image = (id: string, tags: string[]) => ({ tags, labels: { [LABELS.deployment]: id } })

test('names of ours that no row names go, but for those of a deployment that is under way', async (t) => {
  const images = [
    image('1', ['berth/shop/web:1', 'berth/old-name/web:1']),
    image('2', ['berth/shop/web:2']),
    image('3', ['berth/shop/web:3']),
  ]
  t.same(planRemovals(images, ['berth/shop/web:1'], [{ id: '3' }]), [
    'berth/old-name/web:1',
    'berth/shop/web:2',
  ])
})

test('nothing goes that others named or made, whatever labels it has from an image of ours', async (t) => {
  const images = [
    // Tagged, pulled from the registry of this node, and deployed by another service.
    image('1', ['backup/web:keep', '127.0.0.1:7180/shop/web:release-1', 'berth/shop/other:9', 'berth/web:1']),
    image('2', ['tool/mine:1']),
    image('2', []),
    { tags: ['berth/shop/web:4'], labels: {} },
  ]
  t.same(planRemovals(images, [], []), [])
})
