import { Type } from 'typebox'
import { strictObject } from '../../http/schema.ts'

export const CanaryPercent = Type.Integer({ minimum: 1, maximum: 99 })

export const CanaryRequest = strictObject({ percent: CanaryPercent }, { title: 'SetCanaryBody' })
