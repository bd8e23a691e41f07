/** The record cannot take events now; nothing of the request was acknowledged, and it may be repeated as it is. */
export class NotRecorded extends Error {
  override readonly name = 'NotRecorded';
}
