import { createAddressRule } from '../lib/address-rule.ts'
import { createGitCredentialOperations } from '../modules/git/git-credential-operations.ts'
import { createGitCredentialStore } from '../modules/git/git-credential-store.ts'
import { createGitSource } from '../modules/git/git-source.ts'
import type { Access } from './access.ts'
import type { Base } from './base.ts'

/** What fetches repositories, and what projects show to their hosts. */
export function composeGit({ config, system, stores, state }: Base, { secrets, audit }: Access) {
  const credentials = createGitCredentialOperations({
    database: state.database,
    system,
    store: createGitCredentialStore(state.database),
    secrets,
    recordAudit: audit.record,
    projectExists: (id) => stores.projects.find(id) !== undefined,
  })
  const source = createGitSource({
    system,
    trust: credentials.trust,
    addresses: createAddressRule(config.git_private_ranges),
    settings: config,
  })
  return { credentials, source }
}
export type GitPart = ReturnType<typeof composeGit>
