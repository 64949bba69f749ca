import { createHmac } from 'node:crypto'

export const A = 'a'.repeat(40)
export const B = 'b'.repeat(40)
export const NONE = '0'.repeat(40)

type Fields = Record<string, unknown>

const commit = (id: string, message: string, files: Fields = {}): Fields => ({
  id,
  message,
  author: { name: 'Olive', email: 'olive@example.com' },
  added: [],
  modified: ['web/index.html'],
  removed: [],
  ...files,
})

/** A push as GitHub tells of it, with what the tests need of its fields. */
export function githubPush(changes: Fields = {}, message = 'Change'): Fields {
  const head = commit(B, message)
  return {
    ref: 'refs/heads/main',
    before: A,
    after: B,
    created: false,
    deleted: false,
    forced: false,
    commits: [head],
    head_commit: head,
    repository: { full_name: 'acme/shop', default_branch: 'main' },
    ...changes,
  }
}

export function gitlabPush(changes: Fields = {}): Fields {
  return {
    object_kind: 'push',
    ref: 'refs/heads/main',
    before: A,
    after: B,
    checkout_sha: B,
    user_name: 'Olive',
    project: { path_with_namespace: 'acme/shop', default_branch: 'main' },
    repository: { name: 'shop' },
    commits: [commit(B, 'Change\n\nMore.')],
    total_commits_count: 1,
    ...changes,
  }
}

export function giteaPush(changes: Fields = {}): Fields {
  const { created: _, deleted: __, forced: ___, ...push } = githubPush()
  return { ...push, total_commits: 1, ...changes }
}

/** What a forge sends with a body. */
export function signedFields(
  provider: 'github' | 'gitlab' | 'gitlab-signed' | 'gitea' | 'forgejo',
  body: string,
  secret: string,
  delivery: string,
  event = 'push',
): Record<string, string> {
  const hex = createHmac('sha256', secret).update(body).digest('hex')
  const type = { 'content-type': 'application/json' }
  const github = {
    'x-github-event': event,
    'x-github-delivery': delivery,
    'x-hub-signature-256': `sha256=${hex}`,
  }
  const gitea = { ...github, 'x-gitea-event': event, 'x-gitea-delivery': delivery, 'x-gitea-signature': hex }
  switch (provider) {
    case 'github':
      return { ...type, ...github }
    case 'gitea':
      return { ...type, ...gitea }
    case 'forgejo':
      return {
        ...type,
        ...gitea,
        'x-forgejo-event': event,
        'x-forgejo-delivery': delivery,
        'x-forgejo-signature': hex,
      }
    case 'gitlab':
      return {
        ...type,
        'x-gitlab-event': 'Push Hook',
        'x-gitlab-token': secret,
        'x-gitlab-event-uuid': delivery,
      }
    case 'gitlab-signed': {
      const timestamp = String(Math.floor(Date.now() / 1000))
      const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
      const signature = createHmac('sha256', key).update(`${delivery}.${timestamp}.${body}`).digest('base64')
      return {
        ...type,
        'x-gitlab-event': 'Push Hook',
        'webhook-id': delivery,
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${signature}`,
      }
    }
  }
}
