/**
 * What a window is called (DESIGN §5). Pure.
 *
 * A 5-minute window: `open` while its end is not yet behind the watermark of its camera's log partition,
 * then `provisional`, once its row is exact `exact`, and `revising` while newer late events of its camera
 * and day wait for the next exact run.
 *
 * A longer window is as final as its least final part, and its parts are also the 5 minutes in which
 * nothing was seen: it is `exact` only where all of it is sealed.
 */
export type WindowStatus = 'open' | 'provisional' | 'revising' | 'exact'

export const windowStatuses: readonly WindowStatus[] = ['open', 'provisional', 'revising', 'exact']

/** What is known beside the rows. */
export type Finality = {
  /** Of the camera's log partition; null: nothing was read of it yet, so everything is open. */
  readonly watermarkUs: number | null
  /** Every window that starts before it holds exact rows only. */
  readonly sealedUntilUs: number | null
}

export function windowStatus(
  window: {
    readonly endUs: number
    /** Do all the 5-minute rows in it come from an exact run? */
    readonly isExact: boolean
    /** Is one of its exact 5-minute rows of a day for which newer events of the camera wait? */
    readonly isDirty: boolean
    readonly isLong: boolean
  },
  finality: Finality,
): WindowStatus {
  const sealed =
    window.isExact &&
    (!window.isLong || (finality.sealedUntilUs !== null && window.endUs <= finality.sealedUntilUs))
  if (sealed) return window.isDirty ? 'revising' : 'exact'
  if (finality.watermarkUs === null || window.endUs > finality.watermarkUs) return 'open'
  return 'provisional'
}
