import { test } from 'tap'
import { readPush } from '../../../src/modules/webhooks/push-event.ts'
import { judgePush } from '../../../src/modules/webhooks/push-verdict.ts'
import { DEFAULT_FILTER, type PushFilter } from '../../../src/modules/webhooks/webhook-schema.ts'
import { A, B, giteaPush, githubPush, gitlabPush, NONE } from './payloads.ts'

const SERVICE = {
  source: {
    type: 'git',
    repo_url: 'https://git.example.com/acme/shop.git',
    git_ref: null,
    submodules: false,
  },
  desired_state: 'running',
} as const

function judge(
  payload: unknown,
  filter: Partial<PushFilter> = {},
  service: Parameters<typeof judgePush>[2] = SERVICE,
): string {
  const push = readPush(payload)
  if (!push) return 'no push'
  const verdict = judgePush(push, { ...DEFAULT_FILTER, ...filter }, service)
  return verdict.deploy ? `deploys ${verdict.commit.slice(0, 2)}` : verdict.reason
}

test('all forges say the same in their own ways', async (t) => {
  const expected = {
    ref: 'refs/heads/main',
    commit: B,
    repository: 'acme/shop',
    default_branch: 'main',
    author: 'Olive',
    paths: ['web/index.html'],
  }
  t.same(readPush(githubPush()), { ...expected, message: 'Change' })
  t.same(readPush(gitlabPush()), { ...expected, message: 'Change\n\nMore.' })
  t.same(readPush(giteaPush()), { ...expected, message: 'Change' })
})

test('what is no push, or not what it seems, is read without harm', async (t) => {
  for (const payload of [
    null,
    5,
    'x',
    [],
    {},
    { ref: 5 },
    { ref: 'main', after: B },
    { ref: 'refs/heads/x' },
  ])
    t.equal(readPush(payload), undefined, JSON.stringify(payload))
  const odd = readPush({
    ref: 'refs/heads/x',
    after: 'not a commit',
    commits: [null, 5, { added: [5] }],
    repository: [],
  })
  t.match(odd, { commit: null, repository: '', message: null, paths: null })
  t.equal(
    readPush({ ...githubPush(), head_commit: { id: B, message: 'a\u001b[31m\u202eb' } })?.message,
    'a [31m b',
  )
  t.equal(readPush(githubPush({ ref: `refs/heads/${'x'.repeat(300)}` })), undefined)
})

test('the files are known only when the event tells all of them', async (t) => {
  const paths = (payload: unknown): string[] | null | undefined => readPush(payload)?.paths
  t.equal(paths(githubPush({ forced: true })), null)
  t.equal(paths(githubPush({ before: NONE, created: true })), null)
  t.equal(paths(githubPush({ commits: [] })), null)
  t.equal(paths(gitlabPush({ total_commits_count: 30 })), null)
  t.equal(paths(giteaPush({ total_commits: 9 })), null)
  t.equal(paths(githubPush({ commits: [{ id: B, message: 'x' }] })), null)
})

test('branches, tags, paths and markers decide', async (t) => {
  t.equal(judge(githubPush()), 'deploys bb')
  t.match(judge(githubPush({ ref: 'refs/heads/dev' })), 'the branch dev is not deployed')
  t.equal(judge(githubPush({ ref: 'refs/heads/dev' }), { branches: ['d*'] }), 'deploys bb')
  t.match(judge(githubPush({ ref: 'refs/heads/a/b' }), { branches: ['*'] }), 'is not deployed')
  t.equal(judge(githubPush({ ref: 'refs/heads/a/b' }), { branches: ['**'] }), 'deploys bb')
  const onDev = { ...SERVICE, source: { ...SERVICE.source, git_ref: 'dev' } }
  t.match(judge(githubPush(), {}, onDev), 'the branch main is not deployed')
  t.equal(judge(githubPush({ ref: 'refs/heads/dev' }), {}, onDev), 'deploys bb')
  t.equal(
    judge(
      githubPush({
        ref: 'refs/heads/trunk',
        repository: { full_name: 'acme/shop', default_branch: 'trunk' },
      }),
    ),
    'deploys bb',
  )

  const tag = githubPush({ ref: 'refs/tags/v1.2', after: A, before: NONE })
  t.match(judge(tag), 'the tag v1.2 is not among the tags')
  t.equal(judge(tag, { tags: ['v*'] }), 'deploys bb', 'the commit, not the tag itself')
  t.equal(
    judge(gitlabPush({ object_kind: 'tag_push', ref: 'refs/tags/v1', after: A }), { tags: ['v*'] }),
    'deploys bb',
  )
  t.match(judge(githubPush({ ref: 'refs/pull/1/head' })), 'neither a branch nor a tag')

  t.match(judge(githubPush(), { paths: ['api/**'] }), 'no file changed')
  t.equal(judge(githubPush(), { paths: ['web/**'] }), 'deploys bb')
  t.match(judge(githubPush(), { paths: ['!web/**'] }), 'no file changed')
  t.equal(
    judge(githubPush({ forced: true }), { paths: ['api/**'] }),
    'deploys bb',
    'what is not known might matter',
  )

  for (const marker of ['[skip ci]', '[CI skip]', '[no ci]', '[skip deploy]']) {
    t.match(judge(githubPush({}, `Change\n\n${marker}`)), 'the commit says [')
    t.equal(judge(githubPush({}, marker), { skip_markers: false }), 'deploys bb')
  }
})

test('deletions, other repositories, stopped services and other sources are skipped', async (t) => {
  t.match(
    judge(githubPush({ deleted: true, after: NONE, head_commit: null, commits: [] })),
    'refs/heads/main was deleted',
  )
  t.match(judge(gitlabPush({ after: NONE, checkout_sha: null, commits: [] })), 'was deleted')
  t.match(judge(githubPush({ repository: { full_name: 'acme/other' } })), 'about the repository acme/other')
  t.equal(judge(githubPush({ repository: { full_name: 'Acme/Shop' } }), { branches: ['main'] }), 'deploys bb')
  const below = { ...SERVICE, source: { ...SERVICE.source, repo_url: 'https://h.example/gitlab/acme/shop' } }
  t.equal(judge(gitlabPush(), {}, below), 'deploys bb')
  t.match(judge(githubPush(), {}, { ...SERVICE, desired_state: 'stopped' }), 'the service is stopped')
  t.match(judge(githubPush(), {}, { ...SERVICE, source: { type: 'upload' } }), 'source of type upload')
})
