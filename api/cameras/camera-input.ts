/** Facts of a camera as the contract takes them, to what the table keeps. Errors name the member. Pure. */
import type { CameraInput } from '../contract/schemas.ts'
import { badParameter, parseInstant } from '../contract/time-parameters.ts'
import { isTimeZone } from '../read-model/local-windows.ts'
import type { CameraFacts } from './camera-facts.ts'

export function factsOf(input: CameraInput): CameraFacts {
  if (input.time_zone !== null && !isTimeZone(input.time_zone)) {
    throw badParameter('time_zone', `is "${input.time_zone}": expected an IANA time zone`)
  }
  if ((input.latitude === null) !== (input.longitude === null)) {
    throw badParameter('latitude', 'and longitude are given together or not at all')
  }
  return {
    kvfvId: input.kvfv_id,
    name: input.name,
    road: input.road,
    latitude: input.latitude,
    longitude: input.longitude,
    speedLimit: input.speed_limit,
    validFromUs:
      input.valid_from === null ? null : parseInstant('valid_from', input.valid_from, 'UTC'),
    timeZone: input.time_zone,
    lanes: input.lanes,
  }
}
