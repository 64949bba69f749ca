/** What git is told for every command, whatever the repository or this machine say. */
const CONFIG: readonly (readonly [key: string, value: string])[] = [
  // Nothing of a repository runs.
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.attributesFile', '/dev/null'],
  ['core.excludesFile', '/dev/null'],
  ['credential.helper', ''],
  ['submodule.recurse', 'false'],
  ['fetch.recurseSubmodules', 'false'],
  // What arrives is checked before it is used: names such as .git or .. in a tree, links in place of .gitmodules, and so on.
  ['transfer.fsckObjects', 'true'],
  ['fetch.fsckObjects', 'true'],
  ['core.protectHFS', 'true'],
  ['core.protectNTFS', 'true'],
  // Files are as they were committed.
  ['core.autocrlf', 'false'],
  ['core.symlinks', 'true'],
  // A redirect would carry the token elsewhere, or lead to an address that nobody checked.
  ['http.followRedirects', 'false'],
  ['http.sslVerify', 'true'],
  ['protocol.version', '2'],
  // One pack, whose growth can be watched; no work in the background.
  ['transfer.unpackLimit', '1'],
  ['fetch.unpackLimit', '1'],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  // Memory: large files are streamed, packs are mapped in windows, one thread at a time.
  ['core.bigFileThreshold', '16m'],
  ['core.packedGitWindowSize', '16m'],
  ['core.packedGitLimit', '256m'],
  ['core.deltaBaseCacheLimit', '64m'],
  ['pack.threads', '1'],
  ['i18n.logOutputEncoding', 'UTF-8'],
]

/** Where programs of the system are; not what the daemon's own PATH says. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export interface GitEnvironment {
  /** A folder of this job, as the home of git and its children. */
  home: string
  allowHttp: boolean
  /** Further settings, such as credentials: they stand in no argument and in no file. */
  config?: readonly (readonly [key: string, value: string])[]
  /** The fixed command that connects over ssh. */
  sshCommand?: string
}

/** The whole environment of a git process, made from nothing. */
export function gitEnvironment({
  home,
  allowHttp,
  config = [],
  sshCommand,
}: GitEnvironment): Record<string, string> {
  const pairs = [...CONFIG, ...config]
  const env: Record<string, string> = {
    PATH,
    HOME: home,
    // No repository is looked for above the job's own folders.
    GIT_CEILING_DIRECTORIES: home,
    // Messages are read here, so they are in English.
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: '/bin/false',
    GIT_ALLOW_PROTOCOL: allowHttp ? 'https:http:ssh' : 'https:ssh',
    GIT_LFS_SKIP_SMUDGE: '1',
    GIT_NO_REPLACE_OBJECTS: '1',
    // Without ssh settings nothing connects over ssh.
    GIT_SSH_COMMAND: sshCommand ?? '/bin/false',
    GIT_SSH_VARIANT: 'ssh',
    GIT_CONFIG_COUNT: String(pairs.length),
  }
  for (const [index, [key, value]] of pairs.entries()) {
    env[`GIT_CONFIG_KEY_${index}`] = key
    env[`GIT_CONFIG_VALUE_${index}`] = value
  }
  return env
}

/** The environment of the programs of OpenSSH, made from nothing. */
export function sshEnvironment(home: string, socket?: string): Record<string, string> {
  return { PATH, HOME: home, LC_ALL: 'C', ...(socket !== undefined && { SSH_AUTH_SOCK: socket }) }
}
