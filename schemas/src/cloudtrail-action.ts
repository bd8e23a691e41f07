/** Which of our actions and outcomes an AWS API call is. The verb leads the operation's name. */
import type { Action, Outcome } from './event.ts';
import { LENGTHS } from './limits.ts';

/** Names where the verb alone would mislead. */
const EXACT: Readonly<Record<string, Action>> = {
  ConsoleLogin: 'login', CheckMfa: 'login', SwitchRole: 'login', GetSessionToken: 'login', GetFederationToken: 'login',
  RunInstances: 'create', RunJobFlow: 'create', CreateGrant: 'grant', AddUserToGroup: 'grant', CreateTags: 'update',
  // Systems Manager: a command sent to hosts is a command run on hosts.
  SendCommand: 'execute', SendAutomationSignal: 'execute', StartSession: 'execute', StartAutomationExecution: 'execute',
  StartQuery: 'query', StartQueryExecution: 'query', BatchExecuteStatement: 'query', ExecuteStatement: 'query',
};

const VERBS: Readonly<Record<string, Action>> = {
  Get: 'read', Describe: 'read', Head: 'read', Download: 'read', View: 'read', Read: 'read', Decrypt: 'read', Check: 'read',
  Retrieve: 'read', Simulate: 'read', Verify: 'read', Validate: 'read', Test: 'read', Poll: 'read', Receive: 'read',
  List: 'list',
  Query: 'query', Select: 'query', Search: 'query', Lookup: 'query', Scan: 'query', Filter: 'query',
  Create: 'create', Allocate: 'create', Register: 'create', Import: 'create', Copy: 'create', Generate: 'create', Request: 'create',
  Put: 'write', Upload: 'write', Write: 'write', Complete: 'write', Append: 'write',
  Delete: 'delete', Terminate: 'delete', Deregister: 'delete', Release: 'delete', Purge: 'delete', Abort: 'delete', Remove: 'delete',
  Update: 'update', Modify: 'update', Set: 'update', Change: 'update', Enable: 'update', Disable: 'update', Start: 'update',
  Stop: 'update', Reboot: 'update', Associate: 'update', Disassociate: 'update', Attach: 'update', Detach: 'update', Add: 'update',
  Tag: 'update', Untag: 'update', Rotate: 'update', Restore: 'update', Replace: 'update', Reset: 'update', Revoke: 'update',
  Move: 'update', Rename: 'update', Cancel: 'update', Accept: 'update', Reject: 'update', Leave: 'update', Schedule: 'update',
  Authorize: 'grant', Grant: 'grant', Share: 'grant',
  Invoke: 'invoke',
  Run: 'execute', Execute: 'execute',
  Send: 'send', Publish: 'send',
  Assume: 'login',
};

/** Policies about access, as against `PutLifecyclePolicy` and the like. */
const GRANTS = /^(?:Attach|Put|Add|Update|Set)\w*(?:Policy|Policies|Permission|Permissions|Acl)(?:\d{8})?(?:v\d+)?$/;
const OTHER_POLICIES = /Lifecycle|Scaling|Retention|Backup|Password|Notification|Cors/;

export function actionOf(eventName: string, readOnly: boolean | undefined): Action {
  const exact = Object.hasOwn(EXACT, eventName) ? EXACT[eventName] : undefined;
  if (exact) return exact;
  if (GRANTS.test(eventName) && !OTHER_POLICIES.test(eventName)) return 'grant';
  const verb = /^(?:Batch|Admin)?([A-Z][a-z]+)/.exec(eventName)?.[1];
  const action = verb !== undefined && Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
  return action ?? (readOnly === true ? 'read' : 'other');
}

const DENIED = /(?:^|[.:])(?:AccessDenied|Unauthorized|NotAuthorized|AuthorizationError|Forbidden|OperationNotPermitted)/i;
const TIMED_OUT = /(?:^|[.:])(?:RequestTimeout|RequestExpired|TimeoutException|ServiceTimeout)/i;

export interface CallResult {
  readonly errorCode: string | undefined;
  readonly errorMessage: string | undefined;
  readonly responseElements: unknown;
}

export function outcomeOf({ errorCode, errorMessage, responseElements }: CallResult): Outcome {
  // Overlong text is cut here only because the record keeps it whole in `attributes.cloudtrail`.
  const code = errorCode === undefined ? {} : { code: oneLine(errorCode.slice(0, LENGTHS.code)).slice(0, LENGTHS.code) };
  const message = errorMessage === undefined ? {} : { message: errorMessage.slice(0, LENGTHS.message).toWellFormed() };
  if (errorCode !== undefined) {
    const status = DENIED.test(errorCode) ? 'denied' : TIMED_OUT.test(errorCode) ? 'timeout' : 'failure';
    return { status, ...code, ...message };
  }
  const login = typeof responseElements === 'object' && responseElements !== null
    ? (responseElements as Record<string, unknown>)['ConsoleLogin'] : undefined;
  // A failed console login has no error code, only this answer.
  return { status: errorMessage !== undefined || login === 'Failure' ? 'failure' : 'success', ...message };
}

/** Text as an identifier may hold it: C0 controls and DEL percent-encoded, lone surrogates replaced. */
export function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what this pattern is about
  return text.toWellFormed().replaceAll(/[\u0000-\u001f\u007f]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`);
}
