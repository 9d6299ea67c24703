/** Access tokens as the applications of other people sign them: JWTs by an access key. */
import { createHmac } from 'node:crypto';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Signs claims by HS256, or HS512. The key is the text of the access key itself. */
export function sign(key, claims, { alg = 'HS256', header = {} } = {}) {
  const signed = `${encode({ alg, typ: 'JWT', kid: '-1718238131', ...header })}.${encode(claims)}`;
  return `${signed}.${createHmac(alg.replace('HS', 'sha'), key).update(signed).digest('base64url')}`;
}

const now = () => Math.floor(Date.now() / 1000);

/** A client's token for a hub. `changes` replaces claims; undefined removes one. */
export function clientToken({ endpoint, key }, hub, { user, claims = {}, changes = {}, ...options } = {}) {
  const base = { aud: `${endpoint}/client/?hub=${hub}`, iat: now(), nbf: now(), exp: now() + 3600, ...(user && { nameid: user }), ...claims };
  return sign(key, { ...base, ...changes }, options);
}

/** A token for one request of the data plane. */
export function restToken({ endpoint, key }, path, changes = {}) {
  return sign(key, { aud: `${endpoint}${path.split('?')[0]}`, exp: now() + 300, ...changes });
}

/** The signatures of a webhook for a connection: by each key. */
export function signatures(keys, connectionId) {
  return keys.map((key) => `sha256=${createHmac('sha256', key).update(connectionId).digest('hex')}`).join(',');
}
