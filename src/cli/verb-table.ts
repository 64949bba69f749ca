import type { AnyVerb, VerbGroup } from './verb.ts'

interface Entry {
  about: string
  load: () => Promise<AnyVerb | VerbGroup>
}

/** Every command, in the order of the help. Only the one that runs is loaded. */
export const VERBS: Readonly<Record<string, Entry>> = {
  login: { about: 'Sign in to a server', load: async () => (await import('./verbs/login.ts')).login },
  logout: { about: 'Sign out', load: async () => (await import('./verbs/logout.ts')).logout },
  whoami: {
    about: 'Show who you are signed in as',
    load: async () => (await import('./verbs/whoami.ts')).whoami,
  },
  contexts: { about: 'Saved logins', load: async () => (await import('./verbs/contexts.ts')).contexts },

  init: {
    about: 'Make a service from this folder',
    load: async () => (await import('./verbs/init.ts')).init,
  },
  deploy: { about: 'Deploy a folder', load: async () => (await import('./verbs/deploy.ts')).deploy },
  plan: {
    about: 'Compare a manifest with the server',
    load: async () => (await import('./verbs/plan.ts')).plan,
  },
  apply: {
    about: 'Make the server as a manifest says',
    load: async () => (await import('./verbs/apply.ts')).apply,
  },
  ps: { about: 'How services are', load: async () => (await import('./verbs/ps.ts')).ps },
  logs: { about: 'Show what a service writes', load: async () => (await import('./verbs/logs.ts')).logs },
  requests: {
    about: 'Requests that came for a service',
    load: async () => (await import('./verbs/requests.ts')).requests,
  },
  releases: {
    about: 'Deployments of a service',
    load: async () => (await import('./verbs/releases.ts')).releases,
  },
  rollback: {
    about: 'Bring an earlier release back',
    load: async () => (await import('./verbs/rollback.ts')).rollback,
  },
  canary: {
    about: 'A second release for a share of the requests',
    load: async () => (await import('./verbs/canary.ts')).canary,
  },
  redeploy: {
    about: 'Deploy what is live once more',
    load: async () => (await import('./verbs/redeploy.ts')).redeploy,
  },
  cancel: { about: 'Cancel a deployment', load: async () => (await import('./verbs/cancel.ts')).cancel },
  env: { about: 'Environment variables', load: async () => (await import('./verbs/env.ts')).env },
  scale: {
    about: 'Set how many replicas run',
    load: async () => (await import('./verbs/run-state.ts')).scale,
  },
  restart: {
    about: 'Replace all replicas by new ones',
    load: async () => (await import('./verbs/run-state.ts')).restart,
  },
  stop: { about: 'Stop a service', load: async () => (await import('./verbs/run-state.ts')).stop },
  start: {
    about: 'Start a stopped service',
    load: async () => (await import('./verbs/run-state.ts')).start,
  },
  open: { about: 'Print the URL of a service', load: async () => (await import('./verbs/open.ts')).open },
  services: {
    about: 'List, show and remove services',
    load: async () => (await import('./verbs/services.ts')).services,
  },
  domains: {
    about: 'Hostnames of services',
    load: async () => (await import('./verbs/domains.ts')).domains,
  },
  certs: { about: 'Certificates', load: async () => (await import('./verbs/certs.ts')).certs },
  webhooks: {
    about: 'Deploy what is pushed',
    load: async () => (await import('./verbs/webhooks.ts')).webhooks,
  },
  volumes: {
    about: 'List, back up, restore and remove volumes',
    load: async () => (await import('./verbs/volumes.ts')).volumes,
  },
  projects: {
    about: 'List, make and remove projects',
    load: async () => (await import('./verbs/projects.ts')).projects,
  },

  registry: {
    about: 'Images in the registry',
    load: async () => (await import('./verbs/registry.ts')).registry,
  },
  registries: {
    about: 'Registries of others',
    load: async () => (await import('./verbs/registries.ts')).registries,
  },

  secrets: {
    about: 'The key of the server',
    load: async () => (await import('./verbs/secrets.ts')).secrets,
  },
  users: { about: 'Users of the server', load: async () => (await import('./verbs/users.ts')).users },
  members: { about: 'Members of a project', load: async () => (await import('./verbs/members.ts')).members },
  tokens: { about: 'API tokens', load: async () => (await import('./verbs/tokens.ts')).tokens },
  audit: { about: 'Who did what', load: async () => (await import('./verbs/audit.ts')).audit },

  api: { about: 'Call the API directly', load: async () => (await import('./verbs/api.ts')).api },
  daemon: {
    about: 'Run the server itself, in the foreground',
    load: async () => (await import('./verbs/daemon.ts')).daemon,
  },
  version: { about: 'Show the version', load: async () => (await import('./verbs/version.ts')).version },
}
