import { AppError } from '../../lib/errors.ts'
import { hostLabel, type RepositoryUrl } from '../../lib/repository-url.ts'

/** A git command that failed, with what it said last. */
export class GitCommandFailed extends Error {
  readonly lines: readonly string[]

  constructor(lines: readonly string[]) {
    super('a git command failed')
    this.name = 'GitCommandFailed'
    this.lines = lines
  }
}

/** What is known of a remote when a command fails. */
export interface FailureFacts {
  url: RepositoryUrl
  has_credential: boolean
  /** The pinned key's fingerprint. */
  pinned: string | undefined
}

/** A refusal whose sentence ends a deployment and stands in its log. */
export function gitFailed(message: string, cause?: unknown): AppError {
  return new AppError('GIT_FAILED', { message, cause })
}

/** Text from a server or a repository on one line, safe for a terminal, without what is too long. */
export function showText(text: string, longest = 300): string {
  const shown = text.length > longest ? `${text.slice(0, longest)}…` : text
  return shown.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ').trim()
}

type Explain = (facts: FailureFacts, said: string) => string

const REASONS: readonly (readonly [pattern: RegExp, explain: Explain])[] = [
  [
    /REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|Offending .* key in/i,
    ({ url, pinned }, said) => {
      const shown = /SHA256:[A-Za-z0-9+/]{43}/.exec(said)?.[0]
      const host = hostLabel(url)
      return `The host key of ${host} changed${shown === undefined ? '' : `: it shows ${shown} now`}${pinned === undefined ? '' : `, pinned is ${pinned}`}. Someone may be between here and ${host}. If the change is right, forget the pinned key (DELETE /v1/projects/{id}/git-host-keys/{host_key_id}) and deploy again.`
    },
  ],
  [
    /Permission denied \(|Too many authentication failures/i,
    ({ url, has_credential }) =>
      has_credential
        ? `${hostLabel(url)} refuses the project's key. Add its public key to the repository, there.`
        : `${hostLabel(url)} asks for a key, and the project has none for it. Add one to the project's Git credentials and its public key to the repository.`,
  ],
  [
    /Authentication failed|could not read (Username|Password)|returned error: 40[13]|terminal prompts disabled/i,
    ({ url, has_credential }) =>
      has_credential
        ? `${hostLabel(url)} refuses the project's token.`
        : `${hostLabel(url)} asks for a token, and the project has none for it: the repository is private or does not exist. Add a token to the project's Git credentials.`,
  ],
  [
    /repository .* not found|Repository not found|does not appear to be a git repository|returned error: 404|not found: did you run/i,
    ({ url, has_credential }) =>
      `${hostLabel(url)} has no repository ${showText(url.path)}${has_credential ? " that the project's credential may read" : ', or it is private and the project has no credential for it'}.`,
  ],
  [
    /certificate|SSL|GnuTLS|TLS/,
    ({ url }, said) =>
      `The certificate of ${hostLabel(url)} is not accepted (${lastOf(said)}). If its authority is your own, name it in the setting git_ca_file.`,
  ],
  [
    /redirect|returned error: 30\d/i,
    ({ url }) =>
      `${hostLabel(url)} answers with a redirect, which is not followed because credentials would go along. Use the URL that it leads to; it may end in .git.`,
  ],
  [/Operation too slow|Timeout, server|timed out/i, ({ url }) => `${hostLabel(url)} stopped sending.`],
  [
    /died of signal 25|file size limit|File too large/i,
    ({ url }) => `The repository at ${hostLabel(url)} is larger than git_max_bytes allows.`,
  ],
  [
    /Could not connect|Couldn't connect|Failed to connect|Connection (refused|reset|closed)|No route to host|Network is unreachable/i,
    ({ url }, said) => `${hostLabel(url)} cannot be reached (${lastOf(said)}).`,
  ],
  [
    /fsck|error in object|invalid .*path|badTree|hasDot|gitmodules/i,
    (_facts, said) => `The repository holds what git refuses (${lastOf(said)}).`,
  ],
]

/** The sentence for a failed command. */
export function explainFailure(error: GitCommandFailed, facts: FailureFacts): AppError {
  const said = error.lines.join('\n')
  const known = REASONS.find(([pattern]) => pattern.test(said))
  return gitFailed(known ? known[1](facts, said) : `git failed: ${lastOf(said) || 'it said nothing'}.`, error)
}

/** The line that says most: the first that git calls an error, else the last. */
function lastOf(said: string): string {
  const lines = said.split('\n').filter((line) => !line.startsWith('remote:'))
  const telling = lines.find((line) => /^(fatal|error):/.test(line)) ?? lines.at(-1) ?? ''
  return showText(telling.replace(/^(fatal|error): /, '')).replace(/\.$/, '')
}
