import { AUTOSCALE_DEFAULTS } from './autoscale-input.ts'
import {
  DEFAULT_INGRESS,
  MAINTENANCE_DEFAULTS,
  PATH_DEFAULTS,
  REALM,
  REDIRECT_DEFAULTS,
} from './ingress-schema.ts'
import type { Defaults } from './manifest-schema.ts'
import { DEFAULT_SETTINGS } from './service-input.ts'

const { build, config, routing, ...others } = DEFAULT_SETTINGS

/** What a service has where its manifest says nothing, so that whoever compares the two sees no difference in it. */
export const MANIFEST_DEFAULTS: Defaults = {
  values: { ...others, ...build, ...config, ...routing },
  inside: {
    autoscale: { values: AUTOSCALE_DEFAULTS },
    ingress: {
      values: { ...DEFAULT_INGRESS },
      inside: {
        redirects: { values: REDIRECT_DEFAULTS },
        paths: { values: PATH_DEFAULTS },
        maintenance: { values: MAINTENANCE_DEFAULTS },
        basic_auth: { values: { realm: REALM } },
      },
    },
  },
}
