import type { ContainerCreateOptions } from 'dockerode'
import type { ContainerSpec, MountSpec } from './runtime.ts'

/**
 * What is left of the engine's default capabilities. Ordinary images start as root, own their data directories (CHOWN, DAC_OVERRIDE,
 * FOWNER, FSETID), become a user of their own (SETUID, SETGID), signal their workers (KILL) and listen below 1024 (NET_BIND_SERVICE).
 *
 * Left out of the engine's fourteen: NET_RAW (spoofs neighbours on the bridge), MKNOD (devices), SETFCAP and SETPCAP (make privileged
 * files and processes), SYS_CHROOT (an ingredient of known escapes), AUDIT_WRITE (writes into the host's audit log).
 */
const KEPT_CAPABILITIES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'NET_BIND_SERVICE',
  'SETGID',
  'SETUID',
]

/** Output is kept by Berth; the engine's own copy only has to outlast a pause of the daemon. */
const LOG_CONFIG = { Type: 'json-file', Config: { 'max-size': '16m', 'max-file': '2' } }

const CPU_PERIOD_US = 100_000
/** The kernel takes no smaller quota than a millisecond. */
const MIN_CPU_QUOTA_US = 1000
const TMP_BYTES = 64 * 1024 * 1024

/** The engine's form of a specification: limits and confinement. Nothing is published, mounted from the host or privileged. */
export function containerOptions(
  container: ContainerSpec,
  labels: Record<string, string>,
): ContainerCreateOptions {
  return {
    Image: container.image,
    ...(container.command ? { Cmd: container.command } : {}),
    Env: Object.entries(container.env).map(([name, value]) => `${name}=${value}`),
    Labels: labels,
    StopTimeout: container.stop_grace_seconds,
    HostConfig: {
      NetworkMode: container.network,
      // docker-init reaps orphans and hands on SIGTERM, which PID 1 would ignore by default.
      Init: true,
      Privileged: false,
      SecurityOpt: ['no-new-privileges'],
      CapDrop: ['ALL'],
      CapAdd: KEPT_CAPABILITIES,
      Memory: container.memory_bytes,
      // Equal to Memory: no swap. Unequal, the limit would count memory plus swap on cgroup v1 and be twice as generous on v2.
      MemorySwap: container.memory_bytes,
      // Quota and period, not NanoCpus: the engine refuses more NanoCpus than it has processors.
      CpuPeriod: CPU_PERIOD_US,
      CpuQuota: Math.max(MIN_CPU_QUOTA_US, Math.round((container.cpu_millis * CPU_PERIOD_US) / 1000)),
      PidsLimit: container.pids,
      ReadonlyRootfs: container.read_only,
      Mounts: [
        ...(container.read_only ? [temporaryDirectory()] : []),
        ...(container.mounts ?? []).map(toMount),
      ],
      LogConfig: LOG_CONFIG,
      // Berth restarts with a back-off and a reason; two hands on one lever would fight.
      RestartPolicy: { Name: 'no' },
    },
    NetworkingConfig: { EndpointsConfig: { [container.network]: { Aliases: container.aliases } } },
  }
}

type Mount = NonNullable<NonNullable<ContainerCreateOptions['HostConfig']>['Mounts']>[number]

/** Volumes of the engine only: what is mounted never names a path of the machine. */
function toMount({ volume, path, read_only }: MountSpec): Mount {
  return { Type: 'volume', Source: volume, Target: path, ReadOnly: read_only }
}

function temporaryDirectory(): Mount {
  return {
    Type: 'tmpfs',
    Source: '',
    Target: '/tmp',
    TmpfsOptions: { SizeBytes: TMP_BYTES, Mode: 0o1777 },
  }
}
