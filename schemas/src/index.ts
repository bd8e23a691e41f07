export * from './errors.ts';
export * from './event.ts';
export * from './json-schema.ts';
export * from './limits.ts';
export * from './time.ts';
export * from './validate.ts';
export * from './read.ts';
export * from './scan.ts';
