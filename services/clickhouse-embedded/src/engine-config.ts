/**
 * The user that requests come in as. Its name with the colon of Basic auth is 12 bytes long, a
 * multiple of 3, so that base64("agent_audit:...") always begins with base64("agent_audit:") and a
 * header can be told by its beginning.
 */
export const USERNAME = 'agent_audit';

const BASIC_AUTH_BEGINNING = `Basic ${Buffer.from(`${USERNAME}:`).toString('base64')}`;
const BOUNDED_LOG = 'ENGINE = Memory SETTINGS max_rows_to_keep = 2000';
const MIB = 1024 * 1024;

export interface EngineConfig {
  /** ClickHouse's `path`. */
  enginePath: string;
  /** Where BACKUP ... TO File('name') writes to. */
  backupsPath: string;
  usersFile: string;
  /** 0: any free port. */
  port: number;
  maxMemoryBytes: number;
  /** Of the login gate. */
  gatePort: number;
}

const xml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

export const sqlString = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/**
 * Server configuration (XML). Requests that log in as {@link USERNAME} are routed to the query
 * handler, where ClickHouse compares the password's SHA-256; every other request but /ping gets
 * ClickHouse's answer for failed authentication. A request may get around that by naming a second
 * user in its URL, which ClickHouse believes more than Basic auth: the only other user is
 * `default`, which the login gate keeps out.
 */
export const serverConfig = ({ enginePath, backupsPath, usersFile, port, maxMemoryBytes, gatePort }: EngineConfig): string => `<clickhouse>
  <path>${xml(enginePath)}/</path>
  <users_config>${xml(usersFile)}</users_config>
  <display_name>agent-audit embedded</display_name>
  <listen_host>127.0.0.1</listen_host>
  <http_port>${port}</http_port>
  <keep_alive_timeout>10</keep_alive_timeout>

  <!-- Its first session's database shows the local file system. Ours is "default", a plain Atomic one. -->
  <default_database>_local</default_database>

  <backups><allowed_path>${xml(backupsPath)}/</allowed_path></backups>

  <max_server_memory_usage>${maxMemoryBytes}</max_server_memory_usage>
  <mark_cache_size>${Math.min(512 * MIB, Math.floor(maxMemoryBytes / 8))}</mark_cache_size>
  <primary_index_cache_size>${Math.min(256 * MIB, Math.floor(maxMemoryBytes / 16))}</primary_index_cache_size>
  <index_mark_cache_size>${Math.min(256 * MIB, Math.floor(maxMemoryBytes / 16))}</index_mark_cache_size>

  <http_authentication_servers>
    <login_gate>
      <uri>http://127.0.0.1:${gatePort}/</uri>
      <connection_timeout_ms>5000</connection_timeout_ms>
      <send_timeout_ms>5000</send_timeout_ms>
      <receive_timeout_ms>5000</receive_timeout_ms>
      <max_tries>1</max_tries>
    </login_gate>
  </http_authentication_servers>

  <!-- The system logs that are kept: in memory, bounded, gone with the process. -->
  <query_log>
    <database>system</database>
    <table>query_log</table>
    <engine>${BOUNDED_LOG}</engine>
  </query_log>
  <opentelemetry_span_log>
    <database>system</database>
    <table>opentelemetry_span_log</table>
    <engine>${BOUNDED_LOG}</engine>
  </opentelemetry_span_log>

  <http_handlers>
    <rule>
      <url>/ping</url>
      <methods>GET,HEAD</methods>
      <handler><type>ping</type></handler>
    </rule>
    <rule>
      <headers><Authorization>regex:^${BASIC_AUTH_BEGINNING}.*$</Authorization></headers>
      <handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler>
    </rule>
    <rule>
      <headers><X-ClickHouse-User>${USERNAME}</X-ClickHouse-User></headers>
      <handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler>
    </rule>
    <rule>
      <handler>
        <type>static</type>
        <status>403</status>
        <content_type>text/plain; charset=UTF-8</content_type>
        <http_response_headers><X-ClickHouse-Exception-Code>516</X-ClickHouse-Exception-Code></http_response_headers>
        <response_content>Code: 516. DB::Exception: Authentication failed: credentials are missing or name an unknown user; send them as Basic auth or as X-ClickHouse-User and X-ClickHouse-Key. (AUTHENTICATION_FAILED)
</response_content>
      </handler>
    </rule>
  </http_handlers>
</clickhouse>
`;

/** Users and default settings (XML). */
export const usersConfig = (passwordSha256Hex: string): string => `<clickhouse>
  <profiles>
    <default>
      <!-- An insert is in a part when it is answered. -->
      <async_insert>0</async_insert>
      <!-- A client that went away waits for no answer. -->
      <cancel_http_readonly_queries_on_client_close>1</cancel_http_readonly_queries_on_client_close>
      <!-- As a server does it, not as clickhouse-local does. -->
      <implicit_select>0</implicit_select>
      <allow_introspection_functions>0</allow_introspection_functions>
      <storage_file_read_method>pread</storage_file_read_method>
    </default>
  </profiles>
  <quotas><default></default></quotas>
  <users>
    <!-- The engine's own first session: may do what its startup SQL needs, and nothing else. -->
    <default>
      <http_authentication><server>login_gate</server><scheme>basic</scheme></http_authentication>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT CREATE DATABASE ON default.*</query>
        <query>GRANT TABLE ENGINE ON Atomic</query>
        <query>GRANT SYSTEM LISTEN ON *.*</query>
      </grants>
    </default>
    <${USERNAME}>
      <password_sha256_hex>${passwordSha256Hex}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <default_database>default</default_database>
      <access_management>1</access_management>
      <named_collection_control>1</named_collection_control>
    </${USERNAME}>
  </users>
</clickhouse>
`;

/** Run by the engine's first session. `portFile` then holds the port and a newline: the engine listens. */
export const startupSql = (portFile: string): string =>
  [
    'CREATE DATABASE IF NOT EXISTS default ENGINE = Atomic',
    'SYSTEM START LISTEN HTTP',
    `SELECT getServerPort('http_port') INTO OUTFILE ${sqlString(portFile)} FORMAT TSV`,
  ].join('; ');
