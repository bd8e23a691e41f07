export { Client, type Params } from './client.ts';
export { completenessLine, plural } from './completeness.ts';
export { readList, type ListAnswer } from './answer.ts';
export { pages } from './pages.ts';
export { cut, painter, safe, wantsColour, wrap, type Paint, type Style } from './terminal.ts';
export { chainText, clock, readSeen, utc, type SeenEvent } from './event-cells.ts';
export { EXIT, CliError } from './exit-codes.ts';
