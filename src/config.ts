import { existsSync } from 'node:fs'
import { availableParallelism, hostname } from 'node:os'
import { ConfigError, readConfigFile, requireBoth } from './lib/config-file.ts'
import { messageOf } from './lib/errors.ts'
import * as read from './lib/setting.ts'

const asRoot = process.getuid?.() === 0
const home = process.env['HOME'] ?? '/tmp'
const MIB = 1024 ** 2
const GIB = 1024 ** 3

/**
 * Every setting of the daemon: its reader (which refuses wrong values), its default and what it is for. The environment name is
 * `BERTH_` and the key in capitals; the key itself is the name in the TOML file.
 */
export const SETTINGS = {
  data_dir: read.path(
    asRoot ? '/var/lib/berth' : `${home}/.local/share/berth`,
    'Where SQLite, logs, uploads and state files live.',
  ),
  bind: read.address('127.0.0.1:7180', 'Address and port of the API.'),
  http_bind: read.host('0.0.0.0', 'Address that the ingress listens on.'),
  http_port: read.integer(asRoot ? 80 : 8080, 0, 65_535, 'Port of the ingress for HTTP.'),
  https_port: read.integer(asRoot ? 443 : 8443, 0, 65_535, 'Port of the ingress for HTTPS.'),
  ingress_workers: read.integer(availableParallelism(), 1, 64, 'How many ingress processes share the ports.'),
  admin_token: read.secret(
    'The install admin token, 20 to 200 characters. Without it one is made and kept in <data_dir>/admin-token.',
    20,
    200,
  ),
  control_domain: read.hostname(
    'Services answer at <service>.<project>.<control_domain> as well as under .localhost.',
  ),
  control_self_signed: read.boolean(
    false,
    'Whether control_domain and the names of services below it answer to HTTPS with certificates that this node signs itself, as long as they have no others.',
  ),
  acme_email: read.text(
    'Contact address for the certificate authority, whose terms are accepted by setting it. Without it no certificates are obtained.',
    320,
  ),
  acme_directory_url: read.url(
    'https://acme-v02.api.letsencrypt.org/directory',
    'ACME directory of the authority that certificates are obtained from.',
  ),
  acme_ca_file: read.text(
    'A PEM file of certificates that the ACME server is trusted by, besides the usual ones: for a private authority.',
    4096,
  ),
  acme_eab_kid: read.text('Key id of the external account binding, where the authority wants one.', 1024),
  acme_eab_hmac_key: read.secret('Its HMAC key, base64url.', 1, 1024),
  acme_staging_first: read.boolean(
    false,
    'Whether the first order for a name goes to acme_staging_directory_url, whose limits are wide; only when that succeeds the real one follows.',
  ),
  acme_staging_directory_url: read.url(
    'https://acme-staging-v02.api.letsencrypt.org/directory',
    'ACME directory for acme_staging_first.',
  ),
  acme_service_names: read.boolean(
    true,
    'Whether certificates are also obtained for the names of services below control_domain.',
  ),
  domain_check_port: read.integer(
    80,
    0,
    65_535,
    'Port on which domains are checked: the one that the world reaches the ingress on. 0: the port that the ingress listens on.',
  ),
  domain_internal_addresses: read.boolean(
    false,
    'Whether domains may point to private and loopback addresses: for nodes that serve a private network.',
  ),
  domain_claim_days: read.integer(7, 1, 365, 'A domain that is not verified is removed after this time.'),
  domain_grace_hours: read.integer(72, 0, 8760, 'A failing domain is not routed after this time.'),
  public_addresses: read.list(
    'Addresses under which the world reaches this node, if they are not those of its network interfaces; named where a domain points elsewhere.',
  ),
  dns_servers: read.list(
    'DNS servers (address or address:port) that domains are looked up with, instead of those of the system.',
  ),
  dns_hook: read.list(
    'A program and its arguments that sets DNS records for wildcard domains. It is run as <dns_hook> present|cleanup NAME VALUE, without a shell.',
  ),
  docker_socket: read.path('/var/run/docker.sock', 'The Docker Engine API socket.'),
  node_name: read.text('Name of this node in answers and logs.', 100, hostname()),
  log_level: read.choice(
    'info',
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal'],
    'Least severe level that is logged.',
  ),
  trusted_proxies: read.list(
    'Addresses or CIDR ranges of proxies in front whose X-Forwarded-For is believed.',
  ),
  proxy_protocol_peers: read.list(
    'Addresses or CIDR ranges of load balancers in front that begin each connection with a PROXY protocol header (version 1 or 2).',
  ),
  upload_max_bytes: read.bytes(4 * GIB, MIB, 1024 * GIB, 'Largest upload as sent (compressed).'),
  unpacked_max_bytes: read.bytes(16 * GIB, MIB, 4096 * GIB, 'Largest upload once unpacked.'),
  unpacked_max_entries: read.integer(200_000, 1, 10_000_000, 'Most files and folders in an upload.'),
  upload_ttl_seconds: read.integer(
    3600,
    60,
    30 * 86_400,
    'How long an upload that nothing deployed is kept.',
  ),
  disk_reserve_bytes: read.bytes(
    GIB,
    0,
    1024 * GIB,
    'Uploads and builds are refused when less than this is free.',
  ),
  build_concurrency: read.integer(1, 1, 64, 'Builds that run at once on this node.'),
  build_timeout_seconds: read.integer(1800, 10, 86_400, 'A build that takes longer is stopped and fails.'),
  build_memory_bytes: read.bytes(
    2 * GIB,
    64 * MIB,
    1024 * GIB,
    'Memory of a build with the classic builder.',
  ),
  build_cpu_millis: read.integer(
    availableParallelism() * 1000,
    100,
    1_024_000,
    'CPU of a build with the classic builder, in thousandths of a core.',
  ),
  build_cache_max_bytes: read.bytes(
    10 * GIB,
    64 * MIB,
    4096 * GIB,
    'What BuildKit keeps of earlier builds; what was used longest ago goes first. It bounds the cache of the whole engine.',
  ),
  build_cache_max_days: read.integer(
    30,
    1,
    3650,
    'What BuildKit keeps of earlier builds goes when no build used it for this time.',
  ),
  deploy_concurrency: read.integer(
    4,
    1,
    64,
    'Deployments that run at once on this node, each of another service.',
  ),
  git_max_bytes: read.bytes(GIB, MIB, 1024 * GIB, 'Largest repository as fetched, without its history.'),
  git_timeout_seconds: read.integer(600, 10, 86_400, 'Fetching a repository that takes longer fails.'),
  git_stall_seconds: read.integer(60, 5, 3600, 'A fetch that gets nothing for this long fails.'),
  git_ca_file: read.text(
    'Certificates (PEM) of authorities that hosts of repositories may have, besides those of the system.',
    4096,
  ),
  git_private_ranges: read.ranges('Private addresses and ranges that repositories may come from; no others.'),
  git_allow_http: read.boolean(
    false,
    'Whether repositories may be fetched over plain http: everyone on the way can then change them and read tokens.',
  ),
  drain_seconds: read.integer(30, 0, 3600, 'How long replaced replicas may finish their requests.'),
  drain_upgraded_seconds: read.integer(
    60,
    0,
    86_400,
    'How long replaced replicas may keep WebSockets and other upgraded connections.',
  ),
  image_private_ranges: read.ranges('Private addresses and ranges that images may come from; no others.'),
  keep_releases: read.integer(
    10,
    1,
    1000,
    'Earlier releases of a service whose images are kept, and as many ended canaries.',
  ),
  node_base_image: read.text(
    'Base image with Node.js for folders without a Dockerfile. Without it Berth assembles one of its own runtime.',
    255,
  ),
  network_pool: read.cidr('10.213.0.0/16', 'Range that project networks are cut from, /24 each.'),
  default_cpu_millis: read.integer(
    500,
    10,
    1_024_000,
    'CPU of a replica when neither service nor project says.',
  ),
  default_memory_bytes: read.bytes(
    512 * MIB,
    16 * MIB,
    4096 * GIB,
    'Memory of a replica when neither service nor project says.',
  ),
  default_pids: read.integer(
    512,
    8,
    1_000_000,
    'Processes of a replica when neither service nor project says.',
  ),
  log_max_bytes: read.bytes(100 * MIB, MIB, 1024 * GIB, 'Kept output of each service.'),
  log_max_days: read.integer(14, 1, 3650, 'Age at which kept output goes.'),
  request_log_max_bytes: read.bytes(50 * MIB, MIB, 1024 * GIB, 'Kept access log of each service.'),
  request_log_max_days: read.integer(14, 1, 3650, 'Age at which entries of the access log go.'),
  rate_limit_per_minute: read.integer(600, 1, 10_000_000, 'API calls of one principal in a minute.'),
  registry_blob_max_bytes: read.bytes(32 * GIB, MIB, 4096 * GIB, 'Largest blob that the registry takes.'),
  registry_upload_ttl_seconds: read.integer(
    86_400,
    60,
    30 * 86_400,
    'A push to the registry that nobody goes on with ends after this time.',
  ),
  registry_grace_seconds: read.integer(
    3 * 3600,
    60,
    365 * 86_400,
    'Blobs that nothing needs are kept for this time after they were last pushed, mounted or asked for.',
  ),
  registry_collect_every_seconds: read.integer(
    6 * 3600,
    60,
    365 * 86_400,
    'How often the registry removes what nothing needs.',
  ),
  registry_scrub_days: read.integer(
    14,
    1,
    3650,
    'How often the registry reads every blob to see that it is whole.',
  ),
  registry_rate_limit_per_minute: read.integer(
    600_000,
    1,
    1_000_000_000,
    'Registry calls from one address in a minute.',
  ),
  recovery_recipients: read.listOf(
    /^age1[02-9ac-hj-np-z]{58}$/,
    'age public keys (age1...)',
    'age public keys whose owners can open everything that is sealed too, should the key of the node be lost.',
  ),
  session_idle_seconds: read.integer(
    12 * 3600,
    60,
    365 * 86_400,
    'A session ends after this time without a call.',
  ),
  session_max_seconds: read.integer(
    30 * 86_400,
    60,
    365 * 86_400,
    'A session ends after this time in any case.',
  ),
  shutdown_seconds: read.integer(20, 1, 300, 'Deadline of an orderly stop.'),
} as const

export type SettingName = keyof typeof SETTINGS
export type Config = { readonly [K in SettingName]: ReturnType<(typeof SETTINGS)[K]['read']> } & {
  /** The file that was read, if any. */
  readonly config_file: string | undefined
  /** Names in the environment that look like ours and are not. */
  readonly unknown_environment: readonly string[]
}

/** Other `BERTH_` names that tools of ours read; not settings of the daemon. */
const FOREIGN_NAMES = new Set(['BERTH_CONFIG_FILE', 'BERTH_URL', 'BERTH_TOKEN', 'BERTH_CONTEXT'])
const DEFAULT_FILE = '/etc/berth/berth.toml'

/** Reads the configuration: the environment over the TOML file over the defaults. Throws ConfigError. */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const file = environment['BERTH_CONFIG_FILE'] ?? (existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined)
  const fromFile = file === undefined ? {} : readConfigFile(file)
  for (const name of Object.keys(fromFile)) {
    if (!(name in SETTINGS))
      throw new ConfigError(`${file}: unknown key "${name}". Known keys: ${Object.keys(SETTINGS).join(', ')}`)
  }
  const values = Object.entries(SETTINGS).map(([name, setting]) => {
    const variable = `BERTH_${name.toUpperCase()}`
    const given = environment[variable]
    const [source, raw] =
      given !== undefined && given !== ''
        ? [variable, given]
        : [`${name} in ${file ?? 'the configuration'}`, fromFile[name]]
    try {
      return [name, setting.read(raw)] as const
    } catch (error) {
      throw new ConfigError(`${source}: ${messageOf(error)}`)
    }
  })
  const all = Object.fromEntries(values)
  requireBoth(all, 'acme_eab_kid', 'acme_eab_hmac_key')
  const unknown = Object.keys(environment).filter(
    (name) =>
      name.startsWith('BERTH_') &&
      !FOREIGN_NAMES.has(name) &&
      !(name.slice('BERTH_'.length).toLowerCase() in SETTINGS),
  )
  return {
    ...all,
    config_file: file,
    unknown_environment: unknown,
  } as unknown as Config
}
