import { homedir, hostname } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What the commands take from the environment; the only reader of it among them. */
export interface Environment {
  /** `BERTH_URL`, `BERTH_TOKEN`, `BERTH_CONTEXT`: over the saved logins. */
  url: string | undefined
  token: string | undefined
  context: string | undefined
  /** Where the saved logins lie. */
  configFile: string
  /** Where a daemon on this machine may keep its install admin token, the likeliest first. */
  adminTokenFiles: readonly string[]
  /** `NO_COLOR` (no-color.org), or a terminal that cannot. */
  noColour: boolean
  /** Some build server runs this: nobody is there to watch or to answer. */
  unattended: boolean
  hostname: string
  /** Where the user stands. */
  directory: string
  /** Where compiled code of the commands may be kept, which halves the time that they take to start. */
  codeCache: string
}

/** Reads the environment; an empty variable counts as unset. */
export function readEnvironment(variables: NodeJS.ProcessEnv = process.env): Environment {
  const read = (name: string): string | undefined => variables[name] || undefined
  const home = read('HOME') ?? homedir()
  const configHome = read('XDG_CONFIG_HOME') ?? join(home, '.config')
  const dataDirs = [read('BERTH_DATA_DIR'), '/var/lib/berth', join(home, '.local', 'share', 'berth')]
  const isDumb = read('TERM') === 'dumb'
  const ci = read('CI')
  return {
    url: read('BERTH_URL'),
    token: read('BERTH_TOKEN'),
    context: read('BERTH_CONTEXT'),
    configFile: join(configHome, 'berth', 'config.json'),
    adminTokenFiles: dataDirs.filter((each) => each !== undefined).map((each) => join(each, 'admin-token')),
    noColour: read('NO_COLOR') !== undefined || isDumb,
    unattended: isDumb || (ci !== undefined && ci !== 'false' && ci !== '0'),
    hostname: hostname(),
    directory: standingPlace(read) ?? process.cwd(),
    // Not Node's own choice, a folder in /tmp, where somebody else could put code in advance.
    codeCache: join(read('XDG_CACHE_HOME') ?? join(home, '.cache'), 'berth', 'code'),
  }
}

const OWN_PACKAGE = fileURLToPath(new URL('../../package.json', import.meta.url))

/** `npm run berth` runs it in Berth's own folder, and says from where it was called. Others that npm runs, and their children, stand where they are. */
function standingPlace(read: (name: string) => string | undefined): string | undefined {
  const isOurs = read('npm_lifecycle_event') === 'berth' && read('npm_package_json') === OWN_PACKAGE
  return isOurs ? read('INIT_CWD') : undefined
}
