export { EmbeddedClickHouseError, type EmbeddedClickHouseErrorCode } from './errors.ts';
export {
  startEmbeddedClickHouse,
  type EmbeddedClickHouse,
  type EmbeddedClickHouseLog,
  type EmbeddedClickHouseOptions,
} from './supervisor.ts';
