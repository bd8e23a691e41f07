/** What an AWS API call touched: the ARNs that the record names, and those that its parameters imply. */
import type { Resource } from './event.ts';
import { LENGTHS } from './limits.ts';
import { oneLine } from './cloudtrail-action.ts';

export interface Place {
  /** `aws`, `aws-cn`, `aws-us-gov`. */
  readonly partition: string;
  readonly region: string;
  readonly account: string;
  /** Host part of eventSource: `s3`, `iam`. */
  readonly service: string;
}

/** ARN kind to the type names that CloudTrail itself uses (those of CloudFormation). */
const TYPES: Readonly<Record<string, string>> = {
  's3:bucket': 'AWS::S3::Bucket', 's3:object': 'AWS::S3::Object', 'iam:role': 'AWS::IAM::Role', 'iam:user': 'AWS::IAM::User',
  'iam:group': 'AWS::IAM::Group', 'iam:policy': 'AWS::IAM::Policy', 'iam:instance-profile': 'AWS::IAM::InstanceProfile',
  'kms:key': 'AWS::KMS::Key', 'kms:alias': 'AWS::KMS::Alias', 'lambda:function': 'AWS::Lambda::Function',
  'secretsmanager:secret': 'AWS::SecretsManager::Secret', 'dynamodb:table': 'AWS::DynamoDB::Table', 'rds:db': 'AWS::RDS::DBInstance',
  'rds:snapshot': 'AWS::RDS::DBSnapshot', 'rds:cluster': 'AWS::RDS::DBCluster', 'cloudtrail:trail': 'AWS::CloudTrail::Trail',
  'ssm:parameter': 'AWS::SSM::Parameter', 'ssm:document': 'AWS::SSM::Document', 'logs:log-group': 'AWS::Logs::LogGroup',
  'ec2:instance': 'AWS::EC2::Instance', 'ec2:vpc': 'AWS::EC2::VPC', 'ec2:subnet': 'AWS::EC2::Subnet', 'ec2:image': 'AWS::EC2::Image',
  'ec2:security-group': 'AWS::EC2::SecurityGroup', 'ec2:volume': 'AWS::EC2::Volume', 'ec2:snapshot': 'AWS::EC2::Snapshot',
  'ec2:route-table': 'AWS::EC2::RouteTable', 'ec2:internet-gateway': 'AWS::EC2::InternetGateway',
  'ec2:network-interface': 'AWS::EC2::NetworkInterface', 'ec2:natgateway': 'AWS::EC2::NatGateway', 'sns:topic': 'AWS::SNS::Topic',
  'sqs:queue': 'AWS::SQS::Queue',
};

/** EC2 ids say what they are; this is what their ARNs call it. */
const EC2_IDS: Readonly<Record<string, string>> = {
  i: 'instance', vpc: 'vpc', subnet: 'subnet', sg: 'security-group', vol: 'volume', snap: 'snapshot', ami: 'image', rtb: 'route-table',
  igw: 'internet-gateway', eni: 'network-interface', nat: 'natgateway', acl: 'network-acl', eipalloc: 'elastic-ip', vpce: 'vpc-endpoint',
  fl: 'vpc-flow-log', lt: 'launch-template', dopt: 'dhcp-options',
};
const EC2_ID = /^([a-z]{1,8})-[0-9a-f]{8,17}$/;
const ARN = /^arn:(aws[a-z-]*):([a-z0-9-]+):([a-z0-9-]*):([^:]*):(.+)$/s;

type Build = (name: string, p: Place) => string;
const regional = (service: string, kind: string): Build => (name, p) => `arn:${p.partition}:${service}:${p.region}:${p.account}:${kind}${name}`;
const iam = (kind: string): Build => (name, p) => `arn:${p.partition}:iam::${p.account}:${kind}/${name}`;
/** Parameter names start a path in SSM (`/prod/db`), and the ARN has one slash, not two. */
const parameter: Build = (name, p) => regional('ssm', 'parameter/')(name.replace(/^\//, ''), p);

/** Parameters whose value is a name, whatever the service. */
const NAMES: Readonly<Record<string, Build>> = {
  roleName: iam('role'), userName: iam('user'), groupName: iam('group'), instanceProfileName: iam('instance-profile'),
  secretId: regional('secretsmanager', 'secret:'), functionName: regional('lambda', 'function:'), tableName: regional('dynamodb', 'table/'),
  dBInstanceIdentifier: regional('rds', 'db:'), dBSnapshotIdentifier: regional('rds', 'snapshot:'), dBClusterIdentifier: regional('rds', 'cluster:'),
  trailName: regional('cloudtrail', 'trail/'), logGroupName: regional('logs', 'log-group:'), documentName: regional('ssm', 'document/'),
  stackName: regional('cloudformation', 'stack/'), repositoryName: regional('ecr', 'repository/'), streamName: regional('kinesis', 'stream/'),
};

/** Parameters whose meaning depends on the service; `groupName` is a security group in EC2, not an IAM group. */
const BY_SERVICE: Readonly<Record<string, Readonly<Record<string, Build>>>> = {
  kms: { keyId: (name, p) => regional('kms', name.startsWith('alias/') ? '' : 'key/')(name, p) },
  secretsmanager: { name: regional('secretsmanager', 'secret:') },
  ssm: { name: parameter, names: parameter },
  cloudtrail: { name: regional('cloudtrail', 'trail/'), trailNameList: regional('cloudtrail', 'trail/') },
  ec2: { groupName: regional('ec2', 'security-group/') },
  ecs: { cluster: regional('ecs', 'cluster/') },
  dynamodb: { tableName: regional('dynamodb', 'table/') },
};

/** Type of an ARN in CloudTrail's own words, else `AWS::{service}::{kind}` as the ARN spells them. */
export function arnType(arn: string): string {
  const match = ARN.exec(arn);
  if (!match) return 'AWS::Resource';
  const service = match[2] as string;
  const tail = match[5] as string;
  const separator = tail.search(/[:/]/);
  const kind = service === 's3' ? (tail.includes('/') ? 'object' : 'bucket')
    : service === 'sns' ? 'topic' : service === 'sqs' ? 'queue'
    : separator > 0 ? tail.slice(0, separator) : 'resource';
  const known = `${service}:${kind}`;
  return Object.hasOwn(TYPES, known) ? (TYPES[known] as string) : oneLine(`AWS::${service}::${kind}`).slice(0, LENGTHS.resourceType).toWellFormed();
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Collects resources once each, in the order found; never more than an event may have. */
class Found {
  readonly list: Resource[] = [];
  private readonly seen = new Set<string>();

  add(raw: string, type?: string): void {
    const uri = oneLine(raw);
    // An overlong name stays in the record's own fields; cutting it would name another thing.
    if (uri.length > LENGTHS.uri || this.list.length >= LENGTHS.resources || this.seen.has(uri)) return;
    this.seen.add(uri);
    const kind = type === undefined ? '' : oneLine(type).slice(0, LENGTHS.resourceType).toWellFormed();
    this.list.push({ uri, type: kind || arnType(uri) });
  }
}

function addStrings(found: Found, value: unknown, build: Build, place: Place): void {
  for (const item of Array.isArray(value) ? value : [value]) {
    const name = text(item);
    if (name !== undefined && !ARN.test(name)) found.add(build(name, place));
  }
}

function addNested(found: Found, value: unknown, place: Place, depth: number): void {
  if (typeof value === 'string') {
    if (ARN.test(value) && value.length <= 2048) {
      found.add(value);
      return;
    }
    const kind = EC2_ID.exec(value)?.[1];
    if (kind !== undefined && Object.hasOwn(EC2_IDS, kind)) found.add(regional('ec2', `${EC2_IDS[kind] as string}/`)(value, place));
  } else if (typeof value === 'object' && value !== null && depth < 32) {
    for (const item of Array.isArray(value) ? value : Object.values(value)) addNested(found, item, place, depth + 1);
  }
}

/**
 * Resources of a call, at least one: `resources[]` of the record, then what `requestParameters` name, then
 * ARNs and EC2 ids anywhere in them. When nothing is named, the service itself: `aws://{account}/{region}/{service}`.
 */
export function resourcesOf(declared: unknown, parameters: unknown, place: Place): Resource[] {
  const found = new Found();
  for (const item of Array.isArray(declared) ? declared : []) {
    if (!isObject(item)) continue;
    const arn = text(item['ARN']) ?? text(item['ARNPrefix']);
    if (arn !== undefined) found.add(arn, text(item['type']));
  }
  if (isObject(parameters)) {
    const bucket = text(parameters['bucketName']);
    if (bucket !== undefined) {
      const key = text(parameters['key']);
      found.add(`arn:${place.partition}:s3:::${bucket}${key === undefined ? '' : `/${key}`}`);
    }
    const own = Object.hasOwn(BY_SERVICE, place.service) ? BY_SERVICE[place.service] : undefined;
    for (const [name, value] of Object.entries(parameters)) {
      const build = own !== undefined && Object.hasOwn(own, name) ? own[name] : Object.hasOwn(NAMES, name) ? NAMES[name] : undefined;
      if (build) addStrings(found, value, build, place);
    }
    const queue = text(parameters['queueUrl']);
    if (queue !== undefined) found.add(queue, 'AWS::SQS::Queue');
    addNested(found, parameters, place, 0);
  }
  if (found.list.length === 0) found.add(`aws://${place.account}/${place.region}/${place.service}`, 'AWS::Service');
  return found.list;
}
