import { OnceThere } from '../once-there.ts';

/** Whether any entry of any tenant was ever replayed or dropped: every page of events asks for the count of the quarantine. */
export const marks = new OnceThere('SELECT (SELECT count() FROM quarantine_replays) + (SELECT count() FROM quarantine_dropped) AS n');
