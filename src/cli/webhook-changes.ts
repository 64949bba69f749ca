import type { Body } from '../api-client/route.ts'
import { UsageError } from './cli-error.ts'
import type { Flags } from './verb.ts'

/** Which pushes a webhook deploys. */
export const FILTERS = {
  branch: {
    type: 'string',
    multiple: true,
    value: 'PATTERN',
    about: 'Deploy this branch, such as release/*, instead of the one that the service deploys',
  },
  tag: { type: 'string', multiple: true, value: 'PATTERN', about: 'Deploy this tag, such as v*' },
  path: {
    type: 'string',
    multiple: true,
    value: 'PATTERN',
    about: 'Deploy only when a file changed that matches, such as web/** or !docs/**',
  },
  'ignore-markers': { type: 'boolean', about: 'Deploy also what says [skip ci] and the like' },
} as const

/** What can be changed. */
export const CHANGES = {
  name: { type: 'string', value: 'NAME', about: 'Another name' },
  ...FILTERS,
  'default-branch': {
    type: 'boolean',
    about: 'Deploy the branch that the service deploys again, and no other',
  },
  'no-tags': { type: 'boolean', about: 'Deploy no tag any more' },
  'any-path': { type: 'boolean', about: 'Deploy whatever files changed' },
  'obey-markers': { type: 'boolean', about: 'Leave out again what says [skip ci] and the like' },
  enable: { type: 'boolean', about: 'Switch it on' },
  disable: { type: 'boolean', about: 'Switch it off: what arrives is not deployed' },
} as const

/** What the flags change. Throws a UsageError when that is nothing, or two things at once. */
export function readChanges(
  flags: Flags<typeof CHANGES>,
): Body<'PATCH /v1/services/{id}/webhooks/{webhook_id}'> {
  const one = <Value, Other>(
    [flag, value]: readonly [string, Value | undefined],
    [otherFlag, other]: readonly [string, Other | undefined],
  ): Value | Other | undefined => {
    if (value !== undefined && other !== undefined)
      throw new UsageError(`--${flag} and --${otherFlag} contradict each other`)
    return value ?? other
  }
  const patterns = (given: readonly string[]) => (given.length === 0 ? undefined : [...given])
  const said = <Value>(flag: boolean, value: Value) => (flag ? value : undefined)
  const changes = {
    name: flags.name,
    enabled: one(['enable', said(flags.enable, true)], ['disable', said(flags.disable, false)]),
    branches: one(
      ['branch', patterns(flags.branch)],
      ['default-branch', said(flags['default-branch'], null)],
    ),
    tags: one(['tag', patterns(flags.tag)], ['no-tags', said(flags['no-tags'], [])]),
    paths: one(['path', patterns(flags.path)], ['any-path', said(flags['any-path'], [])]),
    skip_markers: one(
      ['ignore-markers', said(flags['ignore-markers'], false)],
      ['obey-markers', said(flags['obey-markers'], true)],
    ),
  }
  const body = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
  if (Object.keys(body).length === 0)
    throw new UsageError('nothing to change was given', ['berth webhooks set --help lists what there is.'])
  return body
}
