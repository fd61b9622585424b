// oidc-provider on loopback, which logs in whoever was named last: GET /who?person={…}.  Prints its
// port.  PORT: of its own choice where there is none.  CALLBACK: where people are sent back to.
// KEY: the public key (JWK) of the client that signs.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import http from 'node:http';
import { Provider } from 'oidc-provider';

const server = http.createServer();
await new Promise((done) => server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', done));
const { port } = server.address();
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid: randomBytes(8).toString('hex'), use: 'sig', alg: 'RS256' };
const client = { redirect_uris: [process.env.CALLBACK], response_types: ['code'], grant_types: ['authorization_code'] };
let person = { sub: 'amy', name: 'Amy Alder' };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    { ...client, client_id: 'basic', client_secret: 's:e%c+r/e t=~', token_endpoint_auth_method: 'client_secret_basic' },
    { ...client, client_id: 'post', client_secret: 's&e%c+r=t', token_endpoint_auth_method: 'client_secret_post' },
    { ...client, client_id: 'signs', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'RS512', jwks: { keys: [JSON.parse(process.env.KEY)] } },
    { ...client, client_id: 'public', token_endpoint_auth_method: 'none' },
  ],
  jwks: { keys: [jwk] },
  enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'RS512', 'PS256', 'ES256'] },
  claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'ods', 'groups', 'nhsid_nrbac_roles'] },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => person }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: true } },
  pkce: { required: () => true },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  async loadExistingGrant(context) {
    const known = context.oidc.session.grantIdFor(context.oidc.client.clientId);
    if (known) return context.oidc.provider.Grant.find(known);
    const grant = new context.oidc.provider.Grant({ clientId: context.oidc.client.clientId, accountId: context.oidc.session.accountId });
    grant.addOIDCScope('openid profile');
    await grant.save();
    return grant;
  },
});

const handle = provider.callback();
server.on('request', async (request, response) => {
  const url = new URL(request.url, `http://127.0.0.1:${port}`);
  if (url.pathname === '/who') {
    person = JSON.parse(url.searchParams.get('person'));
    return response.end();
  }
  if (url.pathname.startsWith('/interaction/')) {
    return provider.interactionFinished(request, response, { login: { accountId: person.sub } });
  }
  return handle(request, response);
});
console.log(port);
